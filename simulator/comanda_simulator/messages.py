"""Meta's rules for a send: the common fields, then the object named by `type`. Pure; decides nothing about time.

The order follows Meta: who and what first (100), then missing parameters (131008), then values (131009).
"""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from comanda_contract.cloud import limits
from comanda_simulator.errors import GraphRefusal
from comanda_simulator.fields import (
    Json,
    check_parameter,
    invalid,
    missing,
    need_list,
    need_number,
    need_object,
    need_text,
    optional_text,
    wrong_kind,
)
from comanda_simulator.interactive import Facts, check_interactive, check_media

_PUNCTUATION = str.maketrans("", "", "+ -().")
_PHONE = re.compile(r"[1-9][0-9]{6,14}")
_USER_ID = re.compile(r"[A-Z]{2}\.(ENT\.)?[A-Za-z0-9]{1,128}")


class Address(msgspec.Struct, frozen=True):
    """Whom a send is for: what was written, and the phone (digits) or the business-scoped user id it means."""

    given: str
    phone: str = ""
    user_id: str = ""


def read_address(message: Json) -> Address:
    """Return whom a send is for; `to` wins over `recipient`. Raises `GraphRefusal`."""
    if message.get("recipient_type", "individual") != "individual":
        raise invalid("recipient_type", "must be individual; groups are not simulated")
    to, recipient = message.get("to"), message.get("recipient")
    if to is not None:
        if not isinstance(to, str):
            raise wrong_kind("to", "a string")
        phone = to.translate(_PUNCTUATION)
        if not _PHONE.fullmatch(phone):
            raise invalid("to", "is not a phone number; a user id belongs into recipient")
        return Address(to, phone=phone)
    if recipient is None:
        raise GraphRefusal(100, "The parameter to is required.", title="(#100) The parameter to is required.")
    if not isinstance(recipient, str):
        raise wrong_kind("recipient", "a string")
    if not _USER_ID.fullmatch(recipient):
        raise invalid("recipient", "is not a business-scoped user id")
    return Address(recipient, user_id=recipient)


def check_message(message: Json, facts: Facts) -> str:
    """Check a send's content and return its type. Raises `GraphRefusal`."""
    kind = message.get("type", "text")
    if not isinstance(kind, str):
        raise wrong_kind("type", "a string")
    check = _CHECKS.get(kind)
    if check is None:
        raise GraphRefusal(131051, f"Message type {kind!r} is not supported.")
    callback_data = message.get("biz_opaque_callback_data")
    if callback_data is not None:
        check_parameter(callback_data, "biz_opaque_callback_data", limits.CALLBACK_DATA)
    if message.get("context") is not None:
        context = need_object(message, "context", "context")
        need_text(context, "message_id", "context.message_id", 256)
    check(message, facts)
    return kind


def _check_text(message: Json, _facts: Facts) -> None:
    text = need_object(message, "text", "text")
    body = text.get("body")
    if body is None:
        raise missing("text.body")
    check_parameter(body, "text['body']", limits.TEXT_BODY)
    if not body.strip():
        raise invalid("text.body", "must not be empty")


def _check_attachment(kind: str, *, caption: bool, filename: bool = False) -> Callable[[Json, Facts], None]:
    def check(message: Json, facts: Facts) -> None:
        media = need_object(message, kind, kind)
        check_media(media, kind, facts)
        if media.get("caption") is not None:
            if not caption:
                raise invalid(f"{kind}.caption", "is not allowed")
            optional_text(media, "caption", f"{kind}.caption", limits.CAPTION)
        if filename:
            optional_text(media, "filename", f"{kind}.filename", 240)

    return check


def _check_location(message: Json, _facts: Facts) -> None:
    location = need_object(message, "location", "location")
    need_number(location, "latitude", "location.latitude", -90, 90)
    need_number(location, "longitude", "location.longitude", -180, 180)
    optional_text(location, "name", "location.name", 1000)
    optional_text(location, "address", "location.address", 1000)


def _check_contacts(message: Json, _facts: Facts) -> None:
    for contact in need_list(message, "contacts", "contacts", 1, limits.CONTACTS):
        name = need_object(contact, "name", "contacts[].name")
        need_text(name, "formatted_name", "contacts[].name.formatted_name", 1024)


def _check_reaction(message: Json, _facts: Facts) -> None:
    reaction = need_object(message, "reaction", "reaction")
    need_text(reaction, "message_id", "reaction.message_id", 256)
    if message.get("context") is not None:
        raise invalid("context", "is not allowed with type reaction")
    if reaction.get("emoji") is None:
        raise missing("reaction.emoji")
    optional_text(reaction, "emoji", "reaction.emoji", 32)


def _check_template(message: Json, _facts: Facts) -> None:
    template = need_object(message, "template", "template")
    need_text(template, "name", "template.name", 512)
    language = need_object(template, "language", "template.language")
    need_text(language, "code", "template.language.code", 15)
    if template.get("components") is None:
        return
    for component in need_list(template, "components", "template.components", 0, 20):
        kind = need_text(component, "type", "template.components[].type", 64)
        if kind.lower() not in _COMPONENTS:
            raise invalid("template.components[].type", f"must be one of {', '.join(_COMPONENTS)}")


_COMPONENTS = ("header", "body", "footer", "button", "carousel", "limited_time_offer", "order_status")

_CHECKS: dict[str, Callable[[Json, Facts], None]] = {
    "text": _check_text,
    "interactive": check_interactive,
    "image": _check_attachment("image", caption=True),
    "video": _check_attachment("video", caption=True),
    "document": _check_attachment("document", caption=True, filename=True),
    "audio": _check_attachment("audio", caption=False),
    "sticker": _check_attachment("sticker", caption=False),
    "location": _check_location,
    "contacts": _check_contacts,
    "reaction": _check_reaction,
    "template": _check_template,
}
