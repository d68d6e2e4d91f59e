"""The control API under `/simulator/`: customers' side of the chat, faults, and what tests look at."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from comanda_contract.names import DEFAULT_APP
from comanda_simulator.cloud import Cloud
from comanda_simulator.errors import ControlError, GraphRefusal
from comanda_simulator.events import stream_events
from comanda_simulator.faults import Faults
from comanda_simulator.inbound import InboundRequest, receive
from comanda_simulator.ledger import Filter
from comanda_simulator.nodes import answers_challenge, media_response
from comanda_simulator.payloads import encode

_ACK_SECONDS = 10.0
_MAX_ACK_SECONDS = 60.0
_LEDGER_PAGE = 10_000

_decode_inbound = msgspec.json.Decoder(InboundRequest).decode
_decode_faults = msgspec.json.Decoder(Faults).decode

ControlHandler = Callable[[Cloud, Request], Awaitable[Response]]


def control_routes(cloud: Cloud) -> list[Route]:
    """Return the routes of the control API."""
    table: list[tuple[str, str, ControlHandler]] = [
        ("POST", "/simulator/messages", post_message),
        ("POST", "/simulator/reads", post_reads),
        ("POST", "/simulator/media", post_media),
        ("GET", "/simulator/media/{media_id}", get_media),
        ("POST", "/simulator/webhooks", post_webhook),
        ("POST", "/simulator/verifications", post_verification),
        ("GET", "/simulator/faults", get_faults),
        ("PUT", "/simulator/faults", put_faults),
        ("GET", "/simulator/stats", get_stats),
        ("GET", "/simulator/ledger", get_ledger),
        ("GET", "/simulator/events", get_events),
        ("GET", "/simulator/numbers", get_numbers),
    ]
    return [Route(path, _control_route(cloud, handler), methods=[method]) for method, path, handler in table]


def _control_route(cloud: Cloud, handler: ControlHandler) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            return await handler(cloud, request)
        except ControlError as error:
            return _json(error.to_dict(), 404 if error.code.startswith("unknown") else 400)
        except msgspec.MsgspecError as error:
            return _json(ControlError("body", str(error)).to_dict(), 400)

    return endpoint


def _json(content: Any, status: int = 200) -> Response:
    return Response(encode(content), status, media_type="application/json")


async def post_message(cloud: Cloud, request: Request) -> Response:
    """Let a customer write; `?wait=acked` answers once the webhook was acknowledged, or `timeout` seconds later."""
    received = receive(cloud, _decode_inbound(await request.body()))
    answer: dict[str, Any] = {"wamid": received.wamid}
    if request.query_params.get("wait") == "acked":
        limit = min(_number(request, "timeout", _ACK_SECONDS), _MAX_ACK_SECONDS)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(received.acked.wait(), limit)
        answer["acked"] = received.acked.is_set()
    return _json(answer)


async def post_reads(cloud: Cloud, request: Request) -> Response:
    """Let a customer read all that was delivered: body `{phone_number_id, customer}`."""
    body = msgspec.json.decode(await request.body(), type=dict[str, str])
    return _json({"read": cloud.receipts.read_all(body.get("phone_number_id", ""), body.get("customer", ""))})


async def post_media(cloud: Cloud, request: Request) -> Response:
    """Store a customer's file: raw body, its type in Content-Type, the number in `?phone_number_id=`."""
    number_id = request.query_params.get("phone_number_id", "")
    if number_id not in cloud.numbers:
        raise ControlError("phone_number_id", "is no number of the configuration", code="unknown_number")
    mime_type = request.headers.get("content-type", "")
    try:
        media = cloud.media.add(number_id, mime_type, await request.body(), request.query_params.get("filename", ""))
    except GraphRefusal as refusal:
        raise ControlError("file", refusal.details) from refusal
    return _json({"id": media.id, "mime_type": media.mime_type, "sha256": media.sha256})


