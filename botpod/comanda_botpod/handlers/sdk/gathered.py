"""What a turn asks for while its handler runs, and what becomes of it: `Effects`, which cross the process border.

Bounds stand in the types: whoever decodes `Effects` from an untrusted process has checked them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

import msgspec

from comanda_contract.cloud.messages_out import Outbound
from comanda_contract.errors import InvalidInputError
from comanda_flow import CartLine

MAX_MESSAGES = 10
"""Messages of one turn: more read as spam, and Meta lets a number send one in 6 s to a person on average."""
MAX_TIMERS = 10
MAX_TIMER_DAYS = 30
STATE_BYTES = 64 * 1024
PAYLOAD_BYTES = 4 * 1024
FILE_BYTES = 5 * 1024 * 1024
"""A file on its way into a handler or out of it: a photo by Meta's limit, far more than most documents."""
MAX_FILES = 4
EFFECTS_BYTES = 1024 * 1024
"""All that a turn asks for, as JSON: ten messages and the state, with room to spare."""

_Short = Annotated[str, msgspec.Meta(max_length=200)]
_Long = Annotated[str, msgspec.Meta(max_length=1000)]
_Digest = Annotated[str, msgspec.Meta(max_length=PAYLOAD_BYTES)]


class UsageError(InvalidInputError):
    """A handler asks for something that cannot be done; `path` names the call or the part of the state."""

    code = "handler_usage"


class OrderWish(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An order as a handler places it: what, and where to. Names, prices and fees come from the restaurant.

    A delivery needs an address, a district or a point. `options` of a line are `option=choice` ids of the menu.
    """

    lines: Annotated[tuple[CartLine, ...], msgspec.Meta(max_length=50)]
    fulfilment: Literal["pickup", "delivery"]
    customer_name: _Short = ""
    address: _Long = ""
    district: _Short = ""
    latitude: float | None = None
    longitude: float | None = None
    notes: _Long = ""
    payment: _Short = ""


class Timer(msgspec.Struct, frozen=True, kw_only=True):
    """A later turn of the same conversation; `payload` is JSON text."""

    after_ms: Annotated[int, msgspec.Meta(ge=1000, le=MAX_TIMER_DAYS * 86_400_000)]
    payload: _Digest


class Effects(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that a turn changes. `state` is JSON."""

    state: msgspec.Raw
    messages: Annotated[tuple[Outbound, ...], msgspec.Meta(max_length=MAX_MESSAGES)] = ()
    order: OrderWish | None = None
    timers: Annotated[tuple[Timer, ...], msgspec.Meta(max_length=MAX_TIMERS)] = ()
    handover: bool = False


@dataclass
class Gathered:
    """What has been asked for so far. Nothing of it happens before the handler has returned."""

    messages: list[Outbound] = field(default_factory=list)
    order: OrderWish | None = None
    timers: list[Timer] = field(default_factory=list)
    handover: bool = False
    files: int = 0
    """Files fetched and handed over."""
    over: bool = False

    def room(self, call: str, used: int, most: int) -> None:
        """Raise `UsageError` when the turn is over, or has this many of something already."""
        if self.over:
            raise UsageError(call, "the turn is over", hint="Await what you start before the handler returns.")
        if used >= most:
            raise UsageError(call, f"a turn may have {most} of these at most")

    def effects(self, state: bytes) -> Effects:
        """End the turn and return what it changes."""
        self.over = True
        return Effects(
            state=msgspec.Raw(state),
            messages=tuple(self.messages),
            order=self.order,
            timers=tuple(self.timers),
            handover=self.handover,
        )
