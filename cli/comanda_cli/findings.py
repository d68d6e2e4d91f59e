"""What a look at something found, and what to do about it, one a line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rich.console import Console

from comanda_cli.output import Output, print_json

Level = Literal["ok", "warning", "error"]
_MARKS: dict[Level, tuple[str, str]] = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "error": ("✗", "red")}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; `hint` says what to do when it is not ok."""

    level: Level
    what: str
    found: str
    hint: str = ""


def print_findings(output: Output, findings: Sequence[Finding]) -> None:
    """Print findings for people, or as a JSON list."""
    if output is Output.json:
        print_json([vars(finding) for finding in findings])
        return
    console = Console(highlight=False, soft_wrap=True)
    for finding in findings:
        mark, style = _MARKS[finding.level]
        console.print(f"{mark} {finding.what}: {finding.found}", style=style, markup=False)
        if finding.hint:
            console.print(f"  {finding.hint}", markup=False)
