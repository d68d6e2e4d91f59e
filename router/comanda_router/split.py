"""A webhook body → deliveries: entry × changes × items, each with the number it belongs to.

Nothing is dropped here: what has no number, or a shape nobody knows, comes out as unroutable, whole.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from comanda_contract.cloud.webhook import (
    Change,
    Entry,
    Envelope,
    ItemKeys,
    Value,
    decode_contact_keys,
    decode_envelope,
    decode_item_keys,
    decode_value,
    number_of,
)
from comanda_contract.deliveries import NO_CONTACT, Delivery

_any_json = msgspec.json.Decoder(msgspec.Raw).decode
"""Reads any JSON by its grammar alone: a number that no machine holds is one all the same."""

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding a part raises that has another shape, or letters or numbers that are none."""


@dataclass(frozen=True, slots=True)
class Unroutable:
    """A part that names no number: an account field, or a shape that Meta has not had before."""

    field: str
    waba_id: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Split:
    """What a webhook holds, in its order."""

    deliveries: tuple[Delivery, ...]
    unroutable: tuple[Unroutable, ...]


Sent = tuple[Delivery, str]
"""A delivery, and by which address its sender is known: "" where it names none, or is no message."""


class NotJsonError(ValueError):
    """The body is not JSON."""


class _UsualChange(msgspec.Struct):
    field: str = ""
    value: Value | None = None


class _UsualEntry(msgspec.Struct):
    id: str = ""
    changes: list[_UsualChange] | None = None


class _UsualEnvelope(msgspec.Struct):
    object: str = ""
    entry: list[_UsualEntry] | None = None


_decode_usual = msgspec.json.Decoder(_UsualEnvelope, strict=False).decode


def split(app: str, body: bytes) -> Split:
    """Split a webhook of an app. Raises `NotJsonError`; every JSON document gives an answer, `{}` an empty one."""
    usual = split_usual(app, body)
    return split_any(app, body) if usual is None else Split(tuple(delivery for delivery, _ in usual), ())


def split_usual(app: str, body: bytes) -> list[Sent] | None:
    """Split a body in which each change names its number and holds messages or statuses; None for any other.

    Such a body is read in one go, in half the time; what comes out is what `split_any` makes of it.
    """
    try:
        envelope = _decode_usual(body)
    except _UNREADABLE:
        return None
    sent: list[Sent] = []
    for entry in envelope.entry or ():
        for change in entry.changes or ():
            value = change.value
            if value is None or not (value.messages or value.statuses):
                return None
            number = value.metadata.phone_number_id if value.metadata is not None else ""
            if not number:
                return None
            sent += _sent_in((number, app, entry.id, change.field or "messages"), value)
    return sent


def split_any(app: str, body: bytes) -> Split:
    """Split any body, each change for itself. Raises `NotJsonError`."""
    try:
        envelope = _envelope(body)
    except NotJsonError:
        # Half a surrogate pair is JSON by its grammar, but our decoder refuses it; no message may be lost for that.
        body = whole_characters(body)
        envelope = _envelope(body)
    if envelope is None:
        return Split((), (Unroutable("", "", body),))
    deliveries: list[Delivery] = []
    unroutable: list[Unroutable] = []
    for entry in envelope.entry or ():
        for change in entry.changes or ():
            if not _add_change(deliveries, app, entry, change):
                unroutable.append(Unroutable(change.field, entry.id, bytes(change.value)))  # noqa: PERF401 - both grow
    return Split(tuple(deliveries), tuple(unroutable))


_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[dD][89a-fA-F][0-9a-fA-F]{2}|.)", re.DOTALL
)
_HALF_PAIR_LENGTH = len(rb"\ud800")


def of_account(app: str, part: Unroutable, phone_number_ids: Iterable[str]) -> tuple[Delivery, ...]:
    """Return what is told of a whole account as a change for each of its numbers."""
    item = msgspec.Raw(part.content)
    key = f"{part.field}/{_digest(item)}"
    return tuple(
        Delivery(
            kind="change",
            phone_number_id=number,
            key=key,
            app=app,
            waba_id=part.waba_id,
            field=part.field,
            item=item,
        )
        for number in phone_number_ids
    )


