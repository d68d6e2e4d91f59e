"""Where a pod's time goes: `.venv/bin/python bench/pod/profile.py --py-spy ~/.local/bin/py-spy`.

Runs the same loads as `make bench NAME=pod`, whole orders and deliveries, on either database, and prints for each: the
pod's processor time, its commits by its own metrics, and which part of the code held Python's lock, sampled by py-spy
(`pip install py-spy`, as root or with permission to trace).
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
import urllib.request
from collections import Counter
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop
from rich.console import Console
from rich.table import Table

# A script: the repository is not on the path when it is started by its file name.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench.common.postgres import fresh_database, running_postgres
from bench.common.processes import cpu_seconds
from bench.pod import measures
from bench.pod.systems import Pod

AREAS = (
    ("flow engine", ("comanda_flow/",)),
    ("store, databases", ("comanda_store/", "asyncpg/", "sqlalchemy/")),
    ("HTTP out", ("aiohttp/", "comanda_botpod/sender.py", "comanda_botpod/receipts.py")),
    ("HTTP in", ("uvicorn/", "starlette/", "comanda_botpod/app.py", "comanda_botpod/deliveries.py")),
    ("reading deliveries", ("comanda_botpod/inbox.py", "comanda_botpod/read.py")),
    ("turns, lanes", ("comanda_botpod/",)),
    ("metrics, logs", ("prometheus_client/", "structlog/")),
)
OTHERS = "event loop, others"
SAMPLES_A_SECOND = 250
COUNTED = {"orders": "comanda_botpod_turns_total", "deliveries": "comanda_botpod_deliveries_total"}
"""Load → the pod's own count of what it has done."""


@dataclass
class Profile:
    """What one load showed; times in seconds."""

    units: int = 0
    processor: float = 0.0
    commits: float = 0.0
    rows: float = 0.0
    committing: float = 0.0
    areas: Counter[str] = field(default_factory=Counter)


def area_of(frames: list[str]) -> str:
    """Return the area of the innermost frame that belongs to one; `frames` come as py-spy writes them, outermost first.

    What several areas use, such as the contract, counts for whoever called it.
    """
    for frame in reversed(frames):
        for area, places in AREAS:
            if any(place in frame for place in places):
                return area
    return OTHERS


def areas_of(samples: str) -> Counter[str]:
    """Count py-spy's raw samples by area."""
    found: Counter[str] = Counter()
    for line in samples.splitlines():
        stack, _, count = line.rpartition(" ")
        found[area_of(stack.split(";"))] += int(count)
    return found


@contextmanager
def watched(pods: list[Pod]) -> Iterator[None]:
    """Note every pod that is started meanwhile."""
    start = Pod.start

    async def noted(pod: Pod) -> None:
        await start(pod)
        pods.append(pod)

    Pod.start = noted  # type: ignore[method-assign]
    try:
        yield
    finally:
        Pod.start = start  # type: ignore[method-assign]


async def figures(pod: Pod) -> Counter[str]:
    """Return a pod's metrics; those with labels are the sums of what was done and stored."""
    url = f"http://127.0.0.1:{pod.port}/metrics"
    content = await asyncio.to_thread(lambda: urllib.request.urlopen(url, timeout=10).read().decode())
    found: Counter[str] = Counter()
    for line in content.splitlines():
        name, _, value = line.rpartition(" ")
        if "{" not in name or 'outcome="done"' in name or 'outcome="stored"' in name:
            found[name.partition("{")[0]] += float(value) if not line.startswith("#") else 0
    return found


async def profile(counted: str, load: Coroutine[Any, Any, object], arguments: argparse.Namespace) -> Profile:
    """Run a load and look at its pod from the time when it has warmed up."""
    result, pods = Profile(), list[Pod]()

    async def look() -> None:
        while not pods:
            await asyncio.sleep(0.05)
        await asyncio.sleep(4)
        pod = pods[0]
        before, used = await figures(pod), cpu_seconds([pod.process])
        with tempfile.NamedTemporaryFile() as samples:
            options = ["-r", str(SAMPLES_A_SECOND), "-d", str(arguments.seconds), "-f", "raw", "--gil"]
            command = [arguments.py_spy, "record", *options, "-o", samples.name, "-p", str(pod.process.pid)]
            spy = await asyncio.create_subprocess_exec(
                *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
            )
            if await spy.wait() != 0:
                sys.exit(f"{arguments.py_spy} could not trace the pod.")
            result.areas = areas_of(Path(samples.name).read_text())
        after = await figures(pod)
        result.processor = cpu_seconds([pod.process]) - used

        def more(name: str) -> float:
            return after[name] - before[name]

        result.units = int(more(counted))
        result.commits = more("comanda_botpod_commit_rows_count")
        result.rows = more("comanda_botpod_commit_rows_sum")
        result.committing = more("comanda_botpod_commit_seconds_sum")

    with watched(pods):
        await asyncio.gather(load, look())
    return result


async def run(arguments: argparse.Namespace, console: Console) -> None:
    """Profile both loads on both databases and print the table."""
    folder = Path(tempfile.mkdtemp(prefix="comanda-bench-"))
    folder.chmod(0o755)  # PostgreSQL runs as another user and keeps its data below
    long = arguments.seconds + 6.0
    profiles: dict[str, Profile] = {}
    try:
        async with running_postgres(folder) as server:
            for name in ("SQLite", "PostgreSQL"):
                for what in ("orders", "deliveries"):
                    place = folder / f"{name}-{what}"
                    place.mkdir()
                    file = f"sqlite+pysqlite:///{place / 'comanda.db'}"
                    url = file if name == "SQLite" else (await fresh_database(server)).service
                    load = {"orders": measures.orders, "deliveries": measures.deliveries}[what]
                    found = await profile(COUNTED[what], load(place, url, name, long), arguments)
                    profiles[f"{name}, {what}"] = found
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    console.print(table_of(profiles))


def table_of(profiles: dict[str, Profile]) -> Table:
    """Return the table: a column a load, a row a figure."""
    table = Table(box=None, header_style="bold")
    for heading in ("of one turn or delivery", *profiles):
        table.add_column(heading, justify="left" if heading not in profiles else "right")
    each = list(profiles.values())
    table.add_row("processor time of the pod, µs", *(f"{1e6 * p.processor / max(p.units, 1):.0f}" for p in each))
    table.add_row("commits", *(f"{p.commits / max(p.units, 1):.3f}" for p in each))
    table.add_row("rows a commit", *(f"{p.rows / max(p.commits, 1):.1f}" for p in each))
    table.add_row("time a commit, ms", *(f"{1e3 * p.committing / max(p.commits, 1):.2f}" for p in each))
    for area in (*(name for name, _ in AREAS), OTHERS):
        table.add_row(f"Python in: {area}", *(f"{100 * p.areas[area] / max(p.areas.total(), 1):.0f} %" for p in each))
    return table


def main() -> int:
    """Profile and print; returns the exit code."""
    parser = argparse.ArgumentParser(description="Where a pod's time goes, a turn and a delivery.")
    parser.add_argument("--py-spy", default="py-spy", help="the sampler")
    parser.add_argument("--seconds", type=int, default=8, help="length of each stretch")
    uvloop.run(run(parser.parse_args(), Console(width=140)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
