"""For bot developers: run a handler in a test, message by message, and look at what it would do.

    chat = Chat(handle, restaurant=RESTAURANT, currency="CLP", locale="es-CL")
    reply = await chat.say("hola")
    assert reply.text == "¡Hola, Ana! ¿Lo mismo de siempre?"
    reply = await chat.tap("again")
    assert reply.order.total_minor == 8990

The handler runs in the test's own process, with the code that runs it in production: the same checks, the same menu,
the same prices. State and orders are kept from turn to turn. Nothing is contained, and no time limit is kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import msgspec

from comanda_botpod.handlers.sdk.context import Fact, Level
from comanda_botpod.handlers.sdk.gathered import Timer
from comanda_botpod.handlers.sdk.media import File, MediaError
from comanda_botpod.handlers.sdk.message import TIMER, message_of
from comanda_botpod.handlers.sdk.orders import RECENT, PastLine, PastOrder, draft_of
from comanda_botpod.handlers.sdk.turn import Facts, HandlerFunction, Services, http_session, run_turn
from comanda_botpod.media_types import kind_and_family
from comanda_contract.cloud.messages_in import MediaItem
from comanda_contract.cloud.messages_out import (
    Buttons,
    Catalog,
    CtaUrl,
    ListMessage,
    LocationRequest,
    Outbound,
    Text,
)
from comanda_flow import OrderDraft, load_restaurant

_WORDED = (Text, Buttons, ListMessage, CtaUrl, LocationRequest, Catalog)


@dataclass(frozen=True)
class Reply:
    """What one turn would do."""

    messages: tuple[Outbound, ...]
    state: dict[str, Any]
    order: OrderDraft | None
    timers: tuple[Timer, ...]
    handover: bool
    events: tuple[tuple[Level, str, dict[str, Fact]], ...]
    """What the handler logged."""

    @property
    def text(self) -> str:
        """The text of all messages, one a line; "" when the handler says nothing."""
        return "\n".join(message.text for message in self.messages if isinstance(message, _WORDED))

    @property
    def choices(self) -> dict[str, str]:
        """What the customer can tap, from id to title."""
        offered: dict[str, str] = {}
        for message in self.messages:
            if isinstance(message, Buttons):
                offered |= {button.id: button.title for button in message.buttons}
            if isinstance(message, ListMessage):
                offered |= {row.id: row.title for section in message.sections for row in section.rows}
        return offered


@dataclass
class Chat:
    """A conversation of one customer with a handler.

    `restaurant` is the document of restaurant.yaml, read already. `now` stands still until a test moves it.
    """

    handler: HandlerFunction
    restaurant: Mapping[str, Any] = field(default_factory=dict)
    currency: str = "USD"
    timezone: str = "UTC"
    locale: str = "es"
    tenant: str = "default/test"
    customer_name: str = "Ana"
    phone: str = "56900000000"
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    state: dict[str, Any] = field(default_factory=dict)
    files: dict[str, File] = field(default_factory=dict)
    """What Meta keeps: files that the customer sent and those that the handler handed over, by media id."""
    past: list[PastOrder] = field(default_factory=list)
    """The customer's orders, the newest first; those that the handler places are added."""
    _ids: count[int] = field(default_factory=lambda: count(1), repr=False)

    async def say(self, text: str) -> Reply:
        """Write a text."""
        return await self.send({"type": "text", "text": {"body": text}})

    async def tap(self, identifier: str, title: str = "") -> Reply:
        """Tap a button or a row of a list."""
        tapped = {"type": "button_reply", "button_reply": {"id": identifier, "title": title}}
        return await self.send({"type": "interactive", "interactive": tapped})

    async def share_location(self, latitude: float, longitude: float) -> Reply:
        """Share a place."""
        return await self.send({"type": "location", "location": {"latitude": latitude, "longitude": longitude}})

    async def send_cart(self, quantities: Mapping[str, int]) -> Reply:
        """Send a cart from the catalogue, from sku to quantity."""
        items = [{"product_retailer_id": sku, "quantity": quantity} for sku, quantity in quantities.items()]
        return await self.send({"type": "order", "order": {"product_items": items}})

    async def send_file(self, content: bytes, mime_type: str, *, caption: str = "") -> Reply:
        """Send a picture, recording, video or document."""
        kind, media_id = kind_and_family(mime_type)[0], f"media{next(self._ids)}"
        self.files[media_id] = File(content, mime_type)
        return await self.send({"type": kind, kind: {"id": media_id, "mime_type": mime_type, "caption": caption}})

    async def fire(self, timer: Timer) -> Reply:
        """Let a timer that the handler set become due; moves the clock."""
        self.now += timedelta(milliseconds=timer.after_ms)
        return await self._turn(TIMER, timer.payload, f"timer:{next(self._ids)}")

    async def send(self, message: Mapping[str, Any]) -> Reply:
        """Send any message, as Meta would post it; id, sender and time are filled in."""
        identifier = f"wamid.test{next(self._ids)}"
        filled = {"id": identifier, "from": self.phone, "timestamp": str(int(self.now.timestamp()))} | dict(message)
        return await self._turn(str(filled["type"]), json.dumps(filled), identifier)

    async def _turn(self, type_: str, payload: str, identifier: str) -> Reply:
        settings = {"currency": self.currency, "timezone": self.timezone, "locale": self.locale}
        restaurant = load_restaurant({"name": "Test", **self.restaurant}, **settings)
        now_ms = int(self.now.timestamp() * 1000)
        facts = Facts(
            message_id=identifier,
            type=type_,
            payload=payload,
            contact=json.dumps({"wa_id": self.phone, "profile": {"name": self.customer_name}}),
            sent_at_ms=now_ms,
            now_ms=now_ms,
            phone=self.phone,
            state=json.dumps(self.state) if self.state else "",
        )
        events: list[tuple[Level, str, dict[str, Fact]]] = []
        async with http_session() as http:
            files = _Files(self.files, message_of(type_, payload, identifier, now_ms).media)
            services = Services(http, self._fetch, files, lambda *event: events.append(event))
            effects = await run_turn(self.handler, self.tenant, restaurant, facts, services)
        self.state = msgspec.json.decode(effects.state, type=dict[str, Any])
        order = draft_of(restaurant, effects.order, self.now, identifier) if effects.order is not None else None
        if order is not None:
            self.past.insert(0, _past_order(order, self.now))
        return Reply(effects.messages, self.state, order, effects.timers, effects.handover, tuple(events))

    async def _fetch(self) -> tuple[PastOrder, ...]:
        return tuple(self.past[:RECENT])


@dataclass(frozen=True)
class _Files:
    """The files of one turn, kept where the test can see them."""

    files: dict[str, File]
    brought: MediaItem | None

    async def fetch(self) -> File:
        if self.brought is None or self.brought.id not in self.files:
            raise MediaError("This message brought no file.")
        return self.files[self.brought.id]

    async def upload(self, file: File) -> str:
        media_id = f"uploaded{len(self.files) + 1}"
        self.files[media_id] = file
        return media_id


def _past_order(order: OrderDraft, now: datetime) -> PastOrder:
    lines = tuple(
        PastLine(
            sku=line.sku,
            name=line.name,
            quantity=line.quantity,
            options=line.options,
            notes=line.notes,
            total_minor=line.total_minor,
        )
        for line in order.lines
    )
    return PastOrder(
        code=order.code,
        status="placed",
        created_at=now,
        fulfilment=order.fulfilment,
        lines=lines,
        currency=order.currency,
        total_minor=order.total_minor,
        address=order.address,
        latitude=order.latitude,
        longitude=order.longitude,
    )
