"""`make bench NAME=path`: the whole path, from a customer's message to the reply at Meta, beside BuilderBot.

README.md in the folder above says what is measured and how to read it.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvloop
from rich.console import Console

# A script: the repository is not on the path when it is started by its file name.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench.common.results import print_results, write_results
from bench.path.meta import NoAnswerError
from bench.path.peer_install import PeerMissingError, Runtime, install
from bench.path.report import make_notes, make_rows
from bench.path.rounds import Plan, Round, run_round
from bench.path.systems import BuilderBot, Comanda, System

LONGEST_SECONDS = 900
"""A run that takes longer than this is broken, and ends."""


def main() -> int:
    """Run the rounds, check them, write and print the results; returns the exit code."""
    arguments = parse_arguments()
    console = Console(highlight=False, soft_wrap=True)
    rounds: list[Round] = []
    try:
        uvloop.run(_run_all(arguments, rounds, console))
    except (NoAnswerError, TimeoutError) as failure:
        reason = str(failure) or f"It took more than {LONGEST_SECONDS} s."
        console.print(f"Failed: {reason}", style="bold red", markup=False)
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        console.print("Stopped; nothing was written.", style="yellow")
        return 130
    rows, notes = make_rows(rounds), make_notes(rounds, arguments)
    path = write_results("path", rows, rounds, notes)
    console.print()
    print_results("The whole path", rows, notes, console)
    console.print(f"\nWritten to {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")
    return 0


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog='make bench NAME=path BENCH_ARGS="…"',
        description="Measures whole orders, reply times, cold start and memory of Comanda, and of BuilderBot.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each system, by turns; rows are medians")
    parser.add_argument("--seconds", type=float, default=12.0, help="length of each of our two phases")
    parser.add_argument("--peer-seconds", type=float, default=30.0, help="length of the peer's closed phase")
    parser.add_argument("--no-peer", action="store_true", help="leave BuilderBot out")
    parser.add_argument("--no-statuses", action="store_true", help="send no sent and delivered statuses")
    parser.add_argument("--keep", action="store_true", help="keep databases and logs of the rounds, and say where")
    return parser.parse_args()


async def _run_all(arguments: argparse.Namespace, rounds: list[Round], console: Console) -> None:
    current = asyncio.current_task()
    if current is not None:
        # Ending the task ends what it started; SIGINT does so by itself.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, current.cancel)
    runtime = None if arguments.no_peer else await _peer(console)
    async with asyncio.timeout(LONGEST_SECONDS):
        with _folder(keep=arguments.keep, console=console) as folder:
            for number in range(arguments.rounds):
                for system, plan in _turn(folder / str(number), number, runtime, arguments):
                    began = time.monotonic()
                    result = await run_round(system, plan)
                    rounds.append(result)
                    console.print(_line(number + 1, result, time.monotonic() - began))


@contextmanager
def _folder(*, keep: bool, console: Console) -> Iterator[Path]:
    """Give a folder for databases and logs, and take it away unless it is to be kept."""
    folder = Path(tempfile.mkdtemp(prefix="comanda-bench-"))
    try:
        yield folder
    finally:
        if keep:
            console.print(f"Databases and logs are in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _turn(
    folder: Path, number: int, runtime: Runtime | None, arguments: argparse.Namespace
) -> list[tuple[System, Plan]]:
    """Return the systems of one round with what each can take."""
    statuses, seconds = not arguments.no_statuses, arguments.seconds
    ours = Plan(closed_seconds=seconds, open_seconds=seconds, statuses=statuses, seed=number, whole=True)
    turn: list[tuple[System, Plan]] = [(Comanda(folder / "comanda"), ours)]
    if runtime is not None:
        longer = arguments.peer_seconds
        # An order takes it half a minute with 32 customers, so those under way at the end are left.
        theirs = Plan(closed_seconds=longer, open_seconds=longer / 2, statuses=statuses, seed=number, whole=False)
        turn.append((BuilderBot(folder / "builderbot", runtime), theirs))
    return turn


async def _peer(console: Console) -> Runtime | None:
    console.print("Looking for the peer (the first time it is installed into the cache folder)", style="dim")
    try:
        return await asyncio.to_thread(install)
    except PeerMissingError as error:
        console.print(f"{error} Going on without it.", style="yellow", markup=False)
        return None


def _line(number: int, result: Round, seconds: float) -> str:
    closed, opened = result.phase("closed"), result.phase("open")
    rate = max(closed.orders_per_second, closed.replies_per_second / 4)
    return (
        f"round {number} {result.system:10} {rate:6.1f} orders/s"
        f" · reply p50 {closed.p50_ms:.0f} p99 {closed.p99_ms:.0f} ms"
        f" · open loop p50 {opened.p50_ms:.0f} p99 {opened.p99_ms:.0f} ms · cold start {result.cold_start_ms:.0f} ms"
        f" · {sum(result.used_mib.values()):.0f} MiB · others {closed.cores['others']:.2f} cores · {seconds:.0f} s"
    )


if __name__ == "__main__":
    sys.exit(main())
