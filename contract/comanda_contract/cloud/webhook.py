"""The envelope of a webhook: `entry × changes`, each change with its own number and its items kept as raw JSON."""

from __future__ import annotations

import msgspec


class Metadata(msgspec.Struct, frozen=True):
    """`value.metadata`: present in messaging fields alone."""

    display_phone_number: str = ""
    phone_number_id: str = ""


class Value(msgspec.Struct, frozen=True):
    """`changes[].value`, as far as routing needs it; items stay byte for byte what Meta sent."""

    metadata: Metadata | None = None
    recipient: msgspec.Raw = msgspec.Raw(b"null")
    """Of `messaging_handovers`, which has no metadata: the number is `phone_number_id` in here."""
    contacts: list[msgspec.Raw] | None = None
    messages: list[msgspec.Raw] | None = None
    statuses: list[msgspec.Raw] | None = None


class Change(msgspec.Struct, frozen=True):
    """One change; `value` is read separately, so that one odd change does not spoil its neighbours."""

    value: msgspec.Raw = msgspec.Raw(b"null")
    field: str = ""


class Entry(msgspec.Struct, frozen=True):
    """One entry: a WhatsApp Business Account (a portfolio for a few account fields)."""

    id: str = ""
    changes: list[Change] | None = None


class Envelope(msgspec.Struct, frozen=True):
    """The body of a webhook POST."""

    object: str = ""
    entry: list[Entry] | None = None


class ItemKeys(msgspec.Struct, frozen=True):
    """The few fields of a message or status that routing and deduplication need."""

    id: str = ""
    status: str = ""
    sender: str = msgspec.field(name="from", default="")
    from_user_id: str = ""
    recipient_id: str = ""


decode_envelope = msgspec.json.Decoder(Envelope, strict=False).decode
decode_value = msgspec.json.Decoder(Value, strict=False).decode
decode_item_keys = msgspec.json.Decoder(ItemKeys, strict=False).decode


class ContactKeys(msgspec.Struct, frozen=True):
    """The fields of a contact by which a message finds it."""

    wa_id: str = ""
    user_id: str = ""


class _Recipient(msgspec.Struct, frozen=True):
    phone_number_id: str = ""


_decode_recipient = msgspec.json.Decoder(_Recipient, strict=False).decode


def number_of(value: Value) -> str:
    """Return the phone number id that a change belongs to, "" when it names none."""
    if value.metadata is not None and value.metadata.phone_number_id:
        return value.metadata.phone_number_id
    try:
        return _decode_recipient(value.recipient).phone_number_id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""


decode_contact_keys = msgspec.json.Decoder(ContactKeys, strict=False).decode
