"""A customer for tests: sends messages of every kind, taps what was offered, and reads replies as text."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import yaml

from comanda_contract.cloud.messages_in import (
    CatalogOrder,
    Contact,
    InboundMessage,
    Interactive,
    MediaItem,
    Place,
    ProductItem,
    Profile,
    Reply,
    TextBody,
)
from comanda_contract.cloud.messages_out import (
    Buttons,
    ListMessage,
    Location,
    LocationRequest,
    Outbound,
    Recipient,
    Text,
    render,
)
from comanda_flow import (
    STANDARD_FLOW_RESOURCE,
    Flow,
    Restaurant,
    State,
    Turn,
    advance,
    decode_state,
    encode_state,
    load_flow,
    load_restaurant,
)

HERE = Path(__file__).parent
SANTIAGO = ZoneInfo("America/Santiago")
TUESDAY_LUNCH = datetime(2026, 11, 24, 13, 0, tzinfo=SANTIAGO)


@cache
def document(name: str) -> dict[str, Any]:
    """Read a restaurant document of these tests."""
    content: dict[str, Any] = yaml.safe_load((HERE / f"{name}.yaml").read_text(encoding="utf-8"))
    return content


@cache
def standard_document() -> dict[str, Any]:
    """Read the standard flow as its users do."""
    package, name = STANDARD_FLOW_RESOURCE
    content: dict[str, Any] = yaml.safe_load((files(package) / name).read_text(encoding="utf-8"))
    return content


@cache
def standard_flow() -> Flow:
    return load_flow(standard_document())


def restaurant(name: str = "pizzeria", **changes: Any) -> Restaurant:
    """Load a restaurant of these tests, with some of its document's fields changed."""
    return load_restaurant(document(name) | changes, currency="CLP", timezone="America/Santiago", locale="es-CL")


@dataclass
class Customer:
    """One conversation. `heard` are the replies to the last message."""

    restaurant: Restaurant = field(default_factory=restaurant)
    flow: Flow = field(default_factory=standard_flow)
    name: str = "Ana"
    now: datetime = TUESDAY_LUNCH
    state: State | None = None
    heard: tuple[Outbound, ...] = ()
    count: int = 0

    def send(self, **parts: Any) -> Turn:
        """Send a message; the state makes the way through JSON, as it does between two turns."""
        self.count += 1
        message = InboundMessage(id=f"wamid.{self.count}", sender="56900000000", **parts)
        contact = Contact(wa_id="56900000000", profile=Profile(name=self.name))
        turn = advance(self.flow, self.restaurant, self.state, message, contact, self.now)
        for reply in turn.replies:
            render(reply, Recipient(phone="56900000000"))
        self.state = decode_state(encode_state(turn.state))
        assert self.state == turn.state
        self.heard = turn.replies
        return turn

    def says(self, text: str) -> Turn:
        return self.send(type="text", text=TextBody(body=text))

    def taps(self, title: str) -> Turn:
        """Tap what was offered under a title."""
        return self.taps_id(offered(self.heard)[title])

    def taps_id(self, identifier: str) -> Turn:
        reply = Reply(id=identifier, title="?")
        return self.send(type="interactive", interactive=Interactive(type="button_reply", button_reply=reply))

    def orders(self, items: dict[str, Any], text: str = "") -> Turn:
        """Send a cart from the catalogue, at prices that the restaurant does not have."""
        lines = [ProductItem(product_retailer_id=sku, quantity=n, item_price=1) for sku, n in items.items()]
        return self.send(type="order", order=CatalogOrder(catalog_id="C1", text=text, product_items=lines))

    def locates(self, latitude: float, longitude: float) -> Turn:
        return self.send(type="location", location=Place(latitude=latitude, longitude=longitude))

    def sends(self, kind: str) -> Turn:
        media = {kind: MediaItem(id="M1")} if kind in {"image", "audio", "video", "document", "sticker"} else {}
        return self.send(type=kind, **media)

    def waits(self, hours: float) -> None:
        self.now += timedelta(hours=hours)


def offered(replies: tuple[Outbound, ...]) -> dict[str, str]:
    """Return what can be tapped in replies: title → id."""
    taps: dict[str, str] = {}
    for reply in replies:
        if isinstance(reply, Buttons):
            taps |= {button.title: button.id for button in reply.buttons}
        if isinstance(reply, ListMessage):
            taps |= {row.title: row.id for section in reply.sections for row in section.rows}
    return taps


def readable(reply: Outbound) -> str:
    """Write a reply the way a person sees it on the phone."""
    match reply:
        case Text():
            return reply.text
        case Buttons():
            return "\n".join([reply.text, *(f"[{button.title}]" for button in reply.buttons)])
        case ListMessage():
            return "\n".join([reply.text, f"<{reply.button}>", *_rows(reply)])
        case LocationRequest():
            return f"{reply.text}\n[send location]"
        case Location():
            return f"({reply.latitude}, {reply.longitude}) {reply.name}, {reply.address}"
        case _:
            return repr(reply)


def _rows(reply: ListMessage) -> list[str]:
    lines = []
    for section in reply.sections:
        lines += [f"= {section.title}"] if section.title else []
        lines += [f"- {row.title}" + (f" | {row.description}" if row.description else "") for row in section.rows]
    return lines
