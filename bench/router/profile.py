"""Where the router's processor time goes: `.venv/bin/python bench/router/profile.py [PODS …]`, sampled by perf.

It needs perf (`apt-get install linux-perf`) beside what the part *alone* needs, and writes no file. Only what runs is
sampled, so neighbours on the machine change the speed and hardly the shares.
"""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping
from operator import itemgetter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench.router.alone import BODIES, WARM_SECONDS
from bench.router.bodies import webhook_form, write_bodies
from bench.router.load import ClosedLoop
from bench.router.run import exact_loop
from bench.router.standin import build_standin, standing_in
from bench.router.systems import LOAD_CORE, OURS, SYSTEM_CORE, MissingError, find_program, start_router

SECONDS = 10
SAMPLES_PER_SECOND = 997

KINDS: Mapping[str, re.Pattern[str]] = {
    "the kernel: reads, writes, what is ready": re.compile(r"\[kernel|\[k\]|\[vdso\]"),
    "SHA-256 (OpenSSL)": re.compile("libcrypto|_hashlib"),
    "JSON (msgspec)": re.compile("_core"),
    "header lines (regular expressions)": re.compile("sre_"),
    "event loop (uvloop)": re.compile(r"loop\.|libuv"),
    "our Python: the interpreter": re.compile("python"),
}
"""By library and function; the first that fits counts."""


def read_shares(lines: Iterable[str]) -> dict[str, float]:
    """Add up perf's lines of share, library and function; shares in percent."""
    found: dict[str, float] = defaultdict(float)
    for line in lines:
        share = re.match(r"\s*([0-9.]+)%\s+(.*)", line)
        if share is not None:
            kind = next((kind for kind, of in KINDS.items() if of.search(share[2])), "memory and all else")
            found[kind] += float(share[1])
    return found


async def measure(pods: int, folder: Path) -> None:
    """Load a router before so many pods, and print the table."""
    bodies, samples = folder / "bodies", folder / f"{pods}.samples"
    write_bodies(bodies, webhook_form(), range(BODIES))
    load = ClosedLoop(bodies, core=LOAD_CORE)
    async with standing_in(build_standin(folder), pods) as upstreams:
        router = await start_router(OURS, folder / str(pods), upstreams, core=SYSTEM_CORE)
        try:
            await load.run(router.port, WARM_SECONDS)
            recording = asyncio.create_task(_record(router.processes[0].pid, samples))
            stretch = await load.run(router.port, SECONDS, router.processes)
            lines = await recording
        finally:
            await router.stop()
    print(f"\n{pods} pods: {stretch.per_second:,.0f}/s, {stretch.cpu_us:.0f} µs of processor time a webhook")
    for kind, share in sorted(read_shares(lines).items(), key=itemgetter(1), reverse=True):
        print(f"  {kind:42} {share:5.1f} %  {share * stretch.cpu_us / 100:6.1f} µs")


async def _record(pid: int, samples: Path) -> list[str]:
    """Sample a process for most of the time that it is loaded; return perf's report."""
    perf = find_program("perf")
    record = ("record", "-q", "-F", str(SAMPLES_PER_SECOND), "-o", str(samples), "-p", str(pid))
    await _run(perf, *record, "--", "sleep", str(SECONDS - 1))
    return (await _run(perf, "report", "-i", str(samples), "--stdio", "-q", "--sort", "dso,symbol")).splitlines()


async def _run(*command: str) -> str:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
    said, problem = await process.communicate()
    if process.returncode:
        raise RuntimeError(problem.decode())
    return said.decode()


async def main() -> None:
    """Measure for each number of pods that the command line names."""
    with tempfile.TemporaryDirectory(prefix="comanda-bench-router-") as folder:
        for pods in map(int, sys.argv[1:] or ("8", "1000")):
            await measure(pods, Path(folder))


if __name__ == "__main__":
    try:
        with asyncio.Runner(loop_factory=exact_loop) as runner:
            runner.run(main())
    except (MissingError, RuntimeError) as error:
        sys.exit(str(error))
