"""What each step of a turn costs a PostgreSQL server: `python bench/pod/stages.py [--turns 4000]`.

One process asks the store for 32 things at a time, first with row-level security, then without; processor time of the
server and of the asking process, divided by the turns.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import Coroutine, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import uvloop
from rich.console import Console
from rich.table import Table

# A script: the repository is not on the path when it is started by its file name.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench.common.postgres import fresh_database, running_postgres
from tests.postgres import PostgresServer
from tests.postgres.server import OWNER, SERVICE
from tests.test_store.test_store import MESSAGE, ORDER, result

from comanda_store import Claim, Pace, SendResult, StatusItem, Store, TenantScope

AT_ONCE = 32
TENANTS = 1000
PACE = Pace(1_000_000)
REPLY = '{"text":"' + "x" * 600 + '"}'
Costs = dict[str, tuple[float, float]]
"""Step → microseconds of the server and of this process, a turn."""


class Meter:
    """Runs a step for every turn and notes what it cost."""

    def __init__(self, server: PostgresServer, turns: int) -> None:
        self._server = server
        self._turns = turns
        self.costs: Costs = {}

    async def run(self, step: str, calls: Iterable[Coroutine[Any, Any, Any]]) -> list[Any]:
        """Run the calls of one step, so many at once."""
        places = asyncio.Semaphore(AT_ONCE)

        async def one(call: Coroutine[Any, Any, Any]) -> Any:
            async with places:
                return await call

        before = self._used(), time.process_time()
        answers = await asyncio.gather(*map(one, calls))
        used = self._used() - before[0], time.process_time() - before[1]
        self.costs[step] = (1e6 * used[0] / self._turns, 1e6 * used[1] / self._turns)
        return answers

    def _used(self) -> float:
        times = [process.cpu_times() for process in self._server.processes()]
        return sum(each.user + each.system for each in times)


async def measure(server: PostgresServer, turns: int, *, isolated: bool) -> Costs:
    """Take each step of so many turns on a fresh database."""
    urls = await fresh_database(server)
    for role in (OWNER, SERVICE):
        await urls.sql(f"alter role {role} {'no' if isolated else ''}bypassrls")
    store = await Store.open(urls.service, pod="pod", incarnation="pod:1")
    meter = Meter(server, turns)
    scopes = [TenantScope(f"t/{turn % TENANTS}", str(turn % TENANTS)) for turn in range(turns)]
    first = [
        replace(MESSAGE, tenant=scope.tenant, phone_number_id=scope.phone_number_id, wamid=f"a{turn}", phone=f"{turn}")
        for turn, scope in enumerate(scopes)
    ]
    second = [replace(message, wamid=f"b{turn}") for turn, message in enumerate(first)]

    async def turn(messages: list[Any], prefix: str, **given: Any) -> list[Any]:
        stored = await meter.run(f"{prefix}store the message", (store.ingest([each]) for each in messages))
        customers = [answers[0].customer_id for answers in stored]
        claims: list[Claim] = await meter.run(
            f"{prefix}claim it", (store.claim(*each) for each in zip(scopes, customers, strict=True))
        )
        ends = (store.finish(claim, result(REPLY, **given), PACE) for claim in claims)
        finished = await meter.run(f"{prefix}write the turn, begin the send", ends)
        return [each.sends[0] for each in finished]

    sends = await turn(first, "new customer: ")
    await meter.run(
        "end the send", (store.finish_send(send, SendResult("sent", wamid=f"o{send.outbox_id}")) for send in sends)
    )
    told = [
        StatusItem(send.tenant, send.phone_number_id, f"o{send.outbox_id}", word, rank, send.outbox_id, "{}")
        for send in sends
        for word, rank in (("sent", 1), ("delivered", 2))
    ]
    await meter.run("two statuses", (store.ingest([status]) for status in told))
    await turn(second, "known, with an order: ", order=ORDER)
    await store.close()
    return meter.costs


async def run(turns: int, console: Console) -> None:
    """Measure with and without row-level security and print both."""
    folder = Path(tempfile.mkdtemp(prefix="comanda-bench-"))
    folder.chmod(0o755)  # PostgreSQL runs as another user and keeps its data below
    try:
        async with running_postgres(folder) as server:
            kept, opened = [await measure(server, turns, isolated=isolated) for isolated in (True, False)]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    table = Table(box=None, header_style="bold")
    for heading in ("step", "server, µs", "without row-level security", "asking process, µs"):
        table.add_column(heading)
    for step, (of_server, of_process) in kept.items():
        table.add_row(step, f"{of_server:.0f}", f"{opened[step][0]:.0f}", f"{of_process:.0f}")
    console.print(table)


def main() -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(description="What each step of a turn costs a PostgreSQL server.")
    parser.add_argument("--turns", type=int, default=4000)
    uvloop.run(run(parser.parse_args().turns, Console()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
