"""What good webhooks wait while fifty connections send forged, slow and 3 MB bodies, beside what they wait in peace."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.common.results import Row, Target
from bench.common.stats import median
from bench.router.bodies import webhook_form
from bench.router.paced import CONNECTIONS, OpenLoop, Post, posts_of
from bench.router.report import Bench, Report, compare, none_may
from bench.router.standin import build_standin, standing_in
from bench.router.systems import HAPROXY, HERE, LOAD_CORE, OURS, SYSTEM_CORE, System, start_router

PODS = 8
PER_SECOND = 300
TIMES = 2
"""How much longer than other stretches, and how many times as long good webhooks may wait under attack."""


@dataclass(frozen=True)
class Attack:
    """One router, in peace and under attack. Times in milliseconds."""

    system: str
    peace_p50_ms: float
    peace_p99_ms: float
    attack_p50_ms: float
    attack_p99_ms: float
    failed: int
    """Good webhooks not answered 200."""
    refused_per_second: float
    """Forged and large bodies that were answered 401."""
    accepted: int
    """Forged ones that were answered 200."""

    @property
    def where(self) -> str:
        """There is one place alone."""
        return ""

    @property
    def times(self) -> float:
        """How many times as long the slowest of a hundred waits under attack."""
        return self.attack_p99_ms / self.peace_p99_ms


async def measure(bench: Bench) -> Report:
    """Measure both routers by turns."""
    found: list[Attack] = []
    standin = build_standin(bench.folder)
    count = CONNECTIONS + PER_SECOND * TIMES * bench.seconds
    posts = posts_of(webhook_form(), range(count))
    for number in range(1, bench.rounds + 1):
        for system in (OURS, HAPROXY):
            each = await _measure_one(system, bench.folder / f"{number}-{system.name}", standin, posts, number)
            found.append(each)
            bench.tell(
                f"round {number}: {system.name}: p99 {each.peace_p99_ms:.2f} ms in peace, {each.attack_p99_ms:.2f} "
                f"under attack ({each.refused_per_second:,.0f} refused a second), {each.failed} failed"
            )
    return Report(_make_rows(found), found, _notes(bench, found))


async def _measure_one(system: System, folder: Path, standin: Path, posts: Sequence[Post], seed: int) -> Attack:
    first, counted = posts[:CONNECTIONS], posts[CONNECTIONS:]
    async with standing_in(standin, PODS) as upstreams:
        router = await start_router(system, folder, upstreams, core=SYSTEM_CORE)
        load, loop = OpenLoop(router.port), asyncio.get_running_loop()
        try:
            await load.connect(first)
            peace = await load.run(counted, PER_SECOND, seed)
            begin = loop.time()
            async with _attacked(router.port) as got:
                attacked = await load.run(counted, PER_SECOND, seed)
            seconds = loop.time() - begin
        finally:
            load.close()
            await router.stop()
    return Attack(
        system=system.name,
        peace_p50_ms=peace.p50_ms,
        peace_p99_ms=peace.p99_ms,
        attack_p50_ms=attacked.p50_ms,
        attack_p99_ms=attacked.p99_ms,
        failed=peace.failed + attacked.failed,
        refused_per_second=sum(count for what, count in got.items() if what.endswith("401")) / seconds,
        accepted=sum(count for what, count in got.items() if what.endswith("200")),
    )


@asynccontextmanager
async def _attacked(port: int) -> AsyncIterator[dict[str, int]]:
    """Attack a port meanwhile; what the attackers got is known at the end."""
    process = await asyncio.create_subprocess_exec(
        # Behind everybody else on their core, so that it is the router whom they keep busy and not the good webhooks.
        *("nice", "-n", "19", "taskset", "-c", LOAD_CORE, sys.executable, str(HERE / "attackers.py"), str(port)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    got: dict[str, int] = {}
    try:
        yield got
    finally:
        process.stdin.close()
        said, _ = await process.communicate()
    got.update(json.loads(said))


def _make_rows(found: Sequence[Attack]) -> list[Row]:
    ours = [each for each in found if each.system == OURS.name]
    rows = [
        compare(found, f"good webhooks at {PER_SECOND}/s, p99 {when}", figure, "ms", "", None, OURS.name, HAPROXY.name)
        for when, figure in (("in peace", "peace_p99_ms"), ("under attack", "attack_p99_ms"))
    ]
    limit = Target("<=", TIMES)
    rows.append(compare(found, "p99 under attack, of that in peace", "times", "×", "", limit, OURS.name, HAPROXY.name))
    rows.append(none_may("good webhooks that failed under attack", (each.failed for each in ours)))
    rows.append(none_may("forged webhooks that were taken", (each.accepted for each in ours)))
    return rows


def _notes(bench: Bench, found: Sequence[Attack]) -> list[str]:
    ours, theirs = (
        median([each.refused_per_second for each in found if each.system == system.name]) for system in (OURS, HAPROXY)
    )
    return [
        f"Medians of {bench.rounds} rounds by turns; router on core {SYSTEM_CORE}, attackers on core {LOAD_CORE}.",
        f"Good webhooks in an open loop at {PER_SECOND}/s on {CONNECTIONS} keep-alive connections.",
        "20 connections with forged webhooks of 1 KB, 10 with forged ones of 3 MB, 20 that send a byte every 0.1 s.",
        f"Ours refused {ours:,.0f} forged ones a second meanwhile, HAProxy {theirs:,.0f}.",
        "HAProxy, as configured here, reads 64 KB of a body and refuses all that are longer, Meta's own too.",
    ]
