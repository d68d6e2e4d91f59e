"""End to end: router and two pods on one database, each webhook answered when its message is on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.common.results import Row, Target
from bench.router.bodies import write_bodies
from bench.router.chains import INSERTS, SAME_PODS, WHOLE, Chain, let_all_write
from bench.router.databases import KINDS, Database, Databases, running_databases
from bench.router.load import CONNECTIONS, ClosedLoop, Stretch
from bench.router.pods import running_inserts, running_pods
from bench.router.report import Bench, Report, compare, median_of, none_may
from bench.router.systems import TENANTS, Upstreams

PER_SECOND = 30_000
"""More than any of them can take: so many bodies are written for each second."""
WARM_SECONDS = 1
TIMES = 10
"""How many times as much as an insert a request, at least."""


@dataclass(frozen=True)
class Durable(Stretch):
    """One chain on one database."""

    system: str
    database: str
    not_stored: int
    """Answered 200, and not on disk afterwards."""

    @property
    def where(self) -> str:
        """Which database."""
        return self.database


async def measure(bench: Bench) -> Report:
    """Measure every chain by turns, round after round, first on one database, then on the other."""
    found: list[Durable] = []
    async with running_databases(bench.folder / "databases") as databases:
        for kind in KINDS:
            found += await _Rounds(bench, databases, await databases.fresh(kind)).run()
    return Report(_make_rows(found), found, _notes(bench))


class _Rounds:
    """All rounds on one kind of database: the pods live as long, what inserts row by row gets a fresh one each time."""

    def __init__(self, bench: Bench, databases: Databases, database: Database) -> None:
        self._bench = bench
        self._databases = databases
        self._database = database
        self._bodies = bench.folder / "bodies"
        self._written = 0

    async def run(self) -> list[Durable]:
        found = []
        async with running_pods(self._database) as pods:
            self._written = await let_all_write(self._database, pods)
            for number in range(1, self._bench.rounds + 1):
                found += [await self._measure(chain, pods, self._database) for chain in (WHOLE, SAME_PODS)]
                database = await self._databases.fresh(self._database.kind)
                async with running_inserts(database) as inserting:
                    found.append(await self._measure(INSERTS, inserting, database))
                for each in found[-3:]:
                    self._bench.tell(
                        f"round {number}: {each.database}, {each.system}: {each.per_second:,.0f}/s, "
                        f"p99 {each.p99_ms:.1f} ms, {each.refused + each.broken} failed, {each.not_stored} not stored"
                    )
        return found

    async def _measure(self, chain: Chain, upstreams: Upstreams, database: Database) -> Durable:
        first, count = self._written, PER_SECOND * (WARM_SECONDS + self._bench.seconds)
        self._written += count
        write_bodies(self._bodies, chain.form(), range(first, first + count))
        ((before,),) = await database.rows(chain.stored)
        load = ClosedLoop(self._bodies)
        router = await chain.start(database.folder, upstreams)
        try:
            warm = await load.run(router.port, WARM_SECONDS)
            stretch = await load.run(router.port, self._bench.seconds, router.processes)
        finally:
            await router.stop()
        if warm.wrapped or stretch.wrapped:
            raise RuntimeError(f"{chain.name} answered more than {PER_SECOND:,}/s, so message ids came again.")
        ((after,),) = await database.rows(chain.stored)
        acknowledged = warm.answers - warm.refused + stretch.answers - stretch.refused
        not_stored = max(0, acknowledged - (after - before))
        return Durable(**vars(stretch), system=chain.name, database=database.kind, not_stored=not_stored)


def _make_rows(found: Sequence[Durable]) -> list[Row]:
    rows = [row for kind in KINDS for row in _rows_of(found, kind)]
    ours = [each for each in found if each.system == WHOLE.name]
    rows.append(none_may("webhooks that failed, end to end", (each.refused + each.broken for each in ours)))
    rows.append(none_may("webhooks answered 200 and not stored", (each.not_stored for each in ours)))
    return rows


def _rows_of(found: Sequence[Durable], kind: str) -> list[Row]:
    rows = []
    for peer in (INSERTS, SAME_PODS):
        for what, figure, unit, target in (
            ("webhooks stored durably", "per_second", "/s", Target(">=", 15_000)),
            ("durable, p50", "p50_ms", "ms", None),
            ("durable, p99", "p99_ms", "ms", Target("<=", 15)),
            ("durable, processor time of the router", "cpu_us", "µs", None),
        ):
            each = target if peer is INSERTS else None
            rows.append(compare(found, f"{what}, {kind}", figure, unit, kind, each, WHOLE.name, peer.name))
    mine, theirs = (median_of(found, chain.name, kind, "per_second") for chain in (WHOLE, INSERTS))
    assert mine is not None
    assert theirs is not None
    return [*rows, Row(f"times as many as {INSERTS.name}, {kind}", mine / theirs, "×", Target(">=", TIMES))]


def _notes(bench: Bench) -> list[str]:
    return [
        f"Medians of {bench.rounds} rounds by turns; wrk, router, two pods or processes and database share all cores.",
        f"{CONNECTIONS} keep-alive connections in a closed loop; signed bodies of about 1 KB, each with its own id.",
        f"{TENANTS:,} suspended tenants, so the inbox alone; one customer each, who has written before.",
        "The pods are there while FastAPI has its turn; waiting, both use about 1 % of a core.",
        f"{SAME_PODS.name}: each request is what our router would have made of one webhook, signed.",
    ]
