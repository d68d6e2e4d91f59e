"""The Graph API's other objects: numbers, accounts, tokens, media, and the apps subscribed to an account."""

from __future__ import annotations

import secrets
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from comanda_simulator.cloud import Cloud
from comanda_simulator.config import NumberConfig
from comanda_simulator.errors import GraphRefusal
from comanda_simulator.graph import check_token, find_number, unknown_object
from comanda_simulator.media import Media
from comanda_simulator.payloads import encode
from comanda_simulator.sends import SUCCESS

_NUMBER_KIND = "WhatsAppBusinessPhoneNumber"
_NUMBER_FIELDS = ("id", "display_phone_number", "verified_name", "quality_rating", "code_verification_status")
_NUMBER_UNSET = frozenset(
    {
        "certificate",
        "conversational_automation",
        "country_code",
        "country_dial_code",
        "eligibility_for_api_business_global_search",
        "host_platform",
        "is_official_business_account",
        "is_preverified_number",
        "messaging_limit_tier",
        "new_certificate",
        "new_name_status",
        "quality_score",
        "search_visibility",
        "username",
    }
)
"""Fields of a number that exist and are left out of the answer while nothing is set."""
_OVERRIDE_LENGTH = 200


def _json(content: Any) -> Response:
    return Response(encode(content), media_type="application/json; charset=UTF-8")


def _authorization(request: Request) -> str:
    token = request.query_params.get("access_token")
    return f"Bearer {token}" if token else request.headers.get("authorization", "")


async def get_node(cloud: Cloud, request: Request) -> Response:
    """Answer `GET /{id}` for a number, an account or a media."""
    numbers = check_token(cloud, _authorization(request))
    node = request.path_params["node"]
    for number in numbers:
        if number.phone_number_id == node:
            return _json(_select(_number_node(cloud, number), request, _NUMBER_FIELDS, _NUMBER_KIND))
        if number.waba_id == node:
            return _json(_select(_waba_node(number), request, ("id", "name"), "WhatsAppBusinessAccount"))
        # With a number named, Meta answers for media of that number alone, whatever else the token may see.
        asked = request.query_params.get("phone_number_id", number.phone_number_id)
        if cloud.media.owns(number.phone_number_id, node) and asked == number.phone_number_id:
            return _json(_media_node(cloud, request, node))
    raise unknown_object(node)


async def delete_node(cloud: Cloud, request: Request) -> Response:
    """Answer `DELETE /{media_id}`."""
    node = request.path_params["node"]
    for number in check_token(cloud, _authorization(request)):
        if cloud.media.owns(number.phone_number_id, node):
            cloud.media.remove(node)
            return Response(SUCCESS, media_type="application/json")
    raise unknown_object(node)


async def list_phone_numbers(cloud: Cloud, request: Request) -> Response:
    """Answer `GET /{waba_id}/phone_numbers`."""
    waba_id = _waba(cloud, request)
    nodes = [_number_node(cloud, number) for number in cloud.waba_numbers(waba_id)]
    return _json(
        {
            "data": [_select(node, request, _NUMBER_FIELDS, _NUMBER_KIND) for node in nodes],
            "paging": {},
        }
    )


async def get_subscribed_apps(cloud: Cloud, request: Request) -> Response:
    """Answer `GET /{waba_id}/subscribed_apps`, with the callback override if there is one."""
    waba_id = _waba(cloud, request)
    if waba_id in cloud.unsubscribed:
        return _json({"data": []})
    app = cloud.waba_numbers(waba_id)[0].app
    data = {"id": cloud.config.app_id_of(app), "name": app, "link": ""}
    override = {"override_callback_uri": cloud.overrides[waba_id]} if waba_id in cloud.overrides else {}
    return _json({"data": [{"whatsapp_business_api_data": data} | override]})


async def subscribe_app(cloud: Cloud, request: Request) -> Response:
    """Answer `POST /{waba_id}/subscribed_apps`: a body sets an override after its challenge, none clears it."""
    waba_id = _waba(cloud, request)
    body = await _read_object(request)
    uri = body.get("override_callback_uri")
    if uri:
        await _verify_override(str(uri), str(body.get("verify_token", "")))
        cloud.overrides[waba_id] = str(uri)
    else:
        cloud.overrides.pop(waba_id, None)
    cloud.unsubscribed.discard(waba_id)
    return Response(SUCCESS, media_type="application/json")


