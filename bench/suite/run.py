"""`make bench NAME=suite`: how long `.ci/run` takes from a fresh clone: with nothing built before, and once more.

README.md in the folder above says what is measured and how to read it.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from rich.console import Console

# A script: the repository is not on the path when it is started by its file name.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench.common.machine import ROOT
from bench.common.results import Row, Target, print_results, write_results

LONGEST_SECONDS = 2 * 3600.0
TARGET_MINUTES = {"cold": 40.0, "warm": 20.0}
_LAST_LINE = re.compile(r"(\d+) passed")


@dataclass(frozen=True)
class Run:
    """One run of everything: how long it took, in minutes, and how many tests passed."""

    kind: str
    minutes: float
    passed: int


def run(kind: str, caches: Mapping[str, str], console: Console) -> Run:
    """Clone what is committed, and run it with these caches. Raises `CalledProcessError` when it does not pass."""
    environment = {**os.environ, **caches}
    with tempfile.TemporaryDirectory(prefix="comanda-suite-") as folder:
        # The log stays: a run that fails after half an hour is to be looked into.
        clone, log = Path(folder) / "comanda", Path(tempfile.gettempdir()) / f"comanda-suite-{kind}.log"
        subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
        console.print(f"{kind}: running, its output is in {log}", style="dim")
        began = monotonic()
        with log.open("wb") as output:
            command = [clone / ".ci" / "run"]
            done = subprocess.run(
                command, env=environment, stdout=output, stderr=subprocess.STDOUT, timeout=LONGEST_SECONDS, check=False
            )
        minutes = (monotonic() - began) / 60
        said = log.read_text(errors="replace")
        if done.returncode:
            console.print(said[-4000:], markup=False)
            raise subprocess.CalledProcessError(done.returncode, command)
    passed = int(_LAST_LINE.findall(said)[-1])
    console.print(f"{kind}: {passed:,} tests in {minutes:.1f} minutes", style="dim")
    return Run(kind, minutes, passed)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, write the results and show them."""
    parser = argparse.ArgumentParser(prog="make bench NAME=suite", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--warm", action="store_true", help="the second run alone, with the caches that you have")
    given = parser.parse_args(arguments)
    console = Console(stderr=True)
    notes = ["Packages of the system are not taken away for the cold run."]
    runs: list[Run] = []
    with tempfile.TemporaryDirectory(prefix="comanda-caches-") as empty:
        caches = {} if given.warm else _caches(Path(empty))
        for kind in ("warm",) if given.warm else ("cold", "warm"):
            runs.append(run(kind, caches, console))
            # After each: half an hour's figure is not lost with the half hour that follows.
            rows = [_row(each) for each in runs]
            path = write_results("suite", rows, runs, notes)
    print_results("suite", rows, notes, console)
    console.print(f"written to {path}", style="dim")


def _caches(folder: Path) -> Mapping[str, str]:
    """Return variables that have every tool keep its cache in a folder."""
    return {
        "XDG_CACHE_HOME": str(folder / "xdg"),
        "UV_CACHE_DIR": str(folder / "uv"),
        "PIP_CACHE_DIR": str(folder / "pip"),
        "GOMODCACHE": str(folder / "go-modules"),
        "GOCACHE": str(folder / "go-build"),
    }


def _row(done: Run) -> Row:
    target = Target("<=", TARGET_MINUTES[done.kind])
    return Row(f"checks and all {done.passed:,} tests, {done.kind}", done.minutes, "minutes", target)


if __name__ == "__main__":
    main()
