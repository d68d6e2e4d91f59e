"""`make bench NAME=pod`: one bot pod on SQLite and on PostgreSQL: deliveries, orders, neighbours, memory, stopping.

README.md in the folder above says what is measured and how to read it.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop
from rich.console import Console

# A script: the repository is not on the path when it is started by its file name.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench.common.postgres import fresh_database, running_postgres
from bench.common.results import Row, Target, print_results, write_results
from bench.common.stats import median
from bench.path.peer_install import PeerMissingError, install
from bench.path.rounds import Plan, Round, run_round
from bench.path.systems import BuilderBot
from bench.pod import measures
from tests.postgres import DatabaseUrls, PostgresServer
from tests.postgres.server import OWNER, SERVICE

DATABASES = ("SQLite", "PostgreSQL")
GROWTH_ORDERS = 11_000
LONGEST_SECONDS = 3000


@dataclass
class Results:
    """All that the rounds showed, by database."""

    deliveries: list[measures.Deliveries] = field(default_factory=list)
    inserts: list[measures.Deliveries] = field(default_factory=list)
    orders: list[measures.Orders] = field(default_factory=list)
    open_deliveries: list[measures.Deliveries] = field(default_factory=list)
    open_orders: list[measures.Orders] = field(default_factory=list)
    """PostgreSQL without row-level security: what isolation costs."""
    growth: list[measures.Orders] = field(default_factory=list)
    neighbours: list[measures.Neighbours] = field(default_factory=list)
    drains: list[measures.Drain] = field(default_factory=list)
    idle_mib: list[float] = field(default_factory=list)
    few_mib: list[float] = field(default_factory=list)
    peer: list[Round] = field(default_factory=list)


@dataclass(frozen=True)
class Fresh:
    """A fresh database of one kind, with a way to look into it."""

    folder: Path
    url: str
    urls: DatabaseUrls | None

    @asynccontextmanager
    async def without_isolation(self) -> AsyncIterator[None]:
        """Let both roles see every row, whatever tenant is named, as long as this lasts."""
        assert self.urls is not None
        for role in (OWNER, SERVICE):
            await self.urls.sql(f"alter role {role} bypassrls")
        try:
            yield
        finally:
            for role in (OWNER, SERVICE):
                await self.urls.sql(f"alter role {role} nobypassrls")

    async def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement beside the pod."""
        if self.urls is not None:
            return await self.urls.sql(statement)
        with closing(sqlite3.connect(self.folder / "comanda.db", timeout=30)) as connection:
            return connection.execute(statement).fetchall()


async def fresh(folder: Path, name: str, server: PostgresServer) -> Fresh:
    """Make an empty database and a folder for its pod."""
    folder.mkdir(parents=True)
    if name == "SQLite":
        return Fresh(folder, f"sqlite+pysqlite:///{folder / 'comanda.db'}", None)
    urls = await fresh_database(server)
    return Fresh(folder, urls.service, urls)


