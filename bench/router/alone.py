"""The router alone, on one core; load and pods' stand-in share another. Beside it HAProxy, nginx + Lua, FastAPI."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.common.results import Row, Target
from bench.router.bodies import webhook_form, write_bodies
from bench.router.load import CONNECTIONS, ClosedLoop, Stretch
from bench.router.report import Bench, Report, compare, median_of, none_may
from bench.router.standin import build_standin, standing_in
from bench.router.systems import HAPROXY, LOAD_CORE, NAIVE, NGINX, OURS, SYSTEM_CORE, System, start_router

PODS = (8, 64, 1000)
SYSTEMS = {8: (OURS, HAPROXY, NGINX, NAIVE)}
OTHER_SYSTEMS = (OURS, HAPROXY)
BODIES = 20_000
WARM_SECONDS = 1


@dataclass(frozen=True)
class Alone(Stretch):
    """One router before so many pods."""

    system: str
    pods: int

    @property
    def where(self) -> str:
        """How many pods."""
        return str(self.pods)


async def measure(bench: Bench) -> Report:
    """Measure every router by turns, round after round."""
    bodies, found = bench.folder / "bodies", list[Alone]()
    standin = build_standin(bench.folder)
    write_bodies(bodies, webhook_form(), range(BODIES))
    for number in range(1, bench.rounds + 1):
        for pods in bench.pods:
            for place, system in enumerate(SYSTEMS.get(pods, OTHER_SYSTEMS)):
                folder = bench.folder / f"{number}-{pods}-{place}"
                result = await _measure_one(system, folder, standin, pods, bodies, bench.seconds)
                found.append(result)
                bench.tell(
                    f"round {number}: {pods:5} pods, {system.name}: {result.per_second:,.0f}/s, "
                    f"p99 {result.p99_ms:.1f} ms, {result.cpu_us:.1f} µs, {result.refused + result.broken} failed"
                )
    return Report(_make_rows(found, bench.pods), found, _notes(bench))


async def _measure_one(  # noqa: PLR0917 - what one measurement is made of
    system: System, folder: Path, standin: Path, pods: int, bodies: Path, seconds: int
) -> Alone:
    load = ClosedLoop(bodies, core=LOAD_CORE)
    async with standing_in(standin, pods) as upstreams:
        router = await start_router(system, folder, upstreams, core=SYSTEM_CORE)
        try:
            await load.run(router.port, WARM_SECONDS)
            stretch = await load.run(router.port, seconds, router.processes)
        finally:
            await router.stop()
    return Alone(**vars(stretch), system=system.name, pods=pods)


def _make_rows(found: Sequence[Alone], pods: Sequence[int]) -> list[Row]:
    rows = [row for count in pods for row in _rows_of(found, count)]
    few, many = (median_of(found, OURS.name, str(count), "per_second") for count in (8, 1000))
    if few and many:
        rows.append(Row("speed with 1,000 pods, of that with 8", 100 * many / few, "%", Target(">=", 70)))
    failed = (each.refused + each.broken for each in found if each.system == OURS.name)
    return [*rows, none_may("webhooks that failed, the router alone", failed)]


def _rows_of(found: Sequence[Alone], pods: int) -> list[Row]:
    where = str(pods)
    peer = median_of(found, HAPROXY.name, where, "per_second")
    assert peer is not None
    rows = []
    for other in SYSTEMS.get(pods, OTHER_SYSTEMS)[1:]:
        first = other is HAPROXY
        fast = Target("<=", 3) if first and pods == 8 else None
        for what, figure, unit, target in (
            ("webhooks a second", "per_second", "/s", Target(">=", peer) if first else None),
            ("p99", "p99_ms", "ms", fast),
            ("processor time a webhook", "cpu_us", "µs", None),
        ):
            rows.append(compare(found, f"{what}, {pods} pods", figure, unit, where, target, OURS.name, other.name))
    return rows


def _notes(bench: Bench) -> list[str]:
    return [
        f"Medians of {bench.rounds} rounds by turns; router on core {SYSTEM_CORE}, all else on core {LOAD_CORE}.",
        f"{CONNECTIONS} keep-alive connections in a closed loop; each request with its own X-Request-Id and addresses.",
        "Signed webhooks of about 1 KB, 10,000 tenants; answered when the pods' stand-in has answered; it stores none.",
        "Peers forward each body whole in a request of its own; ours splits and gathers.",
    ]
