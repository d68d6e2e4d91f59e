"""The stand-in for pods: answers each batch "stored" without storing, so that a router is what is measured."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bench.router.systems import HERE, LOAD_CORE, Upstreams, find_program

FIRST_PORT = 20_000


def build_standin(folder: Path) -> Path:
    """Build it and return its path. Raises `MissingError` without Go."""
    binary = folder / "standin"
    command = [find_program("go"), "build", "-o", str(binary), "."]
    subprocess.run(command, cwd=HERE / "sink", check=True)
    return binary


@asynccontextmanager
async def standing_in(binary: Path, count: int) -> AsyncIterator[Upstreams]:
    """Answer on so many ports, from the load's core. Raises `RuntimeError`."""
    process = await asyncio.create_subprocess_exec(
        *("taskset", "-c", LOAD_CORE, str(binary), "-first", str(FIRST_PORT), "-count", str(count)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        if await process.stdout.readline() != b"ready\n":
            raise RuntimeError(f"The stand-in for pods did not start; is a port from {FIRST_PORT} on in use?")
        yield Upstreams(range(FIRST_PORT, FIRST_PORT + count))
    finally:
        process.stdin.close()
        await process.wait()