async def measure(arguments: argparse.Namespace, results: Results, console: Console) -> None:
    """Run every round."""
    folder = Path(tempfile.mkdtemp(prefix="comanda-bench-"))
    folder.chmod(0o755)  # PostgreSQL runs as another user and keeps its data below
    try:
        async with asyncio.timeout(LONGEST_SECONDS), running_postgres(folder) as server:
            for number in range(arguments.rounds):
                for name in DATABASES:
                    await _round(folder / f"{number}-{name}", name, server, arguments, results, console)
            for name in DATABASES:
                await _growth(folder / f"growth-{name}", name, server, arguments, results, console)
            if not arguments.no_peer:
                await _builderbot(folder / "builderbot", results, console)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _round(  # noqa: PLR0917
    folder: Path,
    name: str,
    server: PostgresServer,
    arguments: argparse.Namespace,
    results: Results,
    console: Console,
) -> None:
    seconds = arguments.seconds

    async def step(what: str, run: Callable[[Fresh], Awaitable[str]]) -> None:
        began = time.monotonic()
        database = await fresh(folder / what, name, server)
        said = await run(database)
        console.print(f"{name:10} {what:10} {said}  ({time.monotonic() - began:.0f} s)")

    async def deliveries(database: Fresh) -> str:
        found, idle = await measures.deliveries(database.folder, database.url, name, seconds)
        results.deliveries.append(found)
        results.idle_mib.append(idle)
        return f"{found.per_second:,.0f}/s, p50 {found.p50_ms:.1f} p99 {found.p99_ms:.1f} ms, idle {idle:.0f} MiB"

    async def inserts(database: Fresh) -> str:
        found = await measures.inserts(
            database.folder, database.urls.owner if database.urls else database.url, name, seconds
        )
        results.inserts.append(found)
        return f"{found.per_second:,.0f}/s, p99 {found.p99_ms:.1f} ms"

    async def orders(database: Fresh) -> str:
        found = await measures.orders(database.folder, database.url, name, seconds)
        results.orders.append(found)
        results.few_mib.append(found.start_mib)
        phase = found.phase
        return f"{phase.orders_per_second:.0f} orders/s, p50 {phase.p50_ms:.0f} p99 {phase.p99_ms:.0f} ms"

    async def without_isolation(database: Fresh) -> str:
        async with database.without_isolation():
            stored, _ = await measures.deliveries(database.folder / "d", database.url, "open", seconds)
        again = await fresh(folder / "open", name, server)
        async with again.without_isolation():
            placed = await measures.orders(again.folder, again.url, "open", seconds)
        results.open_deliveries.append(stored)
        results.open_orders.append(placed)
        return f"{stored.per_second:,.0f}/s, {placed.phase.orders_per_second:.0f} orders/s"

    async def neighbours(database: Fresh) -> str:
        # Eighteen replies a second: the p99 of a short stretch would be the time of one or two of them.
        found = await measures.neighbours(database.folder, database.url, name, 8 * seconds)
        results.neighbours.append(found)
        return f"p99 {found.alone_p99_ms:.1f} ms alone, {found.beside_p99_ms:.1f} beside a flood"

    async def drain(database: Fresh) -> str:
        found = await measures.drain(database.folder, database.url, name, database.rows)
        results.drains.append(found)
        return f"{found.waiting:,} waiting, exit {found.exit_code} in {found.exit_seconds:.1f} s, {found.lost} lost"

    await step("deliveries", deliveries)
    if not arguments.no_peer:
        await step("inserts", inserts)
    await step("orders", orders)
    if name == "PostgreSQL":
        await step("no rls", without_isolation)
    await step("neighbours", neighbours)
    await step("drain", drain)


async def _growth(  # noqa: PLR0917
    folder: Path,
    name: str,
    server: PostgresServer,
    arguments: argparse.Namespace,
    results: Results,
    console: Console,
) -> None:
    if arguments.quick:
        return
    database = await fresh(folder, name, server)
    found = await measures.orders(folder, database.url, name, 1.0, until_orders=GROWTH_ORDERS)
    results.growth.append(found)
    console.print(
        f"{name:10} growth     {found.warm_mib:.0f} MiB after 1,000 orders, {found.later_mib:.0f} after 11,000"
    )


async def _builderbot(folder: Path, results: Results, console: Console) -> None:
    try:
        runtime = await asyncio.to_thread(install)
    except PeerMissingError as error:
        console.print(f"{error} Going on without it.", style="yellow", markup=False)
        return
    plan = Plan(closed_seconds=30.0, open_seconds=5.0, statuses=True, seed=1, whole=False)
    results.peer.append(await run_round(BuilderBot(folder, runtime), plan))


def make_rows(results: Results) -> list[Row]:
    """Return every row: the median of the rounds, beside its target and its peer."""
    rows: list[Row] = []
    for name in DATABASES:
        rows += _rows_of(name, results)
    if results.open_orders:
        rows += _isolation_rows(results)
    idle, few = median(results.idle_mib), median(results.few_mib)
    per_tenant = (idle - few) * 1024 * 1.024 / (measures.TENANTS - 10)
    rows.append(Row("memory per idle tenant, 10,000 loaded", per_tenant, "kB", Target("<=", 100)))
    return rows


def _isolation_rows(results: Results) -> list[Row]:
    def row(what: str, unit: str, kept: Sequence[float], opened: Sequence[float]) -> Row:
        name = f"{what}, PostgreSQL, with row-level security"
        return Row(name, median(kept), unit, None, "the same without it", median(opened))

    return [
        row(
            "deliveries",
            "/s",
            [each.per_second for each in results.deliveries if each.database == "PostgreSQL"],
            [each.per_second for each in results.open_deliveries],
        ),
        row(
            "whole orders",
            "orders/s",
            [each.phase.orders_per_second for each in results.orders if each.database == "PostgreSQL"],
            [each.phase.orders_per_second for each in results.open_orders],
        ),
    ]


