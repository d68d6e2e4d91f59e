"""A router with 100,000 tenants: how long it takes to start, how large it is, and what a change costs who writes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.common.processes import rss_mib
from bench.common.results import Row
from bench.common.stats import median
from bench.router.bodies import webhook_form
from bench.router.paced import CONNECTIONS, OpenLoop, Paced, Post, posts_of
from bench.router.report import Bench, Report, none_may
from bench.router.standin import build_standin, standing_in
from bench.router.systems import START_SECONDS, SYSTEM_CORE, Router, ours_with, start_router, write_directory

from comanda_contract.names import READY_PATH
from comanda_router.sockets import get

MANY, FEW = 100_000, 10
PODS = 64
PER_SECOND = 300


@dataclass(frozen=True)
class Many:
    """One start with few tenants and one with many, and a change of a directory of many."""

    few_seconds: float
    many_seconds: float
    """From the process' start to its being ready."""
    few_mib: float
    many_mib: float
    change_seconds: float
    """From another directory's being in place to its being in force."""
    peace_worst_ms: float
    change_worst_ms: float
    """The slowest webhook while the other directory was read."""
    failed: int

    @property
    def kilobytes(self) -> float:
        """Memory a tenant."""
        return (self.many_mib - self.few_mib) * 1024 * 1.024 / (MANY - FEW)


async def measure(bench: Bench) -> Report:
    """Measure round after round."""
    found: list[Many] = []
    standin = build_standin(bench.folder)
    posts = posts_of(webhook_form(), range(CONNECTIONS + PER_SECOND * bench.seconds))
    for number in range(1, bench.rounds + 1):
        each = await _measure_one(bench.folder / str(number), standin, posts, number)
        found.append(each)
        bench.tell(
            f"round {number}: ready in {each.many_seconds:.1f} s (with {FEW} tenants {each.few_seconds:.1f}), "
            f"{each.many_mib:.0f} MiB, {each.kilobytes:.2f} kB a tenant, a change in force after "
            f"{each.change_seconds:.2f} s, slowest webhook meanwhile {each.change_worst_ms:.0f} ms"
        )
    return Report(_make_rows(found), found, _notes(bench))


async def _measure_one(folder: Path, standin: Path, posts: Sequence[Post], seed: int) -> Many:
    async with standing_in(standin, PODS) as upstreams:
        few = await start_router(ours_with(FEW), folder / "few", upstreams, core=SYSTEM_CORE)
        few_mib = _rss(few)
        await few.stop()
        many = await start_router(ours_with(MANY), folder / "many", upstreams, core=SYSTEM_CORE)
        try:
            many_mib = _rss(many)
            write_directory(folder, upstreams.ports[:-1], MANY, generation=2)
            peace, changed, change_seconds = await _change(many, folder / "directory.json", posts, seed)
        finally:
            await many.stop()
    return Many(
        few_seconds=few.start_seconds,
        many_seconds=many.start_seconds,
        few_mib=few_mib,
        many_mib=many_mib,
        change_seconds=change_seconds,
        peace_worst_ms=peace.worst_ms,
        change_worst_ms=changed.worst_ms,
        failed=peace.failed + changed.failed,
    )


async def _change(router: Router, other: Path, posts: Sequence[Post], seed: int) -> tuple[Paced, Paced, float]:
    """Load a router in peace, and again while it gets another directory, which a pod has left."""
    load, counted = OpenLoop(router.port), posts[CONNECTIONS:]
    await load.connect(posts[:CONNECTIONS])
    peace = await load.run(counted, PER_SECOND, seed)
    changing = asyncio.create_task(_put_in_force(router, other))
    changed = await load.run(counted, PER_SECOND, seed)
    load.close()
    return peace, changed, await changing


async def _put_in_force(router: Router, other: Path) -> float:
    """Replace the directory and return how many seconds pass until it is in force."""
    loop = asyncio.get_running_loop()
    begin = loop.time()
    other.replace(router.folder / "directory.json")
    while b'"generation":2' not in (await get(router.port, READY_PATH, START_SECONDS))[1]:
        await asyncio.sleep(0.01)
    return loop.time() - begin


def _rss(router: Router) -> float:
    return sum(rss_mib({str(process.pid): process for process in router.processes}).values())


def _make_rows(found: Sequence[Many]) -> list[Row]:
    def row(what: str, figure: str, unit: str) -> Row:
        return Row(what, median([getattr(each, figure) for each in found]), unit)

    with_many = f"with {MANY:,} tenants"
    return [
        row(f"start to ready, {with_many}", "many_seconds", "s"),
        row(f"start to ready, with {FEW} tenants", "few_seconds", "s"),
        row(f"memory (RSS), {with_many}", "many_mib", "MiB"),
        row("memory (RSS) a tenant", "kilobytes", "kB"),
        row(f"another directory in force, {with_many}", "change_seconds", "s"),
        row(f"slowest webhook meanwhile, at {PER_SECOND}/s", "change_worst_ms", "ms"),
        row(f"slowest webhook in peace, at {PER_SECOND}/s", "peace_worst_ms", "ms"),
        none_may("webhooks that failed meanwhile", (each.failed for each in found)),
    ]


def _notes(bench: Bench) -> list[str]:
    return [
        f"Medians of {bench.rounds} rounds; a directory file as in local mode, {PODS} pods in one group.",
        "The other directory lacks one pod, so the numbers of that one move.",
    ]
