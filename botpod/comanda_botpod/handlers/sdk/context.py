"""What a handler is given for a turn: what it may know, and all that it may ask for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

import aiohttp

from comanda_botpod.handlers.sdk.gathered import (
    MAX_TIMER_DAYS,
    MAX_TIMERS,
    PAYLOAD_BYTES,
    Gathered,
    Timer,
    UsageError,
)
from comanda_botpod.handlers.sdk.media import Media
from comanda_botpod.handlers.sdk.orders import Orders
from comanda_botpod.handlers.sdk.plain import plain_json
from comanda_botpod.handlers.sdk.send import Send
from comanda_flow import Restaurant

Level = Literal["debug", "info", "warning", "error"]
Fact = str | int | float | bool | None
Write = Callable[[Level, str, dict[str, Fact]], None]


@dataclass(frozen=True)
class Customer:
    """Who writes. Phone and user id are for addressing alone; one of them may be empty. `repr` shows neither."""

    name: str = field(default="", repr=False)
    """As the customer calls themselves on WhatsApp; empty when unknown, as in a timer's turn."""
    phone: str = field(default="", repr=False)
    user_id: str = field(default="", repr=False)


class Log:
    """Writes events to the pod's log. Numbers of seven digits and more, and WhatsApp's ids, are blacked out there."""

    def __init__(self, write: Write) -> None:
        self._write = write

    def debug(self, event: str, **facts: Fact) -> None:
        """Write an event that helps while developing."""
        self._write("debug", event, facts)

    def info(self, event: str, **facts: Fact) -> None:
        """Write an event that is as it should be."""
        self._write("info", event, facts)

    def warning(self, event: str, **facts: Fact) -> None:
        """Write an event that somebody should know of."""
        self._write("warning", event, facts)

    def error(self, event: str, **facts: Fact) -> None:
        """Write an event that somebody should act on."""
        self._write("error", event, facts)


@dataclass(frozen=True, kw_only=True)
class Context:
    """One turn. Nothing that is asked for here happens before the handler returns; if it raises, nothing does."""

    tenant: str
    """`namespace/name` of the WhatsAppTenant."""
    now: datetime
    """The time of the turn, in the restaurant's time zone; the one clock to use."""
    customer: Customer
    menu: Restaurant
    """The restaurant: menu, hours, zones, texts."""
    state: dict[str, Any]
    """What the conversation remembers: plain JSON of at most 64 KiB, yours to change; saved with the turn."""
    send: Send
    orders: Orders
    media: Media
    http: aiohttp.ClientSession
    """For calls to services of your own, 5 s each at most; it keeps no cookies."""
    log: Log
    gathered: Gathered = field(repr=False)

    def schedule(self, after: timedelta, payload: Any = None) -> None:
        """Ask for a later turn of this conversation: a `Message` of type `timer` with this payload.

        From one second to 30 days, ten a turn; the payload is plain JSON of at most 4 KiB. Raises `UsageError`.
        """
        self.gathered.room("schedule", len(self.gathered.timers), MAX_TIMERS)
        if not timedelta(seconds=1) <= after <= timedelta(days=MAX_TIMER_DAYS):
            raise UsageError("schedule.after", f"must be one second to {MAX_TIMER_DAYS} days")
        text = plain_json("schedule.payload", payload, PAYLOAD_BYTES).decode()
        self.gathered.timers.append(Timer(after_ms=int(after.total_seconds() * 1000), payload=text))

    def handover(self) -> None:
        """Give the conversation to the staff: the handler is not called for two hours, or until they give it back."""
        self.gathered.room("handover", 0, 1)
        self.gathered.handover = True
