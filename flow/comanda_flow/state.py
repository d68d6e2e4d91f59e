"""The state of one conversation: small, immutable, stored as JSON between turns.

Fields have defaults and are never renamed, so that a pod of the version before or after can read what this one wrote.
"""

from __future__ import annotations

from typing import Any

import msgspec

from comanda_flow.errors import StateError

MAX_QUANTITY = 99
"""The most of one line; larger orders are a matter for a person."""
MAX_LINES = 50
"""The most lines in a cart: more are a mistake, and would not fit into a message."""


class CartLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """So many of one item made in one way; `options` are `option=choice` ids."""

    sku: str
    quantity: int = 1
    options: tuple[str, ...] = ()
    notes: str = ""


class Draft(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line that still needs an answer: which of several items, which option, how many."""

    skus: tuple[str, ...]
    quantity: int = 0
    """0 until the customer says how many."""
    options: tuple[str, ...] = ()
    notes: str = ""
    heard: str = ""
    """What the customer called it."""
    thorough: bool = False
    """Whether optional extras are offered too, as to a customer who taps rather than types."""
    settled: tuple[str, ...] = ()
    """Options the customer is done with."""


class LastOrder(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was ordered last, to order it again."""

    lines: tuple[CartLine, ...] = ()
    fulfilment: str = ""
    address: str = ""
    district: str = ""
    latitude: float | None = None
    longitude: float | None = None


class State(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a conversation stands."""

    node: str = ""
    """Where the customer was left; empty before the first turn and after a long silence."""
    lines: tuple[CartLine, ...] = ()
    pending: tuple[Draft, ...] = ()
    """Lines that wait for an answer, the one being asked about first."""
    then: str = ""
    """The node to go to once nothing is pending."""
    revision: int = 0
    """Counts changes of cart and pending lines; never goes back, so a button of an older cart cannot pass for new."""
    quoted_revision: int = -1
    """The revision whose summary the customer has seen."""
    quoted_total_minor: int = -1
    fulfilment: str = ""
    address: str = ""
    district: str = ""
    latitude: float | None = None
    longitude: float | None = None
    name: str = ""
    notes: str = ""
    payment: str = ""
    skipped: tuple[str, ...] = ()
    """Fields the customer was asked for and left empty."""
    language: str = ""
    last: LastOrder | None = None
    hinted: bool = False
    """Whether the hint about messages that cannot be read was the last thing said."""
    misses: int = 0
    """How many messages in a row were not understood."""
    last_activity: int = 0
    """When the customer last wrote, in unix seconds."""


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(State).decode
_read = msgspec.json.Decoder().decode


def encode_state(state: State) -> bytes:
    """Write a state as JSON."""
    return _encode(state)


def decode_state(content: bytes) -> State:
    """Read a state; fields of another version that do not fit are left out. Raises `StateError` for no JSON object."""
    try:
        return _decode(content)
    except msgspec.ValidationError:
        return _readable(_read(content))
    except msgspec.DecodeError as error:
        raise StateError("state", "is no JSON") from error


def _readable(value: Any) -> State:
    if not isinstance(value, dict):
        raise StateError("state", "is no JSON object")
    kept = {}
    for field in msgspec.structs.fields(State):
        try:
            kept[field.name] = msgspec.convert(value[field.name], field.type)
        except (KeyError, msgspec.ValidationError):
            continue
    return State(**kept)


def cleared(state: State) -> State:
    """Return a state with an empty cart and nothing collected for it; who the customer is stays."""
    return State(
        node=state.node,
        revision=state.revision + 1,
        name=state.name,
        language=state.language,
        last=state.last,
        hinted=state.hinted,
        misses=state.misses,
        last_activity=state.last_activity,
    )
