"""Signed bodies of about 1 KB, as Meta posts them, and in the two other forms that peers understand.

All bodies of one form are equally long and each has a message id of its own. A tenant has one customer, and all tenants
have written once before the first writes again.
"""

from __future__ import annotations

import hmac
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from bench.router.systems import FIRST_NUMBER, SECRET, TENANTS

from comanda_contract.deliveries import DeliveryBatch, encode_batch
from comanda_router.split import split

WAMID = "wamid.HBgLNTY5MTExMTAwMDAVAgASGBQzQTRBNjU5OUFFRTAzODEwMTQ0"
FILLERS = {"number": "%(number)b", "sender": "%(sender)b", "wamid": "%(wamid)b"}
STRIDE = 7919
"""Prime to the number of tenants: neighbours in time are not neighbours in number."""


def values_of(index: int) -> Mapping[bytes, bytes]:
    """Return number, sender and message id of the body with this index."""
    tenant = index * STRIDE % TENANTS
    return {
        b"number": b"%d" % (FIRST_NUMBER + tenant),
        b"sender": b"5691111%04d" % tenant,
        b"wamid": b"%b%010d" % (WAMID.encode(), index),
    }


def message(sender: str, wamid: str, text: str) -> dict[str, Any]:
    """Return one item of `messages`, sent now."""
    return {"from": sender, "id": wamid, "timestamp": str(int(time.time())), "type": "text", "text": {"body": text}}


def change(number: str, messages: list[dict[str, Any]], contacts: list[dict[str, Any]]) -> dict[str, Any]:
    """Return one change with messages of a number."""
    value = {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550783881", "phone_number_id": number},
        "contacts": contacts,
        "messages": messages,
    }
    return {"value": value, "field": "messages"}


def contact(sender: str) -> dict[str, Any]:
    """Return one item of `contacts`."""
    return {"profile": {"name": "Ana"}, "wa_id": sender}


def webhook_form() -> bytes:
    """Return Meta's webhook with one message, its values left open."""
    sender, wamid = FILLERS["sender"], FILLERS["wamid"]
    only = change(FILLERS["number"], [message(sender, wamid, "x" * 560)], [contact(sender)])
    entry = {"id": "102290129340398", "changes": [only]}
    return msgspec.json.encode({"object": "whatsapp_business_account", "entry": [entry]})


def batch_form() -> bytes:
    """Return what our router makes of that webhook: what the pods read."""
    return encode_batch(DeliveryBatch(deliveries=list(split("default", webhook_form()).deliveries)))


def insert_form() -> bytes:
    """Return a body for the peer that inserts a row a request: the columns of its table, as long as the webhook."""
    row = {"phone_number_id": FILLERS["number"], "wamid": FILLERS["wamid"], "sent_at": int(time.time())}
    room = len(webhook_form()) - len(msgspec.json.encode(row | {"payload": ""}))
    return msgspec.json.encode(row | {"payload": "x" * room})


def signature(body: bytes) -> str:
    """Return the value of X-Hub-Signature-256."""
    return "sha256=" + hmac.digest(SECRET.encode(), body, "sha256").hex()


def write_bodies(path: Path, form: bytes, indices: range) -> None:
    """Write one signed body a line: 64 hex digits, a space, the body. It is on disk when this returns."""
    secret = SECRET.encode()
    with path.open("wb") as file:
        for index in indices:
            body = form % values_of(index)
            file.write(b"%b %b\n" % (hmac.digest(secret, body, "sha256").hex().encode(), body))
        # Written back later, they would be in the way of what is being measured.
        file.flush()
        os.fsync(file.fileno())
