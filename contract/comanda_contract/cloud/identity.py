"""Who a customer was and is, whom somebody else wrote to, and who answers a conversation now.

Customers change their phone number or user id; staff answers from the phone app; another app or Meta's agent takes a
thread over. All of it comes as deliveries that are no customer's message. Every function reads the item of one
delivery and tolerates what Meta leaves out or may invent. `msgspec.DecodeError` is the one error: the text is no JSON,
or beyond what anybody reads (a number of thousands of digits, brackets in brackets without end).

| field | kind | item | says | read with |
|---|---|---|---|---|
| `messages` | `message` | one of type `system` | a customer's new address | `identity_links` |
| `user_id_update` | `change` | the whole value | a customer's new address | `identity_links` |
| `smb_message_echoes` | `change` | the whole value | what staff wrote in the phone app | `echoes` |
| `message_echoes` | `change` | the whole value | what an app wrote | `echoes` |
| `standby` | `change` | the whole value | another app has the thread, and what it wrote | `echoes`, `controls` |
| `messaging_handovers` | `change` | the whole value | who got the thread | `controls` |

Source: Meta's webhook reference of 2026 for `system`, `smb_message_echoes` and `standby`. Since August 2026 Meta says
that `user_id_update` is no field of its own and that every new user id comes as a `system` message; the field is read
all the same. For `messaging_handovers` Meta's page was not at hand: its shape is that of deliveries seen in the field.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from comanda_contract.deliveries import DeliveryKind

AliasKind = Literal["phone", "user_id"]
Owner = Literal["app", "ai_agent", "other", "unknown"]
"""`app`: the thread came from Meta's agent to an app of the business · `ai_agent`: Meta's agent · `other`: somebody
else than this app · `unknown`: the event does not say."""


class Alias(msgspec.Struct, frozen=True):
    """One address of a customer: a phone number (digits) or a business-scoped user id."""

    kind: AliasKind
    value: str


class IdentityLink(msgspec.Struct, frozen=True):
    """The customer known by `previous` is from now on the one known by `current`."""

    previous: Alias
    current: Alias


class Echo(msgspec.Struct, frozen=True):
    """A message to a customer that the bot may not have written: by staff in the phone app, or by another app.

    `message_echoes` may hold what this bot sent itself: an echo whose wamid the outbox knows is no reason to pause.
    `customer` holds one alias or two of the same customer.
    """

    customer: tuple[Alias, ...]
    wamid: str
    type: str
    sent_at: int
    """Unix seconds by Meta's clock; 0 when absent."""


class Control(msgspec.Struct, frozen=True):
    """Who answers a customer's thread from now on.

    `app_id` is the new owner's Meta app when the event names it. `phone_number_id` is the number the thread belongs to,
    "" when the event leaves it to its envelope.
    """

    customer: tuple[Alias, ...]
    owner: Owner
    app_id: str
    phone_number_id: str
    at: int
    """Unix seconds by Meta's clock; 0 when absent."""


ECHO_FIELDS = frozenset({"smb_message_echoes", "message_echoes", "standby"})
CONTROL_FIELDS = frozenset({"standby", "messaging_handovers"})
SYSTEM_CHANGES = frozenset(
    {
        "user_changed_number",
        "user_changed_user_id",
        "customer_identity_changed",
        # Names of older webhook versions for the same.
        "customer_changed_number",
        "user_identity_changed",
    }
)
_HANDOVERS = ("control_passed", "control_taken", "pass_thread_control", "take_thread_control")
_LARGE = 10**20
_AGENT_ROLES = frozenset({"ai_agent", "meta_business_agent"})

# No phone number has more than fifteen digits (E.164); the id of a group has.
_PHONE = re.compile(r"\d{5,15}", re.ASCII)
_USER_ID = re.compile(r"[A-Z]{2}\.(?:ENT\.)?[A-Za-z0-9]{1,128}", re.ASCII)
# The customer's own name stands before it and may say anything, so only the end of the sentence counts.
_CHANGED = re.compile(r"changed from (\S+) to (\S+)\Z")
_PUNCTUATION = re.compile(r"[\s().+-]")
_decoder = msgspec.json.Decoder()


def identity_links(kind: DeliveryKind, field: str, item: bytes) -> tuple[IdentityLink, ...]:
    """Return what a delivery says about a customer's new address; empty for a delivery about anything else.

    A customer with two addresses before and two after gives four links; all name the same person. A previous phone
    number may belong to somebody else one day. Raises `msgspec.DecodeError`.
    """
    value = _read(item)
    if kind == "message" and field == "messages":
        return _links(*_of_system(value))
    if kind == "change" and field == "user_id_update":
        return tuple(link for update in _updates(value) for link in _links(*_of_update(update)))
    return ()


def echoes(field: str, item: bytes) -> tuple[Echo, ...]:
    """Return the messages that staff or another app wrote to customers, from one change; groups are left out.

    Raises `msgspec.DecodeError`.
    """
    value = _read(item)
    if field not in ECHO_FIELDS:
        return ()
    holder = _object(value, "standby") if field == "standby" else value
    found = (_echo(entry) for entry in _list(holder, "message_echoes"))
    return tuple(echo for echo in found if echo is not None)


def controls(field: str, item: bytes) -> tuple[Control, ...]:
    """Return who holds which thread, from one change.

    A customer's message under `standby` says that somebody else holds it; `messaging_handovers` says who got it.
    Raises `msgspec.DecodeError`.
    """
    value = _read(item)
    if field == "standby":
        number = _text(_object(value, "metadata"), "phone_number_id")
        return tuple(_standby(number, value))
    if field == "messaging_handovers":
        return tuple(_handover(value))
    return ()


