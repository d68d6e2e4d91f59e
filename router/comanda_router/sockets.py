"""Listening sockets that processes hand on to each other, and the smallest of HTTP clients for what listens on them."""

from __future__ import annotations

import asyncio
import socket

from comanda_router.settings import RouterSettings

BACKLOG = 2048
READ_AHEAD_BYTES = 64 * 1024
"""What the kernel keeps of a connection that is not being read (it takes twice as much for its own use): all of it is
copied in one go when the connection is read again, before anybody can tell that it is much. Kept to a few of the usual
webhooks, many clients with large bodies hold the others up by less."""


def listen(host: str, port: int, *, reuse_port: bool = False) -> socket.socket:
    """Return a listening socket; with `reuse_port` others may listen on the same port. Raises `OSError`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=BACKLOG, reuse_port=reuse_port)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, READ_AHEAD_BYTES)  # its connections have it from there
    return listener


def listen_all(settings: RouterSettings) -> list[socket.socket]:
    """Return a listening socket for each worker, all on one port. Raises `OSError`."""
    shared = settings.reuse_port or settings.workers > 1
    first = listen(settings.host, settings.port, reuse_port=shared)
    port = first.getsockname()[1]
    return [first, *(listen(settings.host, port, reuse_port=True) for _ in range(settings.workers - 1))]


async def get(port: int, path: str, seconds: float = 2.0) -> tuple[int, bytes]:
    """Return status and body of a GET from a loopback port. Raises `OSError`, which a time-out is too."""
    async with asyncio.timeout(seconds):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            answer = await reader.read()
        finally:
            writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    status = head[9:12]
    if not status.isdigit():
        raise ConnectionResetError
    return int(status), body
