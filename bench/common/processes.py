"""Processes under test: started in their own session, looked at, and ended by their ids alone."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import psutil

MIB = 2**20


class Child:
    """A process that this benchmark started; its error output goes to a log file."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.process = process
        self.log = log

    @classmethod
    async def start(
        cls, command: Sequence[str], *, log: Path, cwd: Path, environment: Mapping[str, str] | None = None
    ) -> Child:
        """Start it; standard output is a pipe that `lines` reads. Raises `OSError`."""
        with log.open("ab") as errors:
            process = await asyncio.create_subprocess_exec(
                *command,
                cwd=cwd,
                env={**os.environ, **(environment or {})},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        return cls(process, log)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    async def next_line(self) -> str:
        """Return the next line of its output, empty at the end."""
        output = self.process.stdout
        return (await output.readline()).decode().rstrip("\n") if output is not None else ""

    async def stop(self, seconds: float = 40.0) -> int:
        """Ask it to end, kill it after `seconds`; returns its exit code."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(seconds):
                return await self.process.wait()
        except TimeoutError:
            for child in psutil.Process(self.pid).children(recursive=True):
                child.kill()
            self.process.kill()
            return await self.process.wait()

    def log_tail(self, lines: int = 20) -> str:
        """Return the end of its log, for an error message."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def rss_mib(processes: Mapping[str, psutil.Process]) -> dict[str, float]:
    """Return each process' resident memory in MiB."""
    return {name: process.memory_info().rss / MIB for name, process in processes.items()}


def cpu_seconds(processes: Iterable[psutil.Process]) -> float:
    """Return the processor seconds that these processes have used, user and system."""
    times = [process.cpu_times() for process in processes]
    return sum(each.user + each.system for each in times)


def machine_busy_seconds() -> float:
    """Return the processor seconds that this machine has spent on anything, all cores together."""
    times = psutil.cpu_times()
    # `user` holds the guests already.
    return sum(times) - times.idle - times.iowait - times.guest - times.guest_nice if psutil.LINUX else 0.0


def free_port() -> int:
    """Return a loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