def _rows_of(name: str, results: Results) -> list[Row]:
    def of(values: Sequence[Any], figure: Callable[[Any], float]) -> float:
        return median([figure(each) for each in values if each.database == name])

    peer = "FastAPI, one SQLModel insert a request" if results.inserts else ""
    bot = "BuilderBot" if results.peer else ""

    def inserts(figure: Callable[[Any], float]) -> float | None:
        return of(results.inserts, figure) if results.inserts else None

    def builderbot(figure: Callable[[Round], float]) -> float | None:
        return median([figure(each) for each in results.peer]) if results.peer else None

    rows = [
        Row(f"deliveries stored durably, {name}", of(results.deliveries, lambda d: d.per_second), "/s",
            Target(">=", 15_000), peer, inserts(lambda d: d.per_second)),
        Row(f"deliveries, p99, {name}", of(results.deliveries, lambda d: d.p99_ms), "ms",
            Target("<=", 15), peer, inserts(lambda d: d.p99_ms)),
        Row(f"first messages of new customers, {name}", of(results.deliveries, lambda d: d.new_per_second), "/s"),
        Row(f"whole orders, {name}", of(results.orders, lambda o: o.phase.orders_per_second), "orders/s",
            Target(">=", 100), bot, builderbot(lambda r: r.phase("closed").replies_per_second / 4)),
        Row(f"reply time p50, 32 customers, {name}", of(results.orders, lambda o: o.phase.p50_ms), "ms",
            Target("<=", 50), bot, builderbot(lambda r: r.phase("closed").p50_ms)),
        Row(f"reply time p99, 32 customers, {name}", of(results.orders, lambda o: o.phase.p99_ms), "ms",
            Target("<=", 300), bot, builderbot(lambda r: r.phase("closed").p99_ms)),
        Row(f"SIGTERM with 10,000 waiting: lost, {name}", sum(d.lost for d in results.drains if d.database == name),
            "messages", Target("<=", 0)),
        Row(f"SIGTERM with 10,000 waiting: exit, {name}", of(results.drains, lambda d: d.exit_seconds), "s",
            Target("<=", 20)),
        Row(f"SIGTERM with 10,000 waiting: without a turn then, {name}", of(results.drains, lambda d: d.waiting),
            "messages"),
        Row(f"neighbours' reply p99 beside a tenant at 100×, {name}", of(results.neighbours, lambda n: n.more_percent),
            "% more", Target("<=", 20)),
        Row(f"neighbours' reply p99 alone, {name}", of(results.neighbours, lambda n: n.alone_p99_ms), "ms"),
    ]  # fmt: skip
    if any(each.database == name for each in results.growth):
        growth = of(results.growth, lambda o: 100 * (o.later_mib / o.warm_mib - 1))
        rows.append(Row(f"RSS growth over 10,000 orders, {name}", growth, "%", Target("<=", 5)))
    return rows


def _cores(results: Results) -> str:
    pod = median([each.pod_cores for each in results.deliveries])
    generator = median([each.generator_cores for each in results.deliveries])
    return f"Cores used while deliveries are stored: pod {pod:.2f}, generator {generator:.2f}."


def main() -> int:
    """Run, write and print the results; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog='make bench NAME=pod BENCH_ARGS="…"',
        description="Measures one bot pod on SQLite and on PostgreSQL.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=3, help="rounds; rows are medians")
    parser.add_argument("--seconds", type=float, default=8.0, help="length of each measured stretch")
    parser.add_argument("--no-peer", action="store_true", help="leave the peers out")
    parser.add_argument("--quick", action="store_true", help="leave the growth over 10,000 orders out")
    arguments = parser.parse_args()
    console = Console(highlight=False, soft_wrap=True)
    results = Results()
    try:
        uvloop.run(measure(arguments, results, console))
    except KeyboardInterrupt:
        console.print("Stopped; nothing was written.", style="yellow")
        return 130
    rows = make_rows(results)
    notes = [
        f"Medians of {arguments.rounds} rounds, each on a fresh database; generator and Meta's side on the same cores.",
        f"Deliveries: about 1 KB, {measures.AT_ONCE} at once, {measures.TENANTS:,} suspended tenants: the inbox alone.",
        "Orders: four messages each, two statuses a reply; the pod alone, deliveries as the router makes them.",
        _cores(results),
    ]
    rounds: list[Any] = [*results.deliveries, *results.inserts, *results.orders, *results.neighbours, *results.drains]
    path = write_results("pod", rows, [*rounds, *results.growth], notes)
    console.print()
    print_results("One bot pod", rows, notes, console)
    console.print(f"\nWritten to {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
