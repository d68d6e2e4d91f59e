"""The parent of several workers on one port: it starts them, starts one again that dies, and passes signals on.

Workers share nothing. The kernel spreads connections over their sockets (SO_REUSEPORT). The parent makes those sockets
and keeps them, so what a worker has not accepted when it dies waits for the next one. Asked for health, readiness,
metrics or a route, the parent asks its workers.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

_log = structlog.get_logger()

FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 15.0
STEADY_SECONDS = 30.0
"""A worker that has lived for so long is started again after the first pause, however many died before."""


@dataclass
class Worker:
    """One worker's place: its sockets outlive its process."""

    number: int
    listener: socket.socket
    health: socket.socket
    process: Process | None = None
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def health_port(self) -> int:
        """The loopback port on which it answers for its health."""
        port: int = self.health.getsockname()[1]
        return port


class Workers:
    """Runs a worker for each listener until a signal says to stop. Raises `OSError` without a port for their health."""

    def __init__(self, listeners: Sequence[socket.socket]) -> None:
        self.workers = [
            Worker(number, listener, socket.create_server(("127.0.0.1", 0)))
            for number, listener in enumerate(listeners)
        ]
        self.draining = False

    async def run(self) -> int:
        """Run until SIGTERM or SIGINT and until every worker has ended; returns the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        return max(await asyncio.gather(*(self._keep_alive(worker) for worker in self.workers)))

    def _stop(self) -> None:
        """Tell every worker to drain; a second time, end it at once."""
        for worker in self.workers:
            worker.stopping.set()
            # A socket that the parent kept would go on collecting connections that nobody accepts.
            worker.listener.close()
            if worker.process is not None and worker.process.returncode is None:
                worker.process.send_signal(signal.SIGKILL if self.draining else signal.SIGTERM)
        self.draining = True

    async def _keep_alive(self, worker: Worker) -> int:
        pause = FIRST_PAUSE_SECONDS
        while True:
            begun = time.monotonic()
            code = await self._run_once(worker)
            if worker.stopping.is_set():
                return code
            if time.monotonic() - begun > STEADY_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            _log.error("worker_died", worker=worker.number, code=code, again_in_seconds=pause)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(worker.stopping.wait(), pause)
                return 0
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    async def _run_once(self, worker: Worker) -> int:
        fds = worker.listener.fileno(), worker.health.fileno()
        # Its standard input is a pipe from us: when that ends, we are gone, and it drains.
        worker.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "comanda_router", "--listen-fd", str(fds[0]), "--health-fd", str(fds[1])),
            stdin=PIPE,
            stdout=DEVNULL,
            pass_fds=fds,
            start_new_session=True,  # a Ctrl-C in a terminal is for the parent alone
            env=os.environ | {"COMANDA_ROUTER_WORKERS": "1"},
        )
        if self.draining:  # told to stop while it was being started
            worker.process.terminate()
        return await worker.process.wait()
