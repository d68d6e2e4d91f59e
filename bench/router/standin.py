"""The stand-in for pods: answers each batch "stored" without storing, so that a router is what is measured."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bench.router.systems import HERE, LOAD_CORE, Upstreams, find_program

FIRST_PORTS = range(20_000, 30_000, 2_000)
"""Where to look for as many free ports in a row as there are pods, below those that the kernel gives to clients."""


def build_standin(folder: Path) -> Path:
    """Build it and return its path. Raises `MissingError` without Go."""
    binary = folder / "standin"
    command = [find_program("go"), "build", "-o", str(binary), "."]
    subprocess.run(command, cwd=HERE / "sink", check=True)
    return binary


@asynccontextmanager
async def standing_in(binary: Path, count: int) -> AsyncIterator[Upstreams]:
    """Answer on so many ports in a row, from the load's core. Raises `RuntimeError`."""
    for first in FIRST_PORTS:
        process = await asyncio.create_subprocess_exec(
            *("taskset", "-c", LOAD_CORE, str(binary), "-first", str(first), "-count", str(count)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            if await process.stdout.readline() == b"ready\n":
                yield Upstreams(range(first, first + count))
                return
        finally:
            process.stdin.close()
            await process.wait()
    raise RuntimeError("The stand-in for pods did not start: it found no free ports in a row; its output says more.")