async def unsubscribe_app(cloud: Cloud, request: Request) -> Response:
    """Answer `DELETE /{waba_id}/subscribed_apps`: from here on the account is silent."""
    waba_id = _waba(cloud, request)
    cloud.unsubscribed.add(waba_id)
    return Response(SUCCESS, media_type="application/json")


async def register_number(cloud: Cloud, request: Request) -> Response:
    """Answer `POST /{phone_number_id}/register`: the two-step PIN must have six digits."""
    find_number(cloud, _authorization(request), request.path_params["node"])
    pin = str((await _read_object(request)).get("pin", ""))
    if len(pin) != 6 or not pin.isdigit():
        raise GraphRefusal(100, "Param pin must be six digits.", title="(#100) Param pin must be six digits.")
    return Response(SUCCESS, media_type="application/json")


async def debug_token(cloud: Cloud, request: Request) -> Response:
    """Answer `GET /debug_token?input_token=…`, asked with a number's token or an app token `APP_ID|APP_SECRET`."""
    authorization = _authorization(request)
    app_tokens = {f"{cloud.config.app_id_of(name)}|{app.app_secret}": name for name, app in cloud.config.apps.items()}
    if authorization.removeprefix("Bearer ").strip() not in app_tokens:
        check_token(cloud, authorization)
    numbers = cloud.speaks_for(request.query_params.get("input_token", ""))
    if not numbers:
        error = {"code": 190, "message": "Invalid OAuth access token - Cannot parse access token"}
        return _json({"data": {"is_valid": False, "error": error, "scopes": []}})
    return _json({"data": _token_node(cloud, numbers)})


async def upload_media(cloud: Cloud, request: Request) -> Response:
    """Answer `POST /{phone_number_id}/media` (multipart: messaging_product, file, type)."""
    number = find_number(cloud, _authorization(request), request.path_params["node"])
    async with request.form() as form:
        if form.get("messaging_product") != "whatsapp":
            rule = "The parameter messaging_product is required."
            raise GraphRefusal(100, rule, title=f"(#100) {rule}")
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise GraphRefusal(100, "The parameter file is required.", title="(#100) The parameter file is required.")
        mime_type = str(form.get("type") or file.content_type or "")
        media = cloud.media.add(number.phone_number_id, mime_type, await file.read(), file.filename or "")
    return _json({"id": media.id})


async def download_media(cloud: Cloud, request: Request) -> Response:
    """Answer a download URL: 404 once it has expired, 190 without the right token."""
    query = request.query_params
    media = cloud.media.get(request.path_params["media_id"])
    expires = query.get("expires", "")
    if media is None or not expires.isdigit():
        return PlainTextResponse("Not found", 404)
    if not cloud.media.admits(media.id, int(expires), query.get("ticket", ""), cloud.clock()):
        return PlainTextResponse("Not found", 404)
    if media.phone_number_id not in {n.phone_number_id for n in check_token(cloud, _authorization(request))}:
        raise unknown_object(media.id)
    return media_response(media)


def media_response(media: Media) -> Response:
    """Return a file for download; a browser must neither guess its type nor run anything in it."""
    headers = {"Content-Security-Policy": "sandbox; default-src 'none'", "X-Content-Type-Options": "nosniff"}
    return Response(media.content, media_type=media.mime_type, headers=headers)


def _waba(cloud: Cloud, request: Request) -> str:
    node: str = request.path_params["node"]
    if node not in {number.waba_id for number in check_token(cloud, _authorization(request))}:
        raise unknown_object(node)
    return node


async def _read_object(request: Request) -> dict[str, Any]:
    raw = await request.body()
    if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        async with request.form() as form:
            return dict(form)
    try:
        body = msgspec.json.decode(raw) if raw.strip() else {}
    except msgspec.DecodeError as error:
        raise GraphRefusal(100, "The request body is not valid JSON.") from error
    if not isinstance(body, dict):
        raise GraphRefusal(100, "The request body is no JSON object.")
    return body


async def _verify_override(uri: str, verify_token: str) -> None:
    if len(uri) > _OVERRIDE_LENGTH or urlsplit(uri).scheme not in ("http", "https"):
        raise GraphRefusal(100, f"override_callback_uri must be a URL of at most {_OVERRIDE_LENGTH} characters.")
    if not await answers_challenge(uri, verify_token):
        text = "The callback URL or verify token couldn't be validated."
        raise GraphRefusal(100, text, subcode=2200, title=f"(#2200) Callback verification failed: {text}")


