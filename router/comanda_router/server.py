"""The server process: uvicorn with the hot path, and an end in which nobody is cut off.

On SIGTERM readiness goes first, while the listener stays open: whoever sends traffic here needs a moment to notice.
Every answer then says `Connection: close`. After `drain_seconds` the listener closes, what is under way is finished,
and the process ends with 0. A second signal ends it at once.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
import time
from collections.abc import Iterator
from types import FrameType

import structlog
import uvicorn

from comanda_router.app import RouterApp, create_app
from comanda_router.hot import CLOSE, HotProtocol
from comanda_router.settings import RouterSettings

_log = structlog.get_logger()

KEEP_ALIVE_SECONDS = 75
"""Longer than the proxies before us keep a connection idle, so that it is they who close it."""

SWITCH_SECONDS = 0.0002
"""After so long a thread that works out another directory lets the event loop go on; by default it would be 5 ms, at
every read and write."""

LAST_READ_SECONDS = 0.1
"""For connections that were accepted last: their requests are on their way."""


def make_config(app: RouterApp) -> uvicorn.Config:
    """Return how uvicorn is to serve a router."""
    return uvicorn.Config(
        app,
        http=HotProtocol,
        ws="none",
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=10,
        lifespan="on",
    )


class RouterServer(uvicorn.Server):
    """uvicorn's server with a drain before its shutdown, and a look at slow connections once a second."""

    def __init__(self, app: RouterApp, settings: RouterSettings, *, has_parent: bool = False) -> None:
        super().__init__(make_config(app))
        self._has_parent = has_parent
        self._app = app
        self._settings = settings
        self._drained_at: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
        """Begin to drain at the first signal, end at the second one."""
        self.drain()

    def drain(self) -> None:
        """Begin to drain; end at once when that has begun already."""
        if self._drained_at is None:
            self._drained_at = time.monotonic() + self._settings.drain
            self._app.health.draining = self._app.answers.draining = True
        else:
            self.should_exit = self.force_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to serve; a worker ends with its parent."""
        await super().startup(sockets)
        if self._has_parent:
            asyncio.get_running_loop().add_reader(sys.stdin.fileno(), self._on_parent_gone)

    def _on_parent_gone(self) -> None:
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        self.drain()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take what still waits to be accepted, then close the listener and finish what is under way."""
        loop = asyncio.get_running_loop()
        for listener in sockets or ():
            for connection in _waiting_connections(listener):
                await loop.connect_accepted_socket(self._make_connection, connection)
        for server in self.servers:
            server.close()
        await asyncio.sleep(LAST_READ_SECONDS)
        await super().shutdown(sockets)

    def _make_connection(self) -> HotProtocol:
        return HotProtocol(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

    async def on_tick(self, counter: int) -> bool:
        """Do what is due every tenth of a second; True when it is time to end."""
        ends = await super().on_tick(counter)
        state = self.server_state
        if self._app.answers.draining and CLOSE not in state.default_headers:
            state.default_headers = [*state.default_headers, CLOSE]
        if counter % 10 == 0:
            now = self._app.webhooks.loop.time()
            for connection in list(state.connections):
                if isinstance(connection, HotProtocol):
                    connection.look(now, self._settings.request_seconds)
        return ends or (self._drained_at is not None and time.monotonic() >= self._drained_at)


def _waiting_connections(listener: socket.socket) -> Iterator[socket.socket]:
    """Give the connections that clients have made and nobody has accepted."""
    try:
        while True:
            connection, _ = listener.accept()
            connection.setblocking(False)  # noqa: FBT003 - the standard library's signature
            yield connection
    except BlockingIOError:
        return


def tune() -> None:
    """Keep the interpreter from holding up the event loop."""
    # What start-up made lives as long as the process: leave it out of every later collection, and make those rarer.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    sys.setswitchinterval(SWITCH_SECONDS)


def serve(
    settings: RouterSettings, listener: socket.socket, health_listener: socket.socket | None, *, has_parent: bool
) -> int:
    """Serve until a signal says to stop. Returns the exit code."""
    listener.setblocking(False)  # noqa: FBT003 - the standard library's signature
    server = RouterServer(create_app(settings, health_listener), settings, has_parent=has_parent)
    tune()
    server.run([listener])
    return 0 if server.started else 1
