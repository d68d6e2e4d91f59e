"""`make bench NAME=router`: our router alone on one core, beside HAProxy, nginx + Lua, and FastAPI + httpx.

README.md in the folder above says what is measured and how to read it.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
from pathlib import Path

from rich.console import Console

# A script: the repository is not on the path when it is started by its file name.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench.common.results import Row, Target, print_results, write_results
from bench.common.stats import median
from bench.router.load import Measured, measure, write_bodies
from bench.router.systems import HAPROXY, NAIVE, NGINX, OURS, MissingError, System, build_sink, start

PODS = (8, 64, 1000)
CONNECTIONS = 64
SYSTEMS = {8: (OURS, HAPROXY, NGINX, NAIVE), 64: (OURS, HAPROXY), 1000: (OURS, HAPROXY)}


async def run_rounds(arguments: argparse.Namespace, console: Console) -> list[Measured]:
    """Measure every system by turns, round after round."""
    found: list[Measured] = []
    folder = Path(tempfile.mkdtemp(prefix="comanda-bench-router-"))
    try:
        build_sink(folder / "sink")
        write_bodies(folder / "bodies")
        for number in range(1, arguments.rounds + 1):
            for pods in arguments.pods:
                for system in SYSTEMS.get(pods, SYSTEMS[64]):
                    result = await run_one(system, folder, pods, arguments.seconds)
                    found.append(result)
                    console.print(
                        f"round {number}: {pods:5} pods, {system.name}: {result.per_second:,.0f}/s, "
                        f"p99 {result.p99_ms:.1f} ms, {result.cpu_us:.1f} µs, {result.failed} failed",
                        style="dim",
                    )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return found


async def run_one(system: System, folder: Path, pods: int, seconds: int) -> Measured:
    """Start one system with its pods, load it, and end it."""
    result = Measured(system.name, pods, CONNECTIONS)
    running = await start(system, folder / f"{system.command.__name__}-{pods}", folder / "sink", pods)
    try:
        await measure(running, result, folder / "bodies", seconds)
    finally:
        await running.stop()
    return result


def make_rows(found: list[Measured], pods: tuple[int, ...]) -> list[Row]:
    """Return the rows: medians over the rounds."""

    def of(system: System, count: int, figure: str) -> float | None:
        values = [getattr(each, figure) for each in found if (each.system, each.pods) == (system.name, count)]
        return median(values) if values else None

    rows: list[Row] = []
    for count in pods:
        mine, peer = of(OURS, count, "per_second"), of(HAPROXY, count, "per_second")
        assert mine is not None
        assert peer is not None
        rows += [
            Row(f"webhooks a second, {count} pods", mine, "/s", Target(">=", peer), HAPROXY.name, peer),
            Row(f"p99, {count} pods", of(OURS, count, "p99_ms") or 0, "ms", Target("<=", 3) if count == 8 else None,
                HAPROXY.name, of(HAPROXY, count, "p99_ms")),
            Row(f"processor time a webhook, {count} pods", of(OURS, count, "cpu_us") or 0, "µs", None,
                HAPROXY.name, of(HAPROXY, count, "cpu_us")),
        ]  # fmt: skip
        for other in SYSTEMS.get(count, ())[2:]:
            rows.append(
                Row(f"webhooks a second, {count} pods", mine, "/s", None, other.name, of(other, count, "per_second"))
            )
            rows.append(
                Row(
                    f"p99, {count} pods",
                    of(OURS, count, "p99_ms") or 0,
                    "ms",
                    None,
                    other.name,
                    of(other, count, "p99_ms"),
                )
            )
    if {8, 1000} <= set(pods):
        few, many = of(OURS, 8, "per_second"), of(OURS, 1000, "per_second")
        assert few is not None
        assert many is not None
        rows.append(Row("speed with 1,000 pods, of that with 8", 100 * many / few, "%", Target(">=", 70)))
    rows.append(
        Row("webhooks that failed", sum(each.failed for each in found if each.system == OURS.name), "", Target("<=", 0))
    )
    return rows


def main() -> int:
    """Run, write and print the results; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog='make bench NAME=router BENCH_ARGS="…"',
        description="Measures one router on one core; load and pods share another.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=5, help="rounds; rows are medians")
    parser.add_argument("--seconds", type=int, default=5, help="length of each measured stretch")
    parser.add_argument("--pods", type=int, nargs="+", default=PODS, help="numbers of pods")
    arguments = parser.parse_args()
    console = Console(highlight=False, soft_wrap=True)
    try:
        found = asyncio.run(run_rounds(arguments, console))
    except MissingError as error:
        console.print(str(error), style="red")
        return 1
    except KeyboardInterrupt:
        console.print("Stopped; nothing was written.", style="yellow")
        return 130
    rows = make_rows(found, tuple(arguments.pods))
    notes = [
        f"Medians of {arguments.rounds} rounds by turns; router on core 0, wrk and the pods' stand-in on core 1.",
        f"{CONNECTIONS} keep-alive connections in a closed loop; each request with its own X-Request-Id and addresses.",
        "Webhooks of about 1 KB, signed, 10,000 tenants; answered when the pod has answered.",
        "The stand-in stores nothing. Peers forward each body whole in a request of its own; ours splits and gathers.",
    ]
    path = write_results("router", rows, found, notes)
    console.print()
    print_results("The router alone", rows, notes, console)
    console.print(f"\nWritten to {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
