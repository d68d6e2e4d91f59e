"""`POST /webhook[/{app}]` as an ordinary ASGI route: the plain twin of the hot path (`hot.py`).

Whatever request the hot path does not know comes here, through the server's own HTTP parser. A differential test holds
the two equal.
"""

from __future__ import annotations

import asyncio

from starlette.types import Receive, Scope, Send

from comanda_contract.cloud.limits import WEBHOOK_BYTES
from comanda_contract.names import DEFAULT_APP
from comanda_contract.trace import read_traceparent
from comanda_router.metrics import PLAIN, WEBHOOKS
from comanda_router.signature import SIGNED, SignedBody, read_header
from comanda_router.turns import READ_BYTES
from comanda_router.webhook import BODIES, Webhook, Webhooks, app_of

_SIGNATURE_HEADER = b"x-hub-signature-256"
_TRACE_HEADER = b"traceparent"


class RefusedError(Exception):
    """The answer is known before the body is read, or read to its end."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class ClientGoneError(Exception):
    """The client went away before its body was whole."""


class PlainWebhooks:
    """The ASGI end of a webhook, outside the framework's request machinery, which costs more than it."""

    def __init__(self, webhooks: Webhooks) -> None:
        self.webhooks = webhooks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one webhook."""
        PLAIN.counts["post"] += 1
        headers, closes = dict(scope["headers"]), False
        try:
            status = await self._answer(scope, headers, receive)
        except RefusedError as refused:
            # What is short is read and thrown away; for what is long, or may be, the connection is not kept.
            status, closes = refused.status, b"transfer-encoding" in headers or _declared(headers) > READ_BYTES
        except ClientGoneError:
            return
        body = BODIES[status]
        lines = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]
        if closes:
            lines.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": status, "headers": lines})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive) -> int:
        app = app_of(scope["path"], DEFAULT_APP)
        known = self.webhooks.apps.get(app) if app is not None else None
        if app is None or known is None:
            WEBHOOKS.counts[404] += 1
            raise RefusedError(404)
        if _declared(headers) > WEBHOOK_BYTES:
            WEBHOOKS.counts[413] += 1
            raise RefusedError(413)
        asked = _Asked()
        shown = read_header(headers.get(_SIGNATURE_HEADER))
        if isinstance(shown, str):
            self.webhooks.refuse(asked, app, shown, 0)
            raise RefusedError(401)
        body = SignedBody(known.keys, shown)
        size = WEBHOOK_BYTES if b"transfer-encoding" in headers else _declared(headers)
        if size > READ_BYTES:
            await self._read_large(body, size, receive)
        else:
            await _read(body, receive)
        trace = read_traceparent([value for name, value in scope["headers"] if name == _TRACE_HEADER])
        verdict = body.verdict()
        if verdict in SIGNED:
            self.webhooks.take(asked, app, verdict, body.content(), trace)
        else:
            self.webhooks.refuse(asked, app, verdict, body.size)
        return await asked.status

    async def _read_large(self, body: SignedBody, size: int, receive: Receive) -> None:
        if not self.webhooks.begin_reading(size):
            WEBHOOKS.counts[503] += 1
            raise RefusedError(503)
        try:
            await _read(body, receive)
        finally:
            self.webhooks.end_reading(size)


class _Asked:
    """Waits for a webhook's answer as a coroutine can."""

    def __init__(self) -> None:
        self.status: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def on_answer(self, webhook: Webhook) -> None:
        if not self.status.done():
            self.status.set_result(webhook.status)


def _declared(headers: dict[bytes, bytes]) -> int:
    """Return the length that the head gives to the body; 0 when it gives none."""
    declared = headers.get(b"content-length", b"")
    return int(declared) if declared.isdigit() else 0


async def _read(body: SignedBody, receive: Receive) -> None:
    """Read a body of at most 3 MB. Raises `RefusedError` before more than that is read, or `ClientGoneError`."""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        piece = message.get("body", b"")
        if body.size + len(piece) > WEBHOOK_BYTES:
            WEBHOOKS.counts[413] += 1
            raise RefusedError(413)
        body.add(piece)
        more = message.get("more_body", False)
