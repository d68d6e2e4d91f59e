"""The hot path: usual webhooks are read and answered right in the connection's protocol, without ASGI.

    bytes ─▶ usual head? ── yes ─▶ webhook taken ─▶ answer written, in the order of the requests
                 └── no ──▶ uvicorn's own protocol, byte for byte, until its answer is complete ──▶ back to the top

One connection is either hot or plain at any moment. It turns plain when all hot answers are written, and hot again when
the plain request is over, so answers never overtake each other.

A read of more than 64 KB waits for its turn (`turns.py`), and so does any read from where the last webhook was forged;
the connection is not read on meanwhile. A body that is longer than that is hashed piece by piece as it comes, and put
together only when it is signed.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from comanda_contract.cloud.limits import WEBHOOK_BYTES
from comanda_router.head import read_head
from comanda_router.metrics import LIMITS
from comanda_router.signature import SIGNED, SignedBody, check_digest
from comanda_router.turns import READ_BYTES
from comanda_router.webhook import BODIES, Webhook, Webhooks

UNDER_WAY = 64
"""Webhooks of one connection without an answer; then it is not read on. Clients that pipeline send a few."""
UNDER_WAY_BYTES = 4 * 1024 * 1024
PLAIN_HEAD_BYTES = 64 * 1024
"""A head that is longer when it reaches the plain path is cut off: the parser there has no limit of its own."""


class Answers:
    """Whole HTTP answers by status, made again when the server's headers (the date, once a second) change."""

    def __init__(self) -> None:
        self.draining = False
        """Whether each connection is to close after its answer."""
        self._headers: list[tuple[bytes, bytes]] | None = None
        self._made: dict[int, bytes] = {}

    def of(self, headers: list[tuple[bytes, bytes]], status: int) -> bytes:
        """Return an answer; `headers` are the server's, the same object for as long as they are the same."""
        if headers is not self._headers:
            self._headers = headers
            self._made = {each: make_answer(headers, each, last=False) for each in BODIES}
        return self._made[status]


CLOSE = (b"connection", b"close")


