"""A webhook body → deliveries: entry × changes × items, each with the number it belongs to.

Nothing is dropped here: what has no number, or a shape nobody knows, comes out as unroutable, whole.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
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
from comanda_contract.deliveries import NO_CONTACT, Delivery, DeliveryKind

_any_json = msgspec.json.Decoder().decode


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


class NotJsonError(ValueError):
    """The body is not JSON."""


def split(app: str, body: bytes) -> Split:
    """Split a webhook of an app. Raises `NotJsonError`; every JSON document gives an answer, `{}` an empty one."""
    try:
        envelope = _envelope(body)
    except NotJsonError:
        # Half a surrogate pair is JSON by its grammar, but our decoder refuses it; no message may be lost for that.
        envelope = _envelope(whole_characters(body))
    if envelope is None:
        return Split((), (Unroutable("", "", body),))
    deliveries: list[Delivery] = []
    unroutable: list[Unroutable] = []
    for entry in envelope.entry or ():
        for change in entry.changes or ():
            for part in _parts(app, entry, change):
                if isinstance(part, Delivery):
                    deliveries.append(part)
                else:
                    unroutable.append(part)
    return Split(tuple(deliveries), tuple(unroutable))


_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[dD][89a-fA-F][0-9a-fA-F]{2}|.)", re.DOTALL
)
_HALF_PAIR_LENGTH = len(rb"\ud800")


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
        except msgspec.ValidationError:
            # The decoder stops at the first thing that does not fit, so what follows may still be no JSON.
            _any_json(body)
            return None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotJsonError(str(error)) from None


def _parts(app: str, entry: Entry, change: Change) -> Iterator[Delivery | Unroutable]:
    try:
        value = decode_value(change.value)
    except msgspec.ValidationError:
        yield Unroutable(change.field, entry.id, bytes(change.value))
        return
    number = number_of(value)
    if not number:
        yield Unroutable(change.field, entry.id, bytes(change.value))
        return
    # Meta's own samples sometimes leave the field out; the items say what they are.
    frame = _Frame(app, number, entry.id, change.field or "messages", value)
    yield from frame.items()
    if not value.messages and not value.statuses:
        yield frame.delivery("change", f"{frame.field}/{_digest(change.value)}", change.value)


@dataclass(frozen=True, slots=True)
class _Frame:
    """What all items of one change share."""

    app: str
    number: str
    waba_id: str
    field: str
    value: Value

    def items(self) -> Iterator[Delivery]:
        contacts = _Contacts(self.value.contacts or ())
        for item in self.value.messages or ():
            keys = _keys(item)
            contact = contacts.of(keys.sender, keys.from_user_id)
            yield self.delivery("message", keys.id or _digest(item), item, contact)
        for item in self.value.statuses or ():
            keys = _keys(item)
            known = keys.id and keys.status
            yield self.delivery("status", f"{keys.id}/{keys.status}" if known else _digest(item), item)

    def delivery(self, kind: DeliveryKind, key: str, item: msgspec.Raw, contact: msgspec.Raw = NO_CONTACT) -> Delivery:
        return Delivery(
            kind=kind,
            phone_number_id=self.number,
            key=key,
            app=self.app,
            waba_id=self.waba_id,
            field=self.field,
            item=item,
            contact=contact,
        )


class _Contacts:
    """Finds the contact of a sender by phone or by user id; never by position, which Meta does not promise."""

    def __init__(self, contacts: Sequence[msgspec.Raw]) -> None:
        self._by_id: dict[str, msgspec.Raw] = {}
        for contact in contacts:
            try:
                keys = decode_contact_keys(contact)
            except msgspec.ValidationError:
                continue
            for key in (keys.wa_id, keys.user_id):
                if key:
                    self._by_id.setdefault(key, contact)

    def of(self, phone: str, user_id: str) -> msgspec.Raw:
        return self._by_id.get(phone) or self._by_id.get(user_id) or NO_CONTACT


def _keys(item: msgspec.Raw) -> ItemKeys:
    try:
        return decode_item_keys(item)
    except msgspec.ValidationError:
        return ItemKeys()


def _digest(content: msgspec.Raw) -> str:
    return hashlib.sha256(content).hexdigest()[:40]
