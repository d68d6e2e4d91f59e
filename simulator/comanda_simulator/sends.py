"""A business sends: `POST /{phone_number_id}/messages` after the door, before the answer.

One function decides as Meta does: what the body says, who it is for, whether the window is open and the limits hold.
"""

from __future__ import annotations

from typing import Any

import msgspec

from comanda_simulator.cloud import Cloud, new_wamid
from comanda_simulator.config import NumberConfig
from comanda_simulator.errors import GraphRefusal
from comanda_simulator.fields import Json, invalid, missing, need_object, need_value
from comanda_simulator.messages import Address, check_message, read_address
from comanda_simulator.payloads import encode
from comanda_simulator.receipts import Sent

_decode = msgspec.json.Decoder().decode
_REACTION_DAYS = 30
_DAY_SECONDS = 24 * 3600
SUCCESS = b'{"success":true}'


class Outcome(msgspec.Struct, frozen=True):
    """The answer's body, and the message when one was accepted (marking as read accepts none)."""

    body: bytes
    sent: Sent | None = None


def accept(cloud: Cloud, number: NumberConfig, raw: bytes) -> Outcome:
    """Accept a send or a read mark. Raises `GraphRefusal` with Meta's code; a refused send leaves no trace."""
    message = _read_json(raw)
    if message.get("messaging_product") != "whatsapp":
        rule = "The parameter messaging_product is required."
        raise GraphRefusal(100, rule, title=f"(#100) {rule}")
    if message.get("status") is not None:
        return _mark(cloud, number, message, raw)
    address = read_address(message)
    customer = cloud.customers.find(number.waba_id, phone=address.phone, user_id=address.user_id)
    if address.phone and address.phone == number.display_phone_number:
        raise GraphRefusal(131021, "Sender and recipient are the same phone number.")
    kind = check_message(message, cloud.facts[number.phone_number_id])
    now = cloud.clock()
    if kind == "reaction":
        _check_reaction_target(cloud, number, message, now)
    _check_window(cloud, number, customer.key, kind, now)
    _check_rates(cloud, number, customer.key, now)
    sent = Sent(
        number=number,
        customer=customer,
        wamid=new_wamid(),
        type=kind,
        callback_data=message.get("biz_opaque_callback_data") or "",
        fails_with=cloud.chance.struck(cloud.chance.faults.fail_later, customer.key),
    )
    _record(cloud, sent, raw, now)
    return Outcome(_answer(address, sent), sent)


def recipient_of(raw: bytes) -> str:
    """Return whom a send names, phone number or user id as written; "" when it names nobody."""
    try:
        message = _read_json(raw)
    except GraphRefusal:
        return ""
    return str(message.get("to") or message.get("recipient") or "")


def _read_json(raw: bytes) -> Json:
    try:
        message: Any = _decode(raw)
    except msgspec.DecodeError as error:
        raise GraphRefusal(100, "The request body is not valid JSON.") from error
    if not isinstance(message, dict):
        raise GraphRefusal(100, "The request body is no JSON object.")
    return message


def _check_window(cloud: Cloud, number: NumberConfig, customer: str, kind: str, now: float) -> None:
    if kind == "template" or not cloud.config.settings.enforce_window:
        return
    if not cloud.customers.window_open(number.phone_number_id, customer, now):
        raise GraphRefusal(
            131047, "Message failed to send because more than 24 hours have passed since the customer last replied."
        )


def _check_rates(cloud: Cloud, number: NumberConfig, customer: str, now: float) -> None:
    settings, number_id = cloud.config.settings, number.phone_number_id
    if settings.enforce_limits and cloud.throughput.count(number_id, now) >= number.messages_per_second:
        raise GraphRefusal(
            130429,
            "Message failed to send because there were too many messages from this phone number in a short time.",
        )
    if settings.enforce_pair_limit and not cloud.pairs.allows(number_id, customer, now):
        raise GraphRefusal(
            131056, "Too many messages sent from this phone number to the same customer in a short period of time."
        )


def _record(cloud: Cloud, sent: Sent, raw: bytes, now: float) -> None:
    number_id, customer = sent.number.phone_number_id, sent.customer.key
    settings = cloud.config.settings
    if settings.enforce_limits:
        cloud.throughput.add(number_id, now)
    if settings.enforce_pair_limit:
        cloud.pairs.add(number_id, customer, now)
    cloud.accepted[number_id] += 1
    entry = cloud.ledger.append(
        "out", at=now, phone_number_id=number_id, customer=customer, wamid=sent.wamid, payload=raw
    )
    entry.acked = True


def _answer(address: Address, sent: Sent) -> bytes:
    contact = {"input": address.given}
    contact |= {"wa_id": address.phone} if address.phone else {"user_id": address.user_id}
    message = {"id": sent.wamid}
    if sent.type == "template":
        message["message_status"] = "accepted"
    return encode({"messaging_product": "whatsapp", "contacts": [contact], "messages": [message]})


def _mark(cloud: Cloud, number: NumberConfig, message: Json, raw: bytes) -> Outcome:
    need_value(message, "status", "status", "read")
    wamid = message.get("message_id")
    if wamid is None:
        raise missing("message_id")
    if message.get("typing_indicator") is not None:
        indicator = need_object(message, "typing_indicator", "typing_indicator")
        need_value(indicator, "type", "typing_indicator.type", "text")
    record = cloud.inbound(number.phone_number_id, wamid) if isinstance(wamid, str) else None
    if record is None:
        raise invalid("message_id", "is no message that this phone number received")
    cloud.ledger.append(
        "mark",
        at=cloud.clock(),
        phone_number_id=number.phone_number_id,
        customer=record.customer,
        wamid=str(wamid),
        payload=raw,
    ).acked = True
    return Outcome(SUCCESS)


def _check_reaction_target(cloud: Cloud, number: NumberConfig, message: Json, now: float) -> None:
    record = cloud.inbound(number.phone_number_id, message["reaction"]["message_id"])
    if record is None:
        raise invalid("reaction.message_id", "is no message that this phone number received")
    if now - record.at > _REACTION_DAYS * _DAY_SECONDS:
        raise invalid("reaction.message_id", f"is older than {_REACTION_DAYS} days")
