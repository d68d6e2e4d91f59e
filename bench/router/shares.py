"""Who takes the two cores while webhooks are stored durably: `.venv/bin/python bench/router/shares.py`.

Router, two pods, database and wrk under the load of the part *durable*; prints microseconds of processor time a webhook
by who took them, and writes no file. What is nobody's of these is the kernel's own work, interrupts above all, and the
neighbours'.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench.router.bodies import write_bodies
from bench.router.chains import WHOLE, let_all_write
from bench.router.databases import KINDS, Database, running_databases
from bench.router.durable import PER_SECOND, WARM_SECONDS
from bench.router.load import ClosedLoop
from bench.router.pods import running_pods
from bench.router.run import exact_loop

SECONDS = 6
EDGE_SECONDS = 1.0
"""Left out at both ends of the stretch."""
WHO: Mapping[str, str] = {
    "comanda_router": "router",
    "comanda_botpod": "the two pods",
    "postgres": "PostgreSQL",
    "wrk": "the generator (wrk)",
}
"""A word of the command line → who that is."""


def taken() -> dict[str, float]:
    """Return the seconds of processor time that each of them, and the whole machine, has taken so far."""
    found: dict[str, float] = defaultdict(float)
    for process in psutil.process_iter():
        try:
            line, times = " ".join(process.cmdline()[:3]), process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        who = next((who for word, who in WHO.items() if word in line), None)
        if who is not None:
            found[who] += times.user + times.system
    machine = psutil.cpu_times()
    found["idle"] = machine.idle + machine.iowait
    found["all"] = sum(machine[:8])
    return found


async def measure(database: Database, folder: Path) -> None:
    """Load one database's chain, and print the table."""
    bodies = folder / "bodies"
    async with running_pods(database) as pods:
        first = await let_all_write(database, pods)
        write_bodies(bodies, WHOLE.form(), range(first, first + PER_SECOND * (WARM_SECONDS + SECONDS)))
        load = ClosedLoop(bodies)
        router = await WHOLE.start(database.folder, pods)
        try:
            await load.run(router.port, WARM_SECONDS)
            running = asyncio.create_task(load.run(router.port, SECONDS, router.processes))
            await asyncio.sleep(EDGE_SECONDS)
            before = taken()
            await asyncio.sleep(SECONDS - 2 * EDGE_SECONDS)
            after = taken()
            stretch = await running
        finally:
            await router.stop()
    used = {who: after[who] - before[who] for who in after}
    used["all else"] = used["all"] - used["idle"] - sum(used.get(who, 0.0) for who in WHO.values())
    webhooks = stretch.per_second * (SECONDS - 2 * EDGE_SECONDS)
    print(f"\n{database.kind}: {stretch.per_second:,.0f}/s, p99 {stretch.p99_ms:.1f} ms")
    for who in (*dict.fromkeys(WHO.values()), "all else", "idle"):
        if used.get(who, 0.0) > 0:
            print(f"  {who:22} {1e6 * used[who] / webhooks:6.1f} µs  {100 * used[who] / used['all']:5.1f} %")


async def _measure_all() -> None:
    with tempfile.TemporaryDirectory(prefix="comanda-shares-") as made:
        folder = Path(made)
        async with running_databases(folder / "databases") as databases:
            for kind in KINDS:
                await measure(await databases.fresh(kind), folder)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=exact_loop) as runner:
        runner.run(_measure_all())
