"""Webhook bodies as Meta builds them: envelope, value, and the signature over the raw bytes.

Pure functions over JSON bytes. Items stay encoded from the moment they are made, so that what the ledger shows is
byte for byte what the router got.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable
from typing import Any

import msgspec

from comanda_simulator.config import NumberConfig

encode = msgspec.json.Encoder().encode

SIGNATURE_HEADER = "X-Hub-Signature-256"


class Update(msgspec.Struct, frozen=True, kw_only=True):
    """One `changes[]` entry on its way out: its WABA, its field and its encoded value."""

    waba_id: str
    value: bytes
    field: str = "messages"


def sign(app_secret: str, body: bytes) -> str:
    """Return the signature header of a body: HMAC-SHA256 with the app's secret over the raw bytes."""
    return "sha256=" + hmac.digest(app_secret.encode(), body, "sha256").hex()


def number_metadata(number: NumberConfig) -> dict[str, str]:
    """Return `value.metadata` of a number."""
    return {"display_phone_number": number.display_phone_number, "phone_number_id": number.phone_number_id}


def customer_contact(phone: str, user_id: str, name: str) -> dict[str, Any]:
    """Return an entry of `contacts`: by phone, by user id or both, with the name the customer chose if any."""
    contact: dict[str, Any] = {}
    if name:
        contact["profile"] = {"name": name}
    if phone:
        contact["wa_id"] = phone
    if user_id:
        contact["user_id"] = user_id
    return contact


def messages_value(number: NumberConfig, contact: dict[str, Any] | None, messages: Iterable[bytes]) -> bytes:
    """Encode a `value` with messages; `system` messages have no contact."""
    value: dict[str, Any] = {"messaging_product": "whatsapp", "metadata": number_metadata(number)}
    if contact is not None:
        value["contacts"] = [contact]
    value["messages"] = [msgspec.Raw(message) for message in messages]
    return encode(value)


def statuses_value(number: NumberConfig, contacts: list[dict[str, Any]], statuses: Iterable[bytes]) -> bytes:
    """Encode a `value` with statuses; `contacts` stand beside them except for failed ones."""
    value: dict[str, Any] = {"messaging_product": "whatsapp", "metadata": number_metadata(number)}
    if contacts:
        value["contacts"] = contacts
    value["statuses"] = [msgspec.Raw(status) for status in statuses]
    return encode(value)


def build_body(updates: Iterable[Update], *, escape_unicode: bool = False) -> bytes:
    """Encode the POST body: one `entry` a WABA, in order of first appearance, each with its changes."""
    entries: dict[str, list[dict[str, Any]]] = {}
    for update in updates:
        change = {"field": update.field, "value": msgspec.Raw(update.value)}
        entries.setdefault(update.waba_id, []).append(change)
    body = encode(
        {
            "object": "whatsapp_business_account",
            "entry": [{"id": waba_id, "changes": changes} for waba_id, changes in entries.items()],
        }
    )
    return json.dumps(json.loads(body), separators=(",", ":")).encode() if escape_unicode else body
