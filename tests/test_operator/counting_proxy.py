"""A proxy in front of the API that ends its client's process right after a write of it, before the answer comes.

The API has done what was asked, and nobody was told: of all moments for a power failure the worst.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp import web

from tests.cluster import ApiServer
from tests.cluster.processes import free_port

_HOP = {"host", "connection", "keep-alive", "transfer-encoding", "content-length"}
"""Headers that are about one connection."""
_ADDED = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
"""What a client of aiohttp adds by itself."""


class CountingProxy:
    """Speaks as the API does, on a port of its own; an async context manager."""

    def __init__(self, server: ApiServer) -> None:
        self.port = free_port()
        self.writes: list[str] = []
        """What was written through it, Leases and Events aside."""
        self._server = server
        self._left = 0
        self._end: Callable[[], Awaitable[None]] | None = None
        self._stack = AsyncExitStack()

    def end_after(self, writes: int, end: Callable[[], Awaitable[None]]) -> None:
        """Call `end` once the API has answered so many writes; the last answer is not handed on."""
        self._left, self._end = writes, end

    async def __aenter__(self) -> Self:
        self._session = await self._stack.enter_async_context(
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=self._server.trust, limit=0),
                timeout=aiohttp.ClientTimeout(),
                auto_decompress=False,
            )
        )
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{path:.*}", self._serve)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(self._server.folder / "apiserver.crt", self._server.folder / "apiserver.key")
        await web.TCPSite(runner, "127.0.0.1", self.port, ssl_context=tls).start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP}
        url, body = f"{self._server.url}{request.raw_path}", await request.read()
        asking = self._session.request(
            request.method, url, headers=headers, data=body or None, skip_auto_headers=_ADDED, allow_redirects=False
        )
        async with asking as answer:
            if is_write(request) and answer.status < 300:
                await self._count(f"{request.method} {request.path}")
            said = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP}
            response = web.StreamResponse(status=answer.status, headers=said)
            with suppress(ConnectionError, aiohttp.ClientError):  # who asked is gone
                await response.prepare(request)
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
                await response.write_eof()
            return response

    async def _count(self, call: str) -> None:
        self.writes.append(call)
        self._left -= 1
        if self._end is not None and self._left <= 0:
            end, self._end = self._end, None
            await end()


def is_write(request: web.Request) -> bool:
    """Tell whether a call changes anything but Leases and Events."""
    return request.method not in {"GET", "HEAD"} and request.path.split("/")[2] not in _ASIDE


_ASIDE = {"coordination.k8s.io", "events.k8s.io"}
