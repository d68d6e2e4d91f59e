"""One keep-alive HTTP/1.1 connection to a pod, for the one request that the router makes.

A general client costs more for a request than everything else that a webhook needs: this one writes prepared bytes,
knows an answer again that it has read once, and leaves reading any other to a full parser.
"""

from __future__ import annotations

import asyncio
from typing import Protocol, cast

from httptools import HttpParserError, HttpResponseParser

from comanda_contract.deliveries import MAX_BATCH

ANSWER_BYTES = MAX_BATCH * 256
"""No pod's answer to a batch is longer."""

_END = b"\r\n\r\n"
_known: dict[bytes, bytes] = {}
"""Complete answers with status 200 on connections that stay open, and the body of each. Pods' answers to batches of the
same size differ by their date alone, so those of the last second are enough."""
_KNOWN = 512
_KNOWN_BYTES = 4096
"""A longer answer is to a batch that is large: reading it costs little for each delivery."""


class Owner(Protocol):
    """Who hears what became of a request."""

    def on_answer(self, status: int, content: bytes) -> None:
        """Take a whole answer; the connection may be used again unless it is `closing`."""

    def on_lost(self, connection: PodConnection) -> None:
        """Hear that the connection is gone; an answer that was under way will not come."""


class PodConnection(asyncio.Protocol):
    """Carries one request at a time; what it cannot read as an answer is a lost connection."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._transport: asyncio.WriteTransport | None = None
        self._parser = HttpResponseParser(self)
        self._content = b""
        self._read = 0, b""
        """Status and body of the last answer that the parser has read."""
        self._busy = False
        self.answers = 0
        """Requests that this connection has carried to their end."""
        self.answering = False
        """Whether an answer has begun to come."""

    @property
    def closing(self) -> bool:
        """Whether it cannot carry another request."""
        return self._transport is None or self._transport.is_closing()

    def post(self, request: bytes) -> None:
        """Write one request."""
        assert self._transport is not None  # noqa: S101 - a connection is handed out when it is made
        self._busy, self.answering = True, False
        self._transport.write(request)

    def abort(self) -> None:
        """Close at once, without another word to the owner."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's is none by its class

    def data_received(self, data: bytes) -> None:
        """Read an answer, or a piece of one."""
        if self.answering or not self._busy:
            self._feed(data)
        elif (content := _known.get(data)) is not None:
            self._complete(200, content)
        else:
            self.answering = True
            self._learn(data)

    def connection_lost(self, _exc: Exception | None) -> None:
        """Tell the owner, unless it was the owner who closed."""
        if self._transport is not None:
            self._transport = None
            self._owner.on_lost(self)

    # Reading

    def _learn(self, data: bytes) -> None:
        answers = self.answers
        self._feed(data)
        status, content = self._read
        whole = data.find(_END) + len(_END) + len(content) == len(data) <= _KNOWN_BYTES
        if self.answers > answers and status == 200 and whole and not self.closing:
            if len(_known) >= _KNOWN:
                _known.clear()
            _known[data] = content

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except HttpParserError:
            self._lose()

    def on_body(self, body: bytes) -> None:
        """Gather the answer's body: the parser calls this."""
        self._content += body
        if len(self._content) > ANSWER_BYTES:
            self._lose()

    def on_message_complete(self) -> None:
        """Hand the answer over: the parser calls this."""
        status = self._parser.get_status_code()
        if status < 200 or self._transport is None:  # an interim answer, or one that nobody waits for
            return
        content, self._content = self._content, b""
        if not self._busy:  # an answer to nothing: whatever comes next would be taken for another's
            self._lose()
            return
        if not self._parser.should_keep_alive():
            self._transport.close()
        self._read = status, content
        self._complete(status, content)

    def _complete(self, status: int, content: bytes) -> None:
        self._busy = False
        self.answers += 1
        self._owner.on_answer(status, content)

    def _lose(self) -> None:
        if self._transport is not None:
            self._transport.abort()
