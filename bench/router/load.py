"""A closed loop of signed webhooks: wrk, each request with an identity of its own in its headers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from bench.common.processes import cpu_seconds
from bench.router.systems import HERE, find_program

CONNECTIONS = 64


@dataclass(frozen=True)
class Stretch:
    """One stretch of load. Times in milliseconds, processor time in microseconds."""

    answers: int
    refused: int
    """Answers other than 200."""
    broken: int
    """Requests without an answer."""
    per_second: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    cpu_us: float
    """Of the processes that were watched, a webhook."""
    wrapped: int
    """How often the file of bodies has begun anew: with it, message ids."""


class ClosedLoop:
    """wrk over one file of bodies: each stretch goes on where the one before has ended."""

    def __init__(self, bodies: Path, *, core: str | None = None) -> None:
        self._wrk = find_program("wrk")
        self._bodies = bodies
        self._pinned = () if core is None else ("taskset", "-c", core)
        self._next = 0

    async def run(self, port: int, seconds: int, watched: Sequence[psutil.Process] = ()) -> Stretch:
        """Load a port for so long. Raises `RuntimeError` when wrk fails."""
        before = cpu_seconds(watched)
        said = await self._run(port, seconds)
        used = cpu_seconds(watched) - before
        # wrk asks for requests that it does not send any more; each connection may have one.
        self._next += int(said["sent"]) + CONNECTIONS
        answers = int(said["requests"])
        return Stretch(
            answers=answers,
            refused=int(said["refused"]),
            broken=int(said["broken"]),
            per_second=1e6 * answers / said["microseconds"],
            p50_ms=said["p50"],
            p99_ms=said["p99"],
            p999_ms=said["p999"],
            cpu_us=1e6 * used / max(answers, 1),
            wrapped=int(said["wrapped"]),
        )

    async def _run(self, port: int, seconds: int) -> dict[str, float]:
        process = await asyncio.create_subprocess_exec(
            *(*self._pinned, self._wrk, "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency"),
            *("-s", str(HERE / "load.lua"), f"http://127.0.0.1:{port}", "--", str(self._bodies), str(self._next)),
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
        found = re.search(rb"^RESULT (.*)$", output, re.MULTILINE)
        if found is None:
            raise RuntimeError(f"wrk said no result: {output.decode(errors='replace')}")
        return {name: float(value) for name, value in (pair.split("=") for pair in found[1].decode().split())}
