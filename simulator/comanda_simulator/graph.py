"""The Graph API's door and its hot route: who may call, and `POST /{version}/{phone_number_id}/messages`.

The hot route is a bare ASGI endpoint: a benchmark must measure the bot, not its stand-in for Meta.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from comanda_simulator.cloud import Cloud
from comanda_simulator.config import NumberConfig
from comanda_simulator.errors import GraphRefusal, http_status, is_transient
from comanda_simulator.payloads import encode
from comanda_simulator.sends import Outcome, accept, recipient_of

_JSON = b"application/json; charset=UTF-8"
_MAX_BODY = 1024 * 1024
DROP_CONNECTION = "comanda.drop_connection"
"""Scope key under which the server offers to drop a connection without an answer (`server.py`)."""

GraphHandler = Callable[[Cloud, Request], Awaitable[Response]]


def refusal_body(refusal: GraphRefusal) -> bytes:
    """Encode a refusal in Meta's error shape."""
    error: dict[str, Any] = {
        "message": refusal.message,
        "type": "GraphMethodException" if refusal.subcode else "OAuthException",
        "code": refusal.graph_code,
        "error_data": {"messaging_product": "whatsapp", "details": refusal.details},
        "fbtrace_id": "A" + secrets.token_urlsafe(16),
    }
    if refusal.subcode is not None:
        error["error_subcode"] = refusal.subcode
    if is_transient(refusal.graph_code):
        error["is_transient"] = True
    return encode({"error": error})


def unknown_object(object_id: str) -> GraphRefusal:
    """Return Meta's answer for an id that does not exist or that the token may not see (100, subcode 33)."""
    text = (
        f"Unsupported request. Object with ID '{object_id}' does not exist, cannot be loaded due to missing "
        "permissions, or does not support this operation"
    )
    return GraphRefusal(100, text, subcode=33, title=text)


def check_token(cloud: Cloud, authorization: str) -> list[NumberConfig]:
    """Return the numbers a Bearer token speaks for. Raises `GraphRefusal` 190."""
    scheme, _, token = authorization.partition(" ")
    numbers = cloud.speaks_for(token.strip()) if scheme.lower() == "bearer" else []
    if not numbers:
        title = "Invalid OAuth access token - Cannot parse access token"
        raise GraphRefusal(190, "The access token is missing, unknown or expired.", title=title)
    return numbers


def find_number(cloud: Cloud, authorization: str, phone_number_id: str) -> NumberConfig:
    """Return the number that a call is about. Raises `GraphRefusal` 190 or 100/33."""
    for number in check_token(cloud, authorization):
        if number.phone_number_id == phone_number_id:
            return number
    raise unknown_object(phone_number_id)


async def check_up(cloud: Cloud) -> None:
    """Apply the faults that hit every Graph call. Raises `GraphRefusal` when the API is down."""
    faults = cloud.chance.faults
    if faults.graph_slow_seconds:
        await asyncio.sleep(faults.graph_slow_seconds)
    if faults.graph_down:
        raise GraphRefusal(2, "Meta's service is down.", title="(#2) Service temporarily unavailable")


def graph_route(cloud: Cloud, handler: GraphHandler) -> Callable[[Request], Awaitable[Response]]:
    """Wrap a Graph handler: faults before it, its refusals in Meta's shape after it."""

    async def endpoint(request: Request) -> Response:
        try:
            await check_up(cloud)
            return await handler(cloud, request)
        except GraphRefusal as refusal:
            cloud.refused[refusal.graph_code] += 1
            return Response(
                refusal_body(refusal), http_status(refusal.graph_code), media_type="application/json; charset=UTF-8"
            )

    return endpoint


class MessagesEndpoint:
    """The hot route as an ASGI application."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one send."""
        cloud = self._cloud
        try:
            await check_up(cloud)
            number = find_number(cloud, _header(scope, b"authorization"), scope["path_params"]["node"])
            outcome = await self._accept(number, await _read_body(receive))
        except GraphRefusal as refusal:
            cloud.refused[refusal.graph_code] += 1
            await _respond(send, http_status(refusal.graph_code), refusal_body(refusal))
            return
        if outcome.sent is not None and cloud.chance.hits(cloud.chance.faults.graph_lose_answer):
            await _lose_answer(scope, receive)
            return
        await _respond(send, 200, outcome.body)

    async def _accept(self, number: NumberConfig, raw: bytes) -> Outcome:
        cloud = self._cloud
        faults = cloud.chance.faults
        code = cloud.chance.struck(faults.graph_error, recipient_of(raw))
        if code is not None:
            raise GraphRefusal(code, "The simulator was told to refuse this send.")
        outcome = accept(cloud, number, raw)
        if outcome.sent is None or number.waba_id in cloud.unsubscribed:
            return outcome
        if cloud.chance.hits(faults.status_first):
            await cloud.receipts.accepted_status_first(outcome.sent)
        else:
            cloud.receipts.accepted(outcome.sent)
        return outcome


def _header(scope: Scope, name: bytes) -> str:
    for key, value in scope["headers"]:
        if key == name:
            return str(value, "latin-1")
    return ""


async def _read_body(receive: Receive) -> bytes:
    message: Message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body", False):
        message = await receive()
        body += message.get("body", b"")
        if len(body) > _MAX_BODY:
            raise GraphRefusal(100, f"The request body exceeds {_MAX_BODY} bytes.")
    return body


async def _respond(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-type", _JSON), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _lose_answer(scope: Scope, receive: Receive) -> None:
    scope[DROP_CONNECTION]()
    while (await receive())["type"] != "http.disconnect":
        pass
