"""Processes of local mode: started, looked after, started again when they die, and ended in order."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from comanda_cli.local.events import Events

PROBE_SECONDS = 0.1
"""How often a process that is not ready is asked; a ready one is asked every second."""
_LONGEST_RESTART_SECONDS = 5.0
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class ProcessSpec:
    """What to run: a name for people, the command, its own environment, and where it says whether it is ready."""

    name: str
    module: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    ready_url: str
    log: Path
    stop_seconds: float = 30.0


@dataclass(frozen=True)
class Readiness:
    """What a process said of itself when it was last asked."""

    ready: bool = False
    loaded: str = ""


class ManagedProcess:
    """One process, kept running until `stop`. `on_change` is called whenever its readiness changes."""

    def __init__(
        self, spec: ProcessSpec, session: aiohttp.ClientSession, events: Events, on_change: Callable[[], None]
    ) -> None:
        self.spec = spec
        self.readiness = Readiness()
        self.awaited = ""
        """What it should say it has loaded; until it does, it is asked often."""
        self._session = session
        self._events = events
        self._on_change = on_change
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False
        self._tasks = [
            asyncio.create_task(self._keep_running(), name=f"run-{spec.name}"),
            asyncio.create_task(self._keep_probing(), name=f"probe-{spec.name}"),
        ]

    @property
    def pid(self) -> int | None:
        """The process id, None while it is not running."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def stop(self) -> None:
        """Ask it to end, wait, and kill it when it does not."""
        self._stopping = True
        self._set(Readiness())
        process = self._process
        if process is not None and process.returncode is None:
            process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(self.spec.stop_seconds):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _keep_running(self) -> None:
        failures = 0
        while True:
            self._process = await self._start()
            self._events.say("process_started", process=self.spec.name, pid=self._process.pid)
            code = await self._process.wait()
            was_ready = self.readiness.ready
            self._set(Readiness())
            if self._stopping:
                return
            failures = 0 if was_ready else failures + 1
            self._events.say("process_exited", process=self.spec.name, code=code, log=str(self.spec.log))
            await asyncio.sleep(min(0.1 * 2**failures, _LONGEST_RESTART_SECONDS))

    async def _start(self) -> asyncio.subprocess.Process:
        self.spec.log.parent.mkdir(parents=True, exist_ok=True)
        with self.spec.log.open("ab") as log:
            return await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                self.spec.module,
                *self.spec.arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.spec.environment},
                # Ctrl-C is for the parent, which ends its children in order.
                start_new_session=True,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )

    async def _keep_probing(self) -> None:
        while not self._stopping:
            self._set(await self._probe())
            settled = self.readiness.ready and self.awaited in {"", self.readiness.loaded}
            await asyncio.sleep(1.0 if settled else PROBE_SECONDS)

    async def _probe(self) -> Readiness:
        if self.pid is None:
            return Readiness()
        try:
            timeout = aiohttp.ClientTimeout(total=2.0)
            async with self._session.get(self.spec.ready_url, timeout=timeout) as response:
                body = await response.json(content_type=None) if response.status == 200 else {}
                loaded = body.get("loaded", "") if isinstance(body, dict) else ""
                return Readiness(ready=response.status == 200, loaded=loaded)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return Readiness()

    def _set(self, readiness: Readiness) -> None:
        if readiness != self.readiness:
            self.readiness = readiness
            self._on_change()


def free_port() -> int:
    """Return a port on the loopback address that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def port_is_free(port: int) -> bool:
    """Tell whether a server could listen on a loopback port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _die_with_parent() -> None:
    # When the parent is killed, its children must not stay behind and hold ports and the database.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
