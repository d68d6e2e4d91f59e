"""HTTP to the API: a deadline for every call, few at once, the token as it is now, retries where they are safe.

Nothing here logs, and no error holds what was sent or received, but for `ApiError.answer`.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import aiohttp
from yarl import URL

from comanda_kube.backoff import Backoff
from comanda_kube.config import ClusterConfig
from comanda_kube.errors import ApiUnavailableError, FencedError, ThrottledError, UnauthorizedError, api_error
from comanda_kube.lines import LineSplitter, LineTooLongError

JSON_TYPE = "application/json"

_CONNECT_SECONDS = 3.0
_FIRST_DELAY, _LONGEST_DELAY = 0.1, 2.0
"""Between the tries of one call, in seconds; its deadline ends them."""


@dataclass(frozen=True, slots=True)
class Request:
    """One call. It is `repeatable` when doing it twice is the same as doing it once; `call` names it in errors."""

    method: str
    path: str
    call: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = field(default=None, repr=False)
    content_type: str = JSON_TYPE
    accept: str = JSON_TYPE
    repeatable: bool = True


class Session:
    """Connections to one API with one identity; an async context manager."""

    def __init__(self, config: ClusterConfig, agent: str, concurrency: int, timeout_seconds: float) -> None:
        self._config = config
        self._agent = agent
        self._timeout_seconds = timeout_seconds
        self._places = asyncio.Semaphore(concurrency)
        self.fence: Callable[[], bool] | None = None
        """Asked whether a write may still go out, when its connection is there: nothing waits any more after that."""

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0,  # calls are bounded by their places; watches must never wait for one
                ssl=self._config.tls or True,
                socket_factory=_open_socket,
            ),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
            # Compression would cost both sides more time than a cluster's network takes.
            headers={"User-Agent": self._agent, "Accept-Encoding": "identity"},
            auto_decompress=False,
            request_class=_behind_a_fence(self._check_fence),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.close()

    async def call(self, request: Request) -> bytes:
        """Carry out a request within the deadline, waiting for a place included; return the body. Raises `ApiError`.

        What the API did not touch, and what may be done twice, is tried again while there is time. Where that ends in
        the middle of a try, the error also tells what became of the one before: it may be what a person has to mend.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout_seconds
        backoff = Backoff(_FIRST_DELAY, _LONGEST_DELAY)
        before = ""
        while True:
            try:
                return await self._try(request, deadline, before)
            except (ApiUnavailableError, ThrottledError) as error:
                before = error.fact
                delay = error.retry_after_seconds + backoff.next()
                if not (request.repeatable or error.untouched) or loop.time() + delay >= deadline:
                    raise
            await asyncio.sleep(delay)

    @asynccontextmanager
    async def stream(self, request: Request, seconds: float) -> AsyncIterator[AsyncIterator[bytes]]:
        """Give the lines of a long answer, which may take so many seconds in all. Raises `ApiError`."""
        patience = aiohttp.ClientTimeout(total=seconds, sock_connect=_CONNECT_SECONDS)
        with _translated(request.call):
            response = await self._open(request, patience)
        async with response, aclosing(_lines(request.call, response)) as lines:
            try:
                yield lines
            finally:
                _abandon(response)

    async def _try(self, request: Request, deadline: float, before: str) -> bytes:
        begun = False
        try:
            async with asyncio.timeout_at(deadline), self._places:
                begun = True
                with _translated(request.call):
                    async with await self._open(request, self._http.timeout) as response:
                        return await response.read()
        except TimeoutError as error:
            fact = "the API did not answer in time" if begun else "too many other calls were waiting"
            if before:
                fact += f"; the try before it: {before}"
            raise _unavailable(request.call, fact, untouched=not begun) from error

    async def _open(self, request: Request, patience: aiohttp.ClientTimeout) -> aiohttp.ClientResponse:
        """Send a request, and once more where the token was rotated meanwhile."""
        token = self._config.token
        used = token.read() if token else ""
        try:
            return await self._send(request, used, patience)
        except UnauthorizedError:
            fresh = token.reread() if token else ""
            if fresh == used:
                raise
            return await self._send(request, fresh, patience)

    def _check_fence(self, method: str, path: str) -> None:
        if method != "GET" and self.fence is not None and not self.fence():
            raise FencedError(f"{method} {path}", "we may not write any more")

    async def _send(self, request: Request, token: str, patience: aiohttp.ClientTimeout) -> aiohttp.ClientResponse:
        headers = {"Accept": request.accept, "Content-Type": request.content_type}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        response = await self._http.request(
            request.method,
            URL(self._config.server + request.path, encoded=True).with_query(request.query),
            data=request.body,
            headers=headers,
            timeout=patience,
            allow_redirects=False,  # a token goes to the API and nowhere else
            server_hostname=self._config.server_name,
        )
        if response.status < 300:
            return response
        async with response:
            raise api_error(
                request.call, response.status, await response.read(), response.headers.get("Retry-After", "")
            )


def _behind_a_fence(check: Callable[[str, str], None]) -> type[aiohttp.ClientRequest]:
    """Return a kind of request that is checked when its connection is there, and once more right before it is written.

    The library writes in a task of its own: a process that stands still before that one's turn must not write later.
    """

    class Fenced(aiohttp.ClientRequest):
        async def send(self, conn: Any) -> aiohttp.ClientResponse:
            check(self.method, self.url.path)
            return await super().send(conn)

        async def write_bytes(self, writer: Any, conn: Any, content_length: int | None = None) -> None:
            try:
                check(self.method, self.url.path)
            except FencedError as error:
                conn.protocol.set_exception(error)  # who waits for the answer gets it
                conn.close()
                return
            await super().write_bytes(writer, conn, content_length)

    return Fenced


def _abandon(response: aiohttp.ClientResponse) -> None:
    """End a stream that is not at its end at once: a polite goodbye would wait for a side that may be silent."""
    if response.connection is not None and response.connection.transport is not None:
        response.connection.transport.abort()


async def _lines(call: str, response: aiohttp.ClientResponse) -> AsyncGenerator[bytes, None]:
    splitter = LineSplitter()
    with _translated(call):
        async for piece in response.content.iter_any():
            for line in splitter.feed(piece):
                yield line


@contextmanager
def _translated(call: str) -> Iterator[None]:
    """Turn the HTTP library's errors into ours; a connection that was never made touched nothing."""
    try:
        yield
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
        raise _unavailable(call, f"no connection ({type(error).__name__})", untouched=True) from error
    except (aiohttp.ClientError, OSError, LineTooLongError) as error:
        # This kind holds the request's headers, and with them the token.
        cause = None if isinstance(error, aiohttp.ClientResponseError) else error
        raise _unavailable(call, f"the connection broke ({type(error).__name__})", untouched=False) from cause


def _unavailable(call: str, fact: str, *, untouched: bool) -> ApiUnavailableError:
    error = ApiUnavailableError(call, fact)
    error.untouched = untouched
    return error


def _open_socket(address: tuple[Any, ...]) -> socket.socket:
    """Return a socket that notices within half a minute that the other machine is gone without a word."""
    family, kind, protocol, *_ = address
    opened = socket.socket(family, kind, protocol)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, option):  # macOS has not all of them
            opened.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return opened
