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
from comanda_router.webhook import BODIES, Webhook, Webhooks, app_of

_SIGNATURE_HEADER = b"x-hub-signature-256"
_TRACE_HEADER = b"traceparent"


class BodyTooLargeError(Exception):
    """The body is larger than Meta's largest."""


class ClientGoneError(Exception):
    """The client went away before its body was whole."""


class PlainWebhooks:
    """The ASGI end of a webhook, outside the framework's request machinery, which costs more than it."""

    def __init__(self, webhooks: Webhooks) -> None:
        self.webhooks = webhooks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one webhook."""
        PLAIN.counts["post"] += 1
        try:
            status = await self._answer(scope, receive)
        except ClientGoneError:
            return
        body = BODIES[status]
        headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]
        if status == 413:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Scope, receive: Receive) -> int:
        app = app_of(scope["path"], DEFAULT_APP)
        known = self.webhooks.apps.get(app) if app is not None else None
        if app is None or known is None:
            return _refused(404)
        headers = dict(scope["headers"])
        try:
            body = await read_body(headers, receive)
        except BodyTooLargeError:
            return _refused(413)
        asked = _Asked()
        trace = read_traceparent([value for name, value in scope["headers"] if name == _TRACE_HEADER])
        self.webhooks.take(asked, app, known.keys, headers.get(_SIGNATURE_HEADER), body, trace)
        return await asked.status


class _Asked:
    """Waits for a webhook's answer as a coroutine can."""

    def __init__(self) -> None:
        self.status: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def on_answer(self, webhook: Webhook) -> None:
        if not self.status.done():
            self.status.set_result(webhook.status)


def _refused(status: int) -> int:
    WEBHOOKS.counts[status] += 1
    return status


async def read_body(headers: dict[bytes, bytes], receive: Receive) -> bytes:
    """Read a body of at most 3 MB. Raises `BodyTooLargeError` before more than that is read, or `ClientGoneError`."""
    declared = headers.get(b"content-length", b"0")
    if declared.isdigit() and int(declared) > WEBHOOK_BYTES:
        raise BodyTooLargeError
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > WEBHOOK_BYTES:
            raise BodyTooLargeError
        chunks.append(chunk)
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)
