"""The one form of a benchmark's outcome: rows with their targets and peers, written as JSON and shown as a table."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from bench.common.machine import ROOT, describe_machine, git_commit
from rich.console import Console
from rich.table import Table

RESULTS = ROOT / "bench" / "results"
_COMMIT = git_commit()
"""What is measured: the revision when the run began, whatever is committed while it lasts."""


@dataclass(frozen=True)
class Target:
    """What a value must reach: at least or at most `limit`, in the row's unit."""

    sense: Literal[">=", "<="]
    limit: float

    def holds(self, value: float) -> bool:
        """Tell whether a value reaches it."""
        return value >= self.limit if self.sense == ">=" else value <= self.limit

    def __str__(self) -> str:
        return f"{'≥' if self.sense == '>=' else '≤'} {self.limit:g}"


@dataclass(frozen=True)
class Row:
    """One figure; `peer` says what `peer_value` (same unit) is a figure of, and how it was taken."""

    what: str
    value: float
    unit: str
    target: Target | None = None
    peer: str = ""
    peer_value: float | None = None

    @property
    def holds(self) -> bool | None:
        """Whether the target is reached; None without one."""
        return None if self.target is None else self.target.holds(self.value)

    def to_dict(self) -> dict[str, Any]:
        """Return the row as it stands in the results file."""
        return {
            "what": self.what,
            "value": _rounded(self.value),
            "unit": self.unit,
            "target": None if self.target is None else str(self.target),
            "holds": self.holds,
            "peer": self.peer or None,
            "peer_value": None if self.peer_value is None else _rounded(self.peer_value),
        }


def write_results(name: str, rows: Sequence[Row], rounds: Sequence[Any], notes: Sequence[str]) -> Path:
    """Write `bench/results/{name}.json`: machine, revision, command, every row, and the raw rounds; returns its path.

    `rounds` are dataclass instances.
    """
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.json"
    content = {
        "machine": asdict(describe_machine()),
        "commit": _COMMIT,
        "command": " ".join(["make bench", f"NAME={name}", *_bench_args()]),
        "notes": list(notes),
        "rows": [row.to_dict() for row in rows],
        "rounds": [asdict(each) for each in rounds],
    }
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n")
    return path


def print_results(title: str, rows: Sequence[Row], notes: Sequence[str], console: Console) -> None:
    """Print the rows as a table and the notes below it."""
    table = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for heading in ("what", "value", "unit", "target", "", "peer"):
        table.add_column(heading, justify="right" if heading in {"value", "peer"} else "left")
    for row in rows:
        mark = {True: "[green]✓[/]", False: "[red]✗[/]", None: ""}[row.holds]
        target = "" if row.target is None else str(row.target)
        peer = "" if row.peer_value is None else f"{_rounded(row.peer_value):g}"
        table.add_row(row.what, f"{_rounded(row.value):g}", row.unit, target, mark, peer)
    console.print(table)
    for note in notes:
        console.print(f"• {note}", style="dim", markup=False)


def _bench_args() -> list[str]:
    return [f'BENCH_ARGS="{" ".join(sys.argv[1:])}"'] if len(sys.argv) > 1 else []


def _rounded(value: float) -> float:
    """Keep four significant digits: more would claim more than a round can know."""
    if not math.isfinite(value) or value == 0:
        return value
    return round(value, max(0, 3 - math.floor(math.log10(abs(value)))))
