"""The message that a turn is about, as a handler reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from comanda_contract.cloud.messages_in import MediaItem, Place, ProductItem, parse_message

TIMER = "timer"
"""The type of a message that no customer wrote: a turn that the handler asked for with `Context.schedule`."""


@dataclass(frozen=True, kw_only=True)
class Message:
    """One message. What a customer wrote is not shown by `repr`, so that it does not end in a log by accident."""

    id: str
    """Meta's id of it; the same when the turn is tried again, so it makes calls to other services repeatable."""
    type: str
    """Meta's word: `text`, `interactive`, `location`, `order`, `image` …; or `timer`."""
    sent_at: datetime
    """When the customer sent it, or when the timer was due."""
    text: str = field(default="", repr=False)
    """What was said in words: typed, a caption, or the title of what was tapped."""
    tapped: str = field(default="", repr=False)
    """The id of the button or row that was tapped."""
    place: Place | None = field(default=None, repr=False)
    """A shared location."""
    cart: tuple[ProductItem, ...] = field(default=(), repr=False)
    """A cart sent from the catalogue. Its prices are the customer's view; the menu's count."""
    media: MediaItem | None = field(default=None, repr=False)
    """A picture, video, recording, document or sticker; `Context.media.fetch` returns its content."""
    payload: Any = field(default=None, repr=False)
    """What was given to `Context.schedule`; for type `timer` alone."""
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """All of it, as Meta sent it."""


def message_of(type_: str, payload: str, identifier: str, sent_at_ms: int) -> Message:
    """Read a stored message. `payload` is Meta's JSON, or for a timer the JSON that was given when it was set."""
    sent_at = datetime.fromtimestamp(sent_at_ms / 1000, UTC)
    raw = msgspec.json.decode(payload)
    if type_ == TIMER:
        return Message(id=identifier, type=TIMER, sent_at=sent_at, payload=raw)
    read = parse_message(payload.encode())
    return Message(
        id=identifier,
        type=read.type,
        sent_at=sent_at,
        text=read.words,
        tapped=read.tapped,
        place=read.location,
        cart=tuple(read.order.product_items) if read.order is not None else (),
        media=read.media,
        raw=raw if isinstance(raw, dict) else {},
    )