async def get_media(cloud: Cloud, request: Request) -> Response:
    """Show a stored file to the chat page; a phone needs no token for what it was sent."""
    media = cloud.media.get(request.path_params["media_id"])
    if media is None:
        raise ControlError("media_id", "is no stored media", code="unknown_media")
    return media_response(media)


async def post_webhook(cloud: Cloud, request: Request) -> Response:
    """Sign the raw body for `?app=` and post it once, with no retry; `?signature=` replaces the right signature."""
    app = request.query_params.get("app", DEFAULT_APP)
    if app not in cloud.config.apps:
        raise ControlError("app", "is no app of the configuration", code="unknown_app")
    url = cloud.config.webhook_url_of(app)
    signature = request.query_params.get("signature")
    answer = await cloud.sender.post(app, url, await request.body(), signature=signature)
    return _json({"status": answer.status, "body": answer.body.decode("utf-8", "replace")})


async def post_verification(cloud: Cloud, request: Request) -> Response:
    """Send the verification GET of `?app=` to its webhook URL, as when the URL is set in Meta's dashboard."""
    app = request.query_params.get("app", DEFAULT_APP)
    if app not in cloud.config.apps:
        raise ControlError("app", "is no app of the configuration", code="unknown_app")
    verified = await answers_challenge(cloud.config.webhook_url_of(app), cloud.config.apps[app].verify_token)
    return _json({"verified": verified})


async def get_faults(cloud: Cloud, _request: Request) -> Response:
    """Show the faults in force."""
    return _json(cloud.chance.faults)


async def put_faults(cloud: Cloud, request: Request) -> Response:
    """Replace all faults; what the body leaves out is off. `{}` heals everything."""
    cloud.chance.set(_decode_faults(await request.body()))
    return _json(cloud.chance.faults)


async def get_stats(cloud: Cloud, _request: Request) -> Response:
    """Count: sends accepted by number and refused by code, webhooks, and what is still under way."""
    names = ("submitted", "posted", "acked", "refused", "retried", "duplicated", "dropped")
    webhooks = {name: cloud.sender.stats[name] for name in names} | {"pending": cloud.sender.pending}
    sends = {
        "accepted": sum(cloud.accepted.values()),
        "by_number": cloud.accepted,
        "refused": {str(code): count for code, count in cloud.refused.items()},
    }
    now = cloud.clock()
    service = {number: cloud.receipts.meter.served(number, now) for number in cloud.numbers}
    return _json({"sends": sends, "webhooks": webhooks, "service_messages": service, "ledger": cloud.ledger.last})


async def get_ledger(cloud: Cloud, request: Request) -> Response:
    """List entries after `?after=` (at most `limit`), or the newest `?last=`; filters as for events."""
    query = request.query_params
    if "last" in query:
        return _json(cloud.ledger.tail(_filter(request), int(_number(request, "last", 0))))
    limit = min(int(_number(request, "limit", _LEDGER_PAGE)), _LEDGER_PAGE)
    return _json(cloud.ledger.page(int(_number(request, "after", 0)), _filter(request), limit))


async def get_events(cloud: Cloud, request: Request) -> Response:
    """Stream entries as they come."""
    return stream_events(cloud, request, _filter(request))


async def get_numbers(cloud: Cloud, _request: Request) -> Response:
    """List the numbers, without their tokens."""
    numbers = []
    for number in cloud.config.numbers:
        shown = msgspec.to_builtins(number)
        del shown["access_token"]
        numbers.append(shown)
    return _json(numbers)


def _filter(request: Request) -> Filter:
    query = request.query_params
    return Filter(
        phone_number_id=query.get("phone_number_id", ""),
        customer=query.get("customer", ""),
        direction=query.get("direction", ""),
    )


def _number(request: Request, name: str, default: float) -> float:
    text = request.query_params.get(name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError as error:
        raise ControlError(name, "must be a number") from error
    if not 0 <= value < 2**53:
        raise ControlError(name, "must not be negative")
    return value
