"""A proxy in front of the API that counts calls, ends its client's process right after a write, or answers with errors.

After a write and before its answer the API has done what was asked, and nobody was told: of all moments for a power
failure the worst. An API that has too much to do, or fails inside, does some of what it answers with an error.
"""

from __future__ import annotations

import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from random import Random
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp import web

from tests.cluster import ApiServer
from tests.cluster.processes import free_port

_HOP = {"host", "connection", "keep-alive", "transfer-encoding", "content-length"}
"""Headers that are about one connection."""
_ERRORS = (429, 503, 500, 504)
_UNTOUCHED = frozenset({429, 503})
"""After these the API has done nothing; after the others it may have done everything."""
_ADDED = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
"""What a client of aiohttp adds by itself."""


class CountingProxy:
    """Speaks as the API does, on a port of its own; an async context manager."""

    def __init__(self, server: ApiServer) -> None:
        self.port = free_port()
        self.writes: list[str] = []
        """What was written through it, Leases and Events aside."""
        self.calls = 0
        """All that came, answered or not."""
        self.failed: Counter[int] = Counter()
        """Errors that were answered, by status."""
        self._share = 0.0
        self._chance = Random(1)
        self._server = server
        self._left = 0
        self._end: Callable[[], Awaitable[None]] | None = None
        self._stack = AsyncExitStack()

    def end_after(self, writes: int, end: Callable[[], Awaitable[None]]) -> None:
        """Call `end` once the API has answered so many writes; the last answer is not handed on."""
        self._left, self._end = writes, end

    def fail(self, share: float, seed: int = 1) -> None:
        """Answer this share of all calls with an error from now on."""
        self._share, self._chance = share, Random(seed)

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
        self.calls += 1
        status = self._chance.choice(_ERRORS) if self._chance.random() < self._share else 0
        if status in _UNTOUCHED:
            return self._error(status)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP}
        url, body = f"{self._server.url}{request.raw_path}", await request.read()
        asking = self._session.request(
            request.method, url, headers=headers, data=body or None, skip_auto_headers=_ADDED, allow_redirects=False
        )
        async with asking as answer:
            if is_write(request) and answer.status < 300:
                await self._count(f"{request.method} {request.path}")
            if status:
                return self._error(status)
            said = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP}
            response = web.StreamResponse(status=answer.status, headers=said)
            with suppress(ConnectionError, aiohttp.ClientError):  # who asked is gone
                await response.prepare(request)
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
                await response.write_eof()
            return response

    def _error(self, status: int) -> web.Response:
        self.failed[status] += 1
        said = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status}
        return web.json_response(said, status=status, headers={"Retry-After": "1"} if status == 429 else {})

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
