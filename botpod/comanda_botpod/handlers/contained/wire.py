"""The frames between the pod and a worker: JSON, tagged by `type`. The pod checks everything by decoding it."""

from __future__ import annotations

from typing import Annotated

import msgspec

from comanda_botpod.handlers.sdk.context import Fact, Level
from comanda_botpod.handlers.sdk.gathered import EFFECTS_BYTES, Effects
from comanda_botpod.handlers.sdk.orders import PastOrder
from comanda_botpod.handlers.sdk.turn import Facts

_Line = Annotated[str, msgspec.Meta(max_length=1000)]


class _Frame(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag=str.lower):
    """Base of all frames."""


# From the pod


class Start(_Frame, frozen=True, kw_only=True):
    """The first frame: whose worker this is and how much memory it may take; answered by `Ready` or `Unusable`."""

    tenant: str
    memory_mib: int


class Menu(_Frame, frozen=True, kw_only=True):
    """The restaurant that later turns see: the document `[restaurant, currency, timezone, locale]` as JSON text."""

    display_name: str
    document: str


class Turn(_Frame, frozen=True, kw_only=True):
    """A turn to run; answered by `Done` or `Failed`, once."""

    id: int
    facts: Facts


class Cancel(_Frame, frozen=True, kw_only=True):
    """The turn's time is up. It is answered all the same."""

    id: int


class Past(_Frame, frozen=True, kw_only=True):
    """The answer to `AskPast`; `available` is false when they could not be read."""

    id: int
    orders: tuple[PastOrder, ...] = ()
    available: bool = True


class Ping(_Frame, frozen=True, kw_only=True):
    """Answered by `Pong`, as soon as the worker's event loop turns."""

    number: int


Down = Start | Menu | Turn | Cancel | Past | Ping


# From the worker


class Ready(_Frame, frozen=True, kw_only=True):
    """The handler is found and imported."""


class Unusable(_Frame, frozen=True, kw_only=True):
    """The handler cannot be used; the worker ends."""

    problem: _Line


class Done(_Frame, frozen=True, kw_only=True):
    """The handler returned."""

    id: int
    effects: Effects


class Failed(_Frame, frozen=True, kw_only=True):
    """The handler raised.

    `error` is the exception's type, `at` the line of the handler's own code in which it came up, `problem` the sentence
    of an error that is ours and safe to show, `frames` the whole way there, the innermost last.
    """

    id: int
    error: _Line
    at: _Line = ""
    problem: _Line = ""
    frames: Annotated[tuple[_Line, ...], msgspec.Meta(max_length=20)] = ()


class AskPast(_Frame, frozen=True, kw_only=True):
    """The turn wants the customer's last orders; asked once a turn."""

    id: int


class Pong(_Frame, frozen=True, kw_only=True):
    """The loop turns."""

    number: int


class Said(_Frame, frozen=True, kw_only=True):
    """The handler logs an event."""

    level: Level
    event: _Line
    facts: Annotated[dict[str, Fact], msgspec.Meta(max_length=20)] = {}


Up = Ready | Unusable | Done | Failed | AskPast | Pong | Said

UP_BYTES = EFFECTS_BYTES + 1024
"""The largest frame of a worker: what a turn asks for, in its envelope."""
DOWN_BYTES = 64 * 1024 * 1024
"""The largest frame of the pod: a menu is a ConfigMap's size; a message is at most 3 MB."""

encode = msgspec.json.Encoder().encode
decode_down = msgspec.json.Decoder(Down).decode
decode_up = msgspec.json.Decoder(Up).decode
