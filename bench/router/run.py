"""`make bench NAME=router`: our router alone, before real pods, under attack, and with many tenants, beside its peers.

README.md in the folder above says what is measured and how to read it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import selectors
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

# A script: the repository is not on the path when it is started by its file name.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench.common.results import print_results, write_results
from bench.router import alone, attack, batches, directory, durable, open_loop
from bench.router.report import Bench, Report
from bench.router.systems import MissingError, find_program

Part = tuple[Callable[[Bench], Awaitable[Report]], Sequence[str]]
"""What measures, and the programs that it needs."""
PARTS: Mapping[str, Part] = {
    "alone": (alone.measure, ("go", "haproxy", "nginx", "wrk")),
    "durable": (durable.measure, ("haproxy", "postgres", "wrk")),
    "open": (open_loop.measure, ("haproxy", "postgres", "wrk")),
    "batches": (batches.measure, ("postgres",)),
    "attack": (attack.measure, ("go", "haproxy")),
    "directory": (directory.measure, ("go",)),
}


def main() -> int:
    """Run, write and print the results; returns the exit code."""
    arguments = parse_arguments()
    console = Console(highlight=False, soft_wrap=True)
    load_before = os.getloadavg()[0]
    try:
        with asyncio.Runner(loop_factory=exact_loop) as runner:
            reports = runner.run(run_parts(arguments, console))
    except (MissingError, RuntimeError) as error:
        console.print(str(error), style="red", markup=False)
        return 1
    except KeyboardInterrupt:
        console.print("Stopped; nothing was written.", style="yellow")
        return 130
    rows, rounds, notes = (
        [each for report in reports for each in getattr(report, of)] for of in ("rows", "rounds", "notes")
    )
    notes.append(f"Load average of the machine (one minute) before the run: {load_before:.2f}.")
    path = write_results("router", rows, rounds, notes)
    console.print()
    print_results("The router", rows, notes, console)
    console.print(f"\nWritten to {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")
    return 0


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog='make bench NAME=router BENCH_ARGS="…"',
        description="Measures the router and its peers, part by part. The results file holds the last run.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--only", choices=PARTS, nargs="+", default=list(PARTS), help="parts to run", metavar="PART")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each part; rows are medians")
    parser.add_argument("--seconds", type=int, default=5, help="length of each measured stretch")
    parser.add_argument("--pods", type=int, nargs="+", default=alone.PODS, help="numbers of pods of the router alone")
    return parser.parse_args()


async def run_parts(arguments: argparse.Namespace, console: Console) -> Sequence[Report]:
    """Run the parts one after the other, each in a folder that is gone afterwards. Raises `MissingError` at once."""
    for program in sorted({program for name in arguments.only for program in PARTS[name][1]}):
        find_program(program)
    reports: list[Report] = []
    for name in arguments.only:
        folder = Path(tempfile.mkdtemp(prefix="comanda-bench-router-"))

        def tell(line: str, part: str = name) -> None:
            console.print(f"{part}: {line}", style="dim", markup=False)

        try:
            bench = Bench(folder, arguments.rounds, arguments.seconds, arguments.pods, tell)
            report = await PARTS[name][0](bench)
            reports.append(replace(report, notes=[f"{name}: {note}" for note in report.notes]))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return reports


def exact_loop() -> asyncio.AbstractEventLoop:
    """Return an event loop that wakes within some 100 µs of when it is due; epoll, the usual one, counts whole ms."""
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


if __name__ == "__main__":
    sys.exit(main())
