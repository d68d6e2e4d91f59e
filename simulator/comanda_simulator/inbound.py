"""A customer writes: builds the inbound message as Meta does, records it, and queues its webhook."""

from __future__ import annotations

import asyncio
import base64
import re
from typing import Any

import msgspec

from comanda_simulator.cloud import Cloud, InboundRecord, new_wamid
from comanda_simulator.config import NumberConfig
from comanda_simulator.customers import Customer
from comanda_simulator.errors import ControlError
from comanda_simulator.payloads import Update, customer_contact, encode, messages_value
from comanda_simulator.sender import Shipment

_PHONE = re.compile(r"[1-9][0-9]{6,14}")
_MEDIA_TYPES = ("image", "video", "audio", "document", "sticker")


class InboundRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST /simulator/messages`: who writes what to which number.

    `message` is Meta's item without `id`, `from` and `timestamp`; at least one of `from` and `user_id` is needed.
    """

    phone_number_id: str
    sender: str = msgspec.field(name="from", default="")
    user_id: str = ""
    name: str = ""
    message: dict[str, Any] = {}
    wamid: str = ""
    timestamp: int | None = None


class Received(msgspec.Struct, frozen=True):
    """The message's id, and an event that is set when its webhook was answered 200."""

    wamid: str
    acked: asyncio.Event


def receive(cloud: Cloud, request: InboundRequest) -> Received:
    """Take a customer's message and queue its webhook. Raises `ControlError` that names the field."""
    number = _check(cloud, request)
    customer = cloud.customers.remember(
        number.waba_id,
        Customer(request.sender, request.user_id, request.name),
        derive=cloud.config.settings.user_ids,
    )
    sent_at = cloud.clock() if request.timestamp is None else float(request.timestamp)
    wamid = request.wamid or new_wamid()
    item = _build_item(cloud, request, customer, wamid, int(sent_at))
    _note(cloud, number, customer, wamid, sent_at)
    entry = cloud.ledger.append(
        "in",
        at=cloud.clock(),
        phone_number_id=number.phone_number_id,
        customer=customer.key,
        wamid=wamid,
        payload=item,
    )
    received = Received(wamid, asyncio.Event())
    if number.waba_id in cloud.unsubscribed:
        return received
    has_contact = request.message["type"] != "system"
    contact = customer_contact(request.sender, customer.user_id, customer.name) if has_contact else None
    update = Update(waba_id=number.waba_id, value=messages_value(number, contact, [item]))
    cloud.sender.submit(Shipment(app=number.app, update=update, entries=[entry], acked=received.acked))
    return received


def _check(cloud: Cloud, request: InboundRequest) -> NumberConfig:
    number = cloud.numbers.get(request.phone_number_id)
    if number is None:
        raise ControlError("phone_number_id", "is no number of the configuration", code="unknown_number")
    if not request.sender and not request.user_id:
        raise ControlError("from", "is missing", hint="Give the customer's phone as from, or a user_id.")
    if request.sender and not _PHONE.fullmatch(request.sender):
        raise ControlError("from", "must be 7 to 15 digits without plus")
    if not isinstance(request.message.get("type"), str):
        raise ControlError("message.type", "must be a text", hint='For example {"type":"text","text":{"body":"hola"}}.')
    return number


def _build_item(cloud: Cloud, request: InboundRequest, customer: Customer, wamid: str, sent_at: int) -> bytes:
    item: dict[str, Any] = {"id": wamid, "timestamp": str(sent_at)}
    if request.sender:
        item["from"] = request.sender
    if customer.user_id:
        item["from_user_id"] = customer.user_id
    message = request.message
    kind = message["type"]
    if kind in _MEDIA_TYPES and isinstance(message.get(kind), dict):
        message = message | {kind: _media_details(cloud, message[kind])}
    return encode(item | message)


def _media_details(cloud: Cloud, part: dict[str, Any]) -> dict[str, Any]:
    media = cloud.media.get(str(part.get("id", "")))
    if media is None:
        return part
    digest = base64.b64encode(bytes.fromhex(media.sha256)).decode()
    return {"mime_type": media.mime_type, "sha256": digest} | part


def _note(cloud: Cloud, number: NumberConfig, customer: Customer, wamid: str, sent_at: float) -> None:
    number_id = number.phone_number_id
    cloud.customers.wrote(number_id, customer.key, sent_at)
    cloud.remember_inbound(wamid, InboundRecord(number_id, customer.key, sent_at))
    if cloud.config.settings.enforce_limits:
        cloud.throughput.add(number_id, cloud.clock())
