"""One run under faults, and `make torture`: many of them, each from its seed.

python -m tests.torture.run --seeds 10 --faults 25 --database both
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.harness import until
from tests.postgres import PostgresServer, postgres_server
from tests.torture.checkers import judge, ordered_once
from tests.torture.history import History
from tests.torture.nemesis import DATABASE_FAULTS, GRAPH_FAULTS, POD_FAULTS, Nemesis
from tests.torture.world import NUMBERS, ORDER_TOTAL, World

AT_ONCE = 16


async def run(
    folder: Path, server: PostgresServer | None, seed: int, faults: Sequence[str], *, freeze_seconds: float = 4.0
) -> tuple[History, int]:
    """Let customers order while the faults happen one after the other; returns the history and how many were killed.

    `freeze_seconds` is how long a frozen database stays so.
    """
    database = await server.new_database() if server is not None else None
    async with World(folder, database, seed, reorder=0.3) as world:
        world.graph.lose_answer, world.graph.status_first, world.graph.refuse = 0.01, 0.2, 0.01
        nemesis = Nemesis(world, server, freeze_database_seconds=freeze_seconds)
        over = asyncio.Event()
        ordering = [asyncio.create_task(_customers(world, lane, over)) for lane in range(AT_ONCE)]
        try:
            for name in faults:
                # Each fault meets customers in the middle of their orders.
                await _so_many_replies(world, len(world.history.sends) + 10)
                await nemesis.do(name)
            await _so_many_replies(world, len(world.history.sends) + 10)
        finally:
            over.set()
            await asyncio.gather(*ordering)
        world.graph.lose_answer = world.graph.refuse = 0.0
        await world.settle()
        return await world.record(), nemesis.kills


async def _customers(world: World, lane: int, over: asyncio.Event) -> None:
    """Order, one customer after the other, until it is over; an order that has begun is finished."""
    serial = 0
    while not over.is_set():
        number = NUMBERS[(lane + serial) % len(NUMBERS)]
        await world.order(number, f"569{lane:03}{serial:05}")
        serial += 1


async def _so_many_replies(world: World, count: int) -> None:
    await until(lambda: len(world.history.sends) >= count, 90, f"{count} replies")


def draw_faults(seed: int, count: int, *, database: bool) -> list[str]:
    """Return so many faults for a seed."""
    draw = random.Random(seed)
    kinds = POD_FAULTS + GRAPH_FAULTS + (DATABASE_FAULTS if database else ())
    return [draw.choice(kinds) for _ in range(count)]


def problems(history: History) -> list[str]:
    """Return every broken promise of a run."""
    return judge(history) + [f"total: {each}" for each in ordered_once(history, total=ORDER_TOTAL)]


def overtaken(history: History) -> int:
    """Return how many messages arrived after a later one of their conversation."""
    return sum(webhook.overtaken for webhook in history.webhooks)


async def torture(arguments: argparse.Namespace) -> int:
    """Run every seed; returns how many broke a promise. The history of such a run is kept, and where is said."""
    broken = 0
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        for name in ("sqlite", "postgresql") if arguments.database == "both" else (arguments.database,):
            folder = Path(tempfile.mkdtemp(prefix=f"torture-{name}-{seed}-"))
            began = time.monotonic()
            with ExitStack() as stack:
                server = stack.enter_context(postgres_server()) if name == "postgresql" else None
                if server is not None:
                    await server.accepts()
                    await server.prepare()
                faults = draw_faults(seed, arguments.faults, database=server is not None)
                history, kills = await run(folder, server, seed, faults, freeze_seconds=arguments.freeze)
            found = problems(history)
            print(
                f"{name:10} seed {seed:<5} {len(history.webhooks)} messages, {overtaken(history)} of them overtaken,"
                f" {len(history.orders)} orders,"
                f" {kills} kills, {len(faults)} faults, {time.monotonic() - began:.0f} s:"
                f" {'kept' if not found else f'{len(found)} BROKEN'}",
                flush=True,
            )
            if found:
                broken += 1
                history.write(folder / "history.jsonl")
                print("\n".join(found[:10]) + f"\nhistory, logs and database: {folder}", flush=True)
            else:
                shutil.rmtree(folder, ignore_errors=True)
    return broken


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description="Orders under kills, freezes and a Meta that misbehaves.")
    parser.add_argument("--seeds", type=int, default=10, help="how many runs, each from its own seed")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--faults", type=int, default=25, help="faults in one run")
    parser.add_argument("--freeze", type=float, default=20.0, help="seconds that a frozen database stays so")
    parser.add_argument("--database", choices=("sqlite", "postgresql", "both"), default="both")
    return 1 if asyncio.run(torture(parser.parse_args())) else 0


if __name__ == "__main__":
    sys.exit(main())