def _read(item: bytes) -> Any:
    try:
        return _decoder.decode(item)
    except (UnicodeDecodeError, RecursionError) as error:
        message = "the text is no UTF-8, or nested too deeply"
        raise msgspec.DecodeError(message) from error


def _of_system(message: Any) -> tuple[tuple[Alias, ...], tuple[Alias, ...]]:
    """Return the addresses before and after of a `system` message."""
    system = _object(message, "system")
    if _text(system, "type") not in SYSTEM_CHANGES:
        return (), ()
    current = _aliases(
        phone=_text(system, "wa_id") or _text(system, "new_wa_id"),
        user_id=_text(system, "user_id"),
    )
    # The sender may be named by the old address or by the new one already; only the `system` part says which it is.
    sender = _aliases(phone=_text(message, "from"), user_id=_text(message, "from_user_id"))
    stated = _aliases(phone=_text(system, "customer"), user_id=_text(system, "previous_user_id"))
    previous = tuple(dict.fromkeys((*sender, *stated)))
    return previous + _told(_text(system, "body"), previous, current), current


def _told(body: str, previous: tuple[Alias, ...], current: tuple[Alias, ...]) -> tuple[Alias, ...]:
    """Return the previous address that a system message names in its sentence alone, as older ones do the user id.

    It counts only when the sentence ends in an address that the message itself gives as the new one.
    """
    match = _CHANGED.search(body)
    if match is None:
        return ()
    old, new = (_aliases(phone=word, user_id=word) for word in match.groups())
    known = {alias.kind for alias in previous if alias not in current}
    return tuple(alias for alias in old if alias.kind not in known and set(new) & set(current))


def _updates(value: Any) -> list[Any]:
    """Return the updates of a `user_id_update`: a list beside the metadata, or the value itself."""
    return _list(value, "user_id_update") or [value]


def _of_update(update: Any) -> tuple[tuple[Alias, ...], tuple[Alias, ...]]:
    change = _object(update, "user_id")
    return _aliases(user_id=_text(change, "previous")), _aliases(
        phone=_text(update, "wa_id"), user_id=_text(change, "current")
    )


def _links(previous: tuple[Alias, ...], current: tuple[Alias, ...]) -> tuple[IdentityLink, ...]:
    return tuple(IdentityLink(old, new) for old in previous for new in current if old != new)


def _echo(entry: Any) -> Echo | None:
    """Read one echo: flat as from the phone app, or with the request of the app that sent it under `message`."""
    body = _object(entry, "message") or entry
    customer = _aliases(
        phone=_text(body, "to"),
        user_id=_text(entry, "to_user_id") or _text(body, "recipient"),
    )
    if not customer or _text(body, "recipient_type") == "group" or _text(entry, "group_id"):
        return None
    return Echo(customer, _text(entry, "id"), _text(body, "type"), _seconds(entry))


def _standby(number: str, value: Any) -> Iterator[Control]:
    for message in _list(_object(value, "standby"), "messages"):
        customer = _aliases(phone=_text(message, "from"), user_id=_text(message, "from_user_id"))
        if customer and not _text(message, "group_id"):
            yield Control(customer, "other", "", number, _seconds(message))


def _handover(value: Any) -> Iterator[Control]:
    sender = _object(value, "sender")
    customer = _aliases(
        phone=_text(sender, "phone_number") or _text(sender, "wa_id"),
        user_id=_text(sender, "user_id"),
    )
    passed = next((passed for name in _HANDOVERS if (passed := _object(value, name))), {})
    if customer:
        number = _text(_object(value, "recipient"), "phone_number_id")
        yield Control(customer, _owner(passed), _text(passed, "new_owner_app_id"), number, _seconds(value))


def _owner(passed: dict[str, Any]) -> Owner:
    """Say who got the thread: the new owner when named, else whoever is not the agent that gave it away."""
    role = _text(passed, "new_owner_role") or _text(passed, "new_owner_app_role")
    if role in _AGENT_ROLES:
        return "ai_agent"
    previous = {_text(passed, "previous_owner_role"), _text(passed, "previous_owner_app_role")}
    return "app" if role or previous & _AGENT_ROLES else "unknown"


def _aliases(*, phone: str = "", user_id: str = "") -> tuple[Alias, ...]:
    """Return those of the two that have the form of an address."""
    # An app may have written a number with blanks and dashes; Meta echoes its request as it was.
    digits = _PUNCTUATION.sub("", phone)
    phones = (Alias("phone", digits),) if _PHONE.fullmatch(digits) else ()
    user_ids = (Alias("user_id", user_id),) if _USER_ID.fullmatch(user_id) else ()
    return (*phones, *user_ids)


def _object(value: Any, name: str) -> dict[str, Any]:
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def _list(value: Any, name: str) -> list[Any]:
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, list) else []


def _text(value: Any, name: str) -> str:
    """Return a text, or a whole number as text: Meta writes ids and times either way."""
    found = value.get(name) if isinstance(value, dict) else None
    if isinstance(found, int) and not isinstance(found, bool):
        return str(found) if abs(found) < _LARGE else ""
    return found if isinstance(found, str) else ""


def _seconds(value: Any) -> int:
    text = _text(value, "timestamp")
    return int(text) if len(text) < 20 and text.isascii() and text.isdigit() else 0
