"""Runs the application on uvicorn with two things that a stand-in for Meta needs.

Event streams end when it stops, and a connection can be dropped without an answer.
"""

from __future__ import annotations

import contextlib
import signal
import socket
from types import FrameType
from typing import Any, cast

import structlog
import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from comanda_simulator.errors import PortTakenError
from comanda_simulator.graph import DROP_CONNECTION

_log = structlog.get_logger(__name__)

_GRACE_SECONDS = 3
_KEEP_ALIVE_SECONDS = 75
"""Longer than bots keep an idle connection: a send on one that is just ending would be lost from sight."""


class _Protocol(HttpToolsProtocol):
    def on_message_begin(self) -> None:
        super().on_message_begin()
        cast("dict[str, Any]", self.scope)[DROP_CONNECTION] = self.transport.abort


class SimulatorServer(uvicorn.Server):
    """A server that ends event streams first when it stops."""

    def __init__(self, app: Starlette, host: str, port: int) -> None:
        config = uvicorn.Config(
            app,
            host=host,
            port=port,
            http=_Protocol,
            ws="none",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            server_header=False,
        )
        super().__init__(config)
        self._cloud = app.state.cloud

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop; readers of the event stream are sent home before the server waits for open requests."""
        self._cloud.closing = True
        self._cloud.ledger.wake()
        await super().shutdown(sockets)


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 takes a free one. Raises `PortTakenError`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise PortTakenError(host, port) from error
    listener.listen(2048)
    listener.set_inheritable(True)
    return listener


def serve(app: Starlette, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT, then return. Raises `PortTakenError`."""
    listener = bind(host, port)
    # From here on connections queue up in the socket: whoever reads this line may call.
    _log.info("listening", host=host, port=listener.getsockname()[1])
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn raises a captured signal again once it has shut down; that must end in exit code 0.
        signal.signal(signal_number, _leave)
    with contextlib.suppress(SystemExit):
        SimulatorServer(app, host, port).run(sockets=[listener])


def _leave(_signal_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)