async def answers_challenge(url: str, verify_token: str) -> bool:
    """Send Meta's verification GET and tell whether the endpoint answered 200 with exactly the challenge."""
    challenge = str(10**9 + secrets.randbelow(9 * 10**9))
    query = {"hub.mode": "subscribe", "hub.challenge": challenge, "hub.verify_token": verify_token}
    timeout = aiohttp.ClientTimeout(total=10)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url, params=query) as response:
            return response.status == 200 and await response.read() == challenge.encode()
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False


def _select(node: dict[str, Any], request: Request, default: tuple[str, ...], kind: str) -> dict[str, Any]:
    asked = [name.partition("{")[0].partition(".")[0] for name in _split_fields(request.query_params.get("fields", ""))]
    for name in asked:
        if name not in node and not (name in _NUMBER_UNSET and kind == _NUMBER_KIND):
            title = f"(#100) Tried accessing nonexisting field ({name}) on node type ({kind})"
            raise GraphRefusal(100, title, title=title)
    return {name: node[name] for name in dict.fromkeys([*(asked or default), "id"]) if name in node}


def _split_fields(fields: str) -> list[str]:
    names, depth, start = [], 0, 0
    for index, character in enumerate(f"{fields},"):
        depth += (character == "{") - (character == "}")
        if character == "," and depth == 0:
            names.append(fields[start:index].strip())
            start = index + 1
    return [name for name in names if name]


def _number_node(cloud: Cloud, number: NumberConfig) -> dict[str, Any]:
    override = (
        {"whatsapp_business_account": cloud.overrides[number.waba_id]} if number.waba_id in cloud.overrides else {}
    )
    return {
        "id": number.phone_number_id,
        "display_phone_number": f"+{number.display_phone_number}",
        "verified_name": number.display_name,
        "status": number.standing.status,
        "quality_rating": number.standing.quality_rating,
        "code_verification_status": "VERIFIED",
        "name_status": "APPROVED",
        "platform_type": "CLOUD_API",
        "throughput": {"level": "HIGH" if number.messages_per_second > 80 else "STANDARD"},
        "is_on_biz_app": False,
        "is_pin_enabled": True,
        "account_mode": "LIVE",
        "health_status": {"can_send_message": number.standing.can_send_message, "entities": []},
        "webhook_configuration": override | {"application": cloud.config.webhook_url_of(number.app)},
        "whatsapp_business_manager_messaging_limit": number.standing.messaging_limit,
        "last_onboarded_time": "2026-01-01T00:00:00+0000",
    }


def _waba_node(number: NumberConfig) -> dict[str, Any]:
    return {
        "id": number.waba_id,
        "name": number.display_name,
        "currency": "USD",
        "timezone_id": "1",
        "message_template_namespace": f"ns_{number.waba_id}",
        "account_review_status": "APPROVED",
        "health_status": {"can_send_message": "AVAILABLE", "entities": []},
    }


def _media_node(cloud: Cloud, request: Request, media_id: str) -> dict[str, Any]:
    media = cloud.media.get(media_id)
    if media is None:
        raise unknown_object(media_id)
    expires = int(cloud.clock() + cloud.config.settings.media_seconds)
    url = request.url_for("download_media", media_id=media_id)
    return {
        "messaging_product": "whatsapp",
        "url": str(url.include_query_params(expires=expires, ticket=cloud.media.ticket(media_id, expires))),
        "mime_type": media.mime_type,
        "sha256": media.sha256,
        "file_size": len(media.content),
        "id": media_id,
    }


def _token_node(cloud: Cloud, numbers: list[NumberConfig]) -> dict[str, Any]:
    wabas = sorted({number.waba_id for number in numbers})
    app, standing = numbers[0].app, numbers[0].standing
    return {
        "app_id": cloud.config.app_id_of(app),
        "type": "SYSTEM_USER",
        "application": app,
        "data_access_expires_at": 0,
        "expires_at": standing.token_expires_at,
        "is_valid": True,
        "issued_at": 1767225600,
        "scopes": list(standing.token_scopes),
        "granular_scopes": [{"scope": scope, "target_ids": wabas} for scope in standing.token_scopes],
        "user_id": f"1{numbers[0].waba_id}",
    }
