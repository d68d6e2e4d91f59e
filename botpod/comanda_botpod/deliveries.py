"""`POST /v1/deliveries`: the router's batches, authenticated by the group's key."""

from __future__ import annotations

import hmac

import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from comanda_botpod.inbox import Inbox
from comanda_contract.deliveries import MAX_BATCH, MAX_BATCH_BYTES, BatchAnswer, decode_batch, encode_answers

_log = structlog.get_logger()


class DeliveriesEndpoint:
    """Reads a batch, stores it, answers for each delivery."""

    def __init__(self, inbox: Inbox, group_key: str) -> None:
        self._inbox = inbox
        self._expected = f"Bearer {group_key}".encode()

    async def __call__(self, request: Request) -> Response:
        """Answer 200 with a `BatchAnswer`; 401, 413 or 400 for a request that is no router's."""
        shown = request.headers.get("authorization", "").encode()
        if not hmac.compare_digest(shown, self._expected):
            return _refusal(401, "unauthorized", "The group key is missing or wrong.")
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BATCH_BYTES:
                return _refusal(413, "too_large", f"A batch may hold {MAX_BATCH_BYTES} bytes.")
        try:
            batch = decode_batch(bytes(body)).deliveries
        except msgspec.DecodeError as error:
            _log.error("batch_malformed", problem=str(error))
            return _refusal(400, "malformed", str(error))
        if len(batch) > MAX_BATCH:
            return _refusal(413, "too_many", f"A batch may hold {MAX_BATCH} deliveries.")
        answers = await self._inbox.take(batch)
        return Response(encode_answers(BatchAnswer(answers=answers)), media_type="application/json")


def _refusal(status: int, code: str, message: str) -> Response:
    return JSONResponse({"code": code, "message": message, "hint": ""}, status_code=status)
