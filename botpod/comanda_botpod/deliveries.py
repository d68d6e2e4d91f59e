"""`POST /v1/deliveries`: the router's batches, authenticated by the group's key.

An ASGI app of its own: a web framework's request handling would cost more than storing a delivery.
"""

from __future__ import annotations

import hmac

import msgspec
import structlog
from starlette.types import Receive, Scope, Send

from comanda_botpod.inbox import Inbox
from comanda_contract.deliveries import MAX_BATCH, MAX_BATCH_BYTES, BatchAnswer, decode_batch, encode_answers

_log = structlog.get_logger()
_JSON = (b"content-type", b"application/json")
_refusal = msgspec.json.Encoder().encode


class RefusedBatchError(Exception):
    """A request that is no router's, or a batch that cannot be read; nothing of it was stored."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = _refusal({"code": code, "message": message, "hint": ""})


class DeliveriesEndpoint:
    """Reads a batch, stores it, answers for each delivery."""

    def __init__(self, inbox: Inbox, group_key: str) -> None:
        self._inbox = inbox
        self._expected = f"Bearer {group_key}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 200 with a `BatchAnswer`; 401, 413 or 400 for a request that is no router's."""
        try:
            status, body = 200, await self._answer(scope, receive)
        except RefusedBatchError as refused:
            status, body = refused.status, refused.body
        headers = [_JSON, (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Scope, receive: Receive) -> bytes:
        shown = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        if not hmac.compare_digest(shown, self._expected):
            raise RefusedBatchError(401, "unauthorized", "The group key is missing or wrong.")
        content = await _read(receive)
        try:
            batch = decode_batch(content).deliveries
        except msgspec.DecodeError as error:
            _log.error("batch_malformed", problem=str(error))
            raise RefusedBatchError(400, "malformed", str(error)) from None
        if len(batch) > MAX_BATCH:
            raise RefusedBatchError(413, "too_many", f"A batch may hold {MAX_BATCH} deliveries.")
        return encode_answers(BatchAnswer(answers=await self._inbox.take(batch)))


async def _read(receive: Receive) -> bytes:
    """Read the request's body. Raises `RefusedBatchError` when it is too large or breaks off."""
    content = b""
    more = True
    while more:
        event = await receive()
        if event["type"] == "http.disconnect":
            raise RefusedBatchError(400, "broken_off", "The request broke off.")
        content += event.get("body", b"")
        more = event.get("more_body", False)
        if len(content) > MAX_BATCH_BYTES:
            raise RefusedBatchError(413, "too_large", f"A batch may hold {MAX_BATCH_BYTES} bytes.")
    return content