def whole_characters(body: bytes) -> bytes:
    """Return JSON text with each half of a surrogate pair replaced by U+FFFD; everything else stays byte for byte."""

    def whole(match: re.Match[bytes]) -> bytes:
        escape = match.group()
        return rb"\ufffd" if len(escape) == _HALF_PAIR_LENGTH and escape[2:3] in b"dD" else escape

    return _ESCAPE.sub(whole, body)


def _envelope(body: bytes) -> Envelope | None:
    """Read the envelope; None for JSON of another shape."""
    try:
        try:
            return decode_envelope(body)
        except msgspec.DecodeError:
            # The decoder stops at the first thing that does not fit, so what follows may still be no JSON.
            _any_json(body)
            return None
    except _UNREADABLE as error:
        raise NotJsonError(str(error)) from None


_NO_KEYS = ItemKeys()

_Origin = tuple[str, str, str, str]
"""What all items of a change share: number, app, WABA, field."""


def _add_change(deliveries: list[Delivery], app: str, entry: Entry, change: Change) -> bool:
    """Add the deliveries of one change; False when it names no number."""
    try:
        value = decode_value(change.value)
    except _UNREADABLE:
        return False
    number = number_of(value)
    if not number:
        return False
    # Meta's own samples sometimes leave the field out; the items say what they are.
    field = change.field or "messages"
    if value.messages or value.statuses:
        deliveries += [delivery for delivery, _ in _sent_in((number, app, entry.id, field), value)]
        return True
    deliveries.append(
        Delivery(
            kind="change",
            phone_number_id=number,
            key=f"{field}/{_digest(change.value)}",
            app=app,
            waba_id=entry.id,
            field=field,
            item=change.value,
        )
    )
    return True


def _sent_in(origin: _Origin, value: Value) -> list[Sent]:
    number, app, waba_id, field = origin
    sent: list[Sent] = []
    contacts = _by_id(value.contacts) if value.contacts else {}
    for item in value.messages or ():
        keys = _keys_of(item)
        delivery = Delivery(
            kind="message",
            phone_number_id=number,
            key=keys.id or _digest(item),
            app=app,
            waba_id=waba_id,
            field=field,
            item=item,
            contact=contacts.get(keys.sender) or contacts.get(keys.from_user_id) or NO_CONTACT,
        )
        sent.append((delivery, keys.sender or keys.from_user_id))
    for item in value.statuses or ():
        keys = _keys_of(item)
        delivery = Delivery(
            kind="status",
            phone_number_id=number,
            key=f"{keys.id}/{keys.status}" if keys.id and keys.status else _digest(item),
            app=app,
            waba_id=waba_id,
            field=field,
            item=item,
        )
        sent.append((delivery, ""))
    return sent


def _keys_of(item: msgspec.Raw) -> ItemKeys:
    """Read a message's or status' keys; none of one that cannot be read."""
    try:
        return decode_item_keys(item)
    except _UNREADABLE:
        return _NO_KEYS


def _by_id(contacts: Sequence[msgspec.Raw]) -> dict[str, msgspec.Raw]:
    """Index contacts by phone and by user id; never by position, which Meta does not promise."""
    by_id: dict[str, msgspec.Raw] = {}
    for contact in contacts:
        try:
            keys = decode_contact_keys(contact)
        except _UNREADABLE:
            continue
        if keys.wa_id:
            by_id.setdefault(keys.wa_id, contact)
        if keys.user_id:
            by_id.setdefault(keys.user_id, contact)
    return by_id


def sender_of(item: msgspec.Raw) -> str:
    """Return by which address a message's sender is known; "" when it names none."""
    keys = _keys_of(item)
    return keys.sender or keys.from_user_id


def _digest(content: msgspec.Raw) -> str:
    return hashlib.sha256(content).hexdigest()[:40]
