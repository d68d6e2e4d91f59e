"""End to end at 1,000 webhooks a second, far from the ceiling: what a webhook waits for its answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.common.results import Row, Target
from bench.router.chains import SAME_PODS, WHOLE, Chain, let_all_write
from bench.router.databases import KINDS, Database, running_databases
from bench.router.paced import CONNECTIONS, OpenLoop, Paced, posts_of
from bench.router.pods import running_pods
from bench.router.report import Bench, Report, compare, none_may
from bench.router.systems import TENANTS, Upstreams

PER_SECOND = 1000
TIMES = 2
"""How much longer than other stretches: the slowest of a thousand takes many thousands to be known."""


@dataclass(frozen=True)
class Open(Paced):
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
    """Measure both chains on both databases by turns, round after round."""
    found: list[Open] = []
    async with running_databases(bench.folder / "databases") as databases:
        for kind in KINDS:
            found += await _measure_on(await databases.fresh(kind), bench)
    ours = [each for each in found if each.system == WHOLE.name]
    rows = [row for kind in KINDS for row in _rows_of(found, kind)]
    rows.append(none_may("webhooks that failed, open loop", (each.failed for each in ours)))
    rows.append(none_may("webhooks answered 200 and not stored, open loop", (each.not_stored for each in ours)))
    return Report(rows, found, _notes(bench, max(each.late_p99_ms for each in found)))


async def _measure_on(database: Database, bench: Bench) -> list[Open]:
    found, count = [], CONNECTIONS + PER_SECOND * TIMES * bench.seconds
    async with running_pods(database) as pods:
        first = await let_all_write(database, pods)
        for number in range(1, bench.rounds + 1):
            for chain in (WHOLE, SAME_PODS):
                each = await _measure_one(chain, database, pods, range(first, first + count), number)
                first += count
                found.append(each)
                bench.tell(
                    f"round {number}: {database.kind}, {chain.name}: p50 {each.p50_ms:.2f} p99 {each.p99_ms:.2f} "
                    f"p99.9 {each.p999_ms:.1f} ms, generator late p99 {each.late_p99_ms:.2f} ms, {each.failed} failed"
                )
    return found


async def _measure_one(chain: Chain, database: Database, pods: Upstreams, indices: range, seed: int) -> Open:
    """Load one chain for its stretch; the first webhooks only make the connections."""
    posts = posts_of(chain.form(), indices)
    ((before,),) = await database.rows(chain.stored)
    router = await chain.start(database.folder, pods)
    load = OpenLoop(router.port)
    try:
        acknowledged = await load.connect(posts[:CONNECTIONS])
        paced = await load.run(posts[CONNECTIONS:], PER_SECOND, seed)
    finally:
        load.close()
        await router.stop()
    ((after,),) = await database.rows(chain.stored)
    acknowledged += paced.answers - paced.failed
    not_stored = max(0, acknowledged - (after - before))
    return Open(**vars(paced), system=chain.name, database=database.kind, not_stored=not_stored)


def _rows_of(found: Sequence[Open], kind: str) -> list[Row]:
    limits = (("p50", "p50_ms", 2), ("p99", "p99_ms", 5), ("p99.9", "p999_ms", 25))
    return [
        compare(
            found,
            f"at {PER_SECOND:,}/s (open loop), {name}, {kind}",
            figure,
            "ms",
            kind,
            Target("<=", limit),
            WHOLE.name,
            SAME_PODS.name,
        )
        for name, figure, limit in limits
    ]


def _notes(bench: Bench, late_ms: float) -> list[str]:
    return [
        f"Medians of {bench.rounds} rounds by turns; {PER_SECOND:,} webhooks a second at random moments.",
        f"Distinct ids, {TENANTS:,} suspended tenants, {CONNECTIONS} keep-alive connections.",
        "A wait begins when the webhook was meant to leave.",
        f"The generator itself was late by {late_ms:.2f} ms (p99, worst round); that is part of every wait.",
    ]