def make_answer(headers: list[tuple[bytes, bytes]], status: int, *, last: bool) -> bytes:
    """Return the bytes of an answer, which says so when it is the connection's last one."""
    body = BODIES[status]
    lines = [line for line in headers if line != CLOSE]
    lines += [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
    if last:
        lines.append(CLOSE)
    return STATUS_LINE[status] + b"".join([b"%b: %b\r\n" % line for line in lines]) + b"\r\n" + body


@dataclass(slots=True)
class _Large:
    """A webhook whose body comes in pieces."""

    app: str
    trace: str
    body: SignedBody
    missing: int
    """Bytes that have not come yet."""


class HotProtocol(HttpToolsProtocol):
    """One connection. The server's app must be a `RouterApp`; see the module for what it does."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        app = self.config.app
        self._webhooks: Webhooks = app.webhooks  # type: ignore[union-attr]
        self._answers: Answers = app.answers  # type: ignore[union-attr]
        self._open: deque[Webhook] = deque()
        """Without a written answer, in the order of their requests."""
        self._open_bytes = 0
        self._held = bytearray()
        """Read and not yet judged: part of a request, or what comes behind one that must be over first."""
        self._needed = 0
        """Bytes that must be held before looking again is worth while."""
        self._unread: deque[bytes] = deque()
        """Reads that wait for their turn."""
        self._suspect = False
        """Whether the last webhook was not signed."""
        self._large: _Large | None = None
        """What the next bytes belong to."""
        self._plain = False
        self._inside = self._in_head = False
        """Where the plain parser is."""
        self._heads = self._plain_head = 0
        """Heads that it has begun, and bytes of the last one that came in reads of their own."""
        self._ending = False
        """Whether the connection closes after its last answer."""
        self._since = self.loop.time()
        """When the request that is incomplete began, or when the last thing happened."""

    # Reading

    def data_received(self, data: bytes) -> None:
        """Read what has come, at once unless it is much, or from where a forged webhook came last."""
        if len(data) > READ_BYTES or self._suspect or self._unread:
            self._unread.append(data)
            self.flow.pause_reading()
            if len(self._unread) == 1:
                self._webhooks.turns.ask(self._have_turn)
        else:
            self._take_in(data)

    def _have_turn(self) -> None:
        if not self._unread:  # the client has gone
            return
        data = self._unread.popleft()
        if self._unread:
            self._webhooks.turns.ask(self._have_turn)
        else:
            self.flow.resume_reading()
        if not self.transport.is_closing():
            self._take_in(data)

    def _take_in(self, data: bytes) -> None:
        """Read bytes in whichever way they are to be read."""
        if self._plain:
            self._feed_plain(data)
            return
        if self._large is not None:
            self._read(data, self._read_large(self._large, data, 0))
            return
        if self._held:
            self._held += data
            if len(self._held) < self._needed:
                return
            data = bytes(self._held)
            self._held.clear()
        else:
            self._since = self.loop.time()
        if self.timeout_keep_alive_task is not None:
            self._unset_keepalive_if_required()
        self._read(data, 0)

    def _read(self, data: bytes, begin: int) -> None:
        """Take every usual request that is whole from `begin` on; keep the rest, or hand it over."""
        size, waiting, webhooks = len(data), self._open, self._webhooks
        while begin < size:
            if len(waiting) >= UNDER_WAY or self._open_bytes >= UNDER_WAY_BYTES or self.flow.write_paused:
                self._hold(data[begin:], 0)
                return
            head = read_head(data, begin)
            if head == "unfinished":
                self._hold(data[begin:], size - begin + 1)
                return
            if head == "unusual":
                self._turn_plain(data[begin:])
                return
            app, digest, body_begin, end, trace = head
            known = webhooks.apps.get(app)
            if known is None or end - body_begin > WEBHOOK_BYTES:
                self._turn_plain(data[begin:])
                return
            if end - body_begin > READ_BYTES:
                if not webhooks.begin_reading(end - body_begin):
                    self._turn_plain(data[begin:])
                    return
                large = self._large = _Large(app, trace, SignedBody(known.keys, digest), end - body_begin)
                begin = self._read_large(large, data, body_begin)
                continue
            if end > size:
                self._hold(data[begin:], end - begin)
                return
            body = data[body_begin:end]
            self._add(webhooks.take(self, app, check_digest(known.keys, body, digest), body, trace))
            begin = end

    def _read_large(self, large: _Large, data: bytes, begin: int) -> int:
        """Take what belongs to a large body; returns where the bytes behind it begin."""
        piece = data[begin : begin + large.missing]
        large.body.add(piece)
        large.missing -= len(piece)
        if not large.missing:
            self._large = None
            verdict, webhooks = large.body.verdict(), self._webhooks
            webhooks.end_reading(large.body.size)
            if verdict in SIGNED:
                self._add(webhooks.take(self, large.app, verdict, large.body.content(), large.trace))
            else:
                self._add(webhooks.refuse(self, large.app, verdict, large.body.size))
        return begin + len(piece)

    def _add(self, webhook: Webhook) -> None:
        self._open.append(webhook)
        self._open_bytes += webhook.size
        self._suspect = webhook.status == 401
        if webhook.status:
            self.on_answer(webhook)

    def _hold(self, rest: bytes, needed: int) -> None:
        """Keep bytes until there are `needed`; 0 when not bytes are missing but answers."""
        self._held += rest
        self._needed = needed
        if not needed:
            self.flow.pause_reading()

    def _go_on(self) -> None:
        """Look again at what is held, now that everything before it is answered."""
        if self._held and not self._needed and not self._open and not self.flow.write_paused:
            data = bytes(self._held)
            self._held.clear()
            self.flow.resume_reading()
            self._read(data, 0)

    # Answering

    def on_answer(self, webhook: Webhook) -> None:
        """Write every answer whose turn it is."""
        waiting = self._open
        if not waiting or waiting[0] is not webhook:
            return  # not its turn, or its client has gone
        headers, answers = self.server_state.default_headers, self._answers
        content = b""
        while waiting and (status := waiting[0].status):
            self._open_bytes -= waiting.popleft().size
            if not waiting and (answers.draining or self._ending):
                self.transport.write(content + make_answer(headers, status, last=True))
                self.transport.close()
                return
            content += answers.of(headers, status)
        self.transport.write(content)
        if self._held:
            self._go_on()

    # The plain path

    def _turn_plain(self, rest: bytes) -> None:
        if self._open:
            self._hold(rest, 0)
        else:
            self._plain = True
            self.flow.resume_reading()
            self._feed_plain(rest)

    def _feed_plain(self, data: bytes) -> None:
        head = self._heads
        super().data_received(data)
        if self._in_head and self._heads == head:  # all that was read belongs to this head
            self._plain_head += len(data)
            if self._plain_head > PLAIN_HEAD_BYTES and not self.transport.is_closing():
                LIMITS.counts["head"] += 1
                self.send_400_response("The request's head is too large.")
        self._turn_hot_when_over()

    def _turn_hot_when_over(self) -> None:
        cycle: RequestResponseCycle | None = self.cycle
        is_over = not self.pipeline and (cycle is None or cycle.response_complete)
        if self._plain and is_over and not self._inside:
            self._plain = False

    def on_message_begin(self) -> None:
        """Note where the plain parser is."""
        self._inside = self._in_head = True
        self._heads += 1
        self._plain_head = 0
        self._since = self.loop.time()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Note where the plain parser is."""
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Note where the plain parser is."""
        self._inside = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Turn hot again when that was all."""
        super().on_response_complete()
        self._turn_hot_when_over()

    # The connection

    def resume_writing(self) -> None:
        """Read on: the client takes its answers again."""
        super().resume_writing()
        self._go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget what cannot be answered any more; deliveries that are under way go on."""
        super().connection_lost(exc)
        self._open.clear()
        self._held.clear()
        self._unread.clear()
        if self._large is not None:
            self._webhooks.end_reading(self._large.body.size + self._large.missing)
            self._large = None

    def shutdown(self) -> None:
        """Close when the request that has begun is answered, or at once."""
        if self._plain:
            if not self._inside:
                super().shutdown()
        elif self._open or self._held or self._large or self._unread:
            self._ending = True
        else:
            self.transport.close()

    def look(self, now: float, request_seconds: float) -> None:
        """Close a connection whose request does not come to its end, or that has been idle for long."""
        age = now - self._since
        if self._inside or (self._held and self._needed) or self._large:
            if age > request_seconds:
                LIMITS.counts["slow_request"] += 1
                self.transport.abort()
        elif not self._plain and not self._open and not self._unread and age > self.timeout_keep_alive:
            self.transport.close()
