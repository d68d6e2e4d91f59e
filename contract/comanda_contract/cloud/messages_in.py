"""One inbound message as the bot sees it: typed where we know the type, whole where we do not.

Nothing optional is assumed present, and no shape that Meta may invent raises: a message of an unknown type keeps its
`type` and its raw JSON. Source: Meta's webhook reference for `messages` (2026), including customers who hide their
phone number and are known by a business-scoped user id alone.
"""

from __future__ import annotations

from typing import Any

import msgspec


class TextBody(msgspec.Struct, frozen=True):
    """`text`."""

    body: str = ""


class Reply(msgspec.Struct, frozen=True):
    """`button_reply` or `list_reply`: the id of what was tapped and its title."""

    id: str = ""
    title: str = ""
    description: str = ""


class Interactive(msgspec.Struct, frozen=True):
    """`interactive`: what was tapped; other kinds (`nfm_reply`, …) stay in the raw message."""

    type: str = ""
    button_reply: Reply | None = None
    list_reply: Reply | None = None


class TemplateButton(msgspec.Struct, frozen=True):
    """`button`: the quick reply of a template."""

    payload: str = ""
    text: str = ""


class ProductItem(msgspec.Struct, frozen=True):
    """One line of a catalogue order. The price is the customer's view of it and is never trusted."""

    product_retailer_id: str = ""
    quantity: int | float | str = 1
    item_price: float | str | None = None
    currency: str = ""


class CatalogOrder(msgspec.Struct, frozen=True):
    """`order`: a cart sent from the catalogue."""

    catalog_id: str = ""
    text: str = ""
    product_items: list[ProductItem] = []


class Place(msgspec.Struct, frozen=True):
    """`location`."""

    latitude: float = 0.0
    longitude: float = 0.0
    name: str = ""
    address: str = ""


class MediaItem(msgspec.Struct, frozen=True):
    """`image`, `video`, `audio`, `document` or `sticker`."""

    id: str = ""
    mime_type: str = ""
    caption: str = ""


class Context(msgspec.Struct, frozen=True):
    """`context`: the message this one answers."""

    id: str = ""
    forwarded: bool = False


class InboundMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One item of `messages`."""

    id: str = ""
    sender: str = msgspec.field(name="from", default="")
    from_user_id: str = ""
    timestamp: str = ""
    type: str = "unknown"
    group_id: str = ""
    text: TextBody | None = None
    interactive: Interactive | None = None
    button: TemplateButton | None = None
    order: CatalogOrder | None = None
    location: Place | None = None
    image: MediaItem | None = None
    video: MediaItem | None = None
    audio: MediaItem | None = None
    document: MediaItem | None = None
    sticker: MediaItem | None = None
    context: Context | None = None

    @property
    def tapped(self) -> str:
        """The id of the button or row that was tapped, or the payload of a template's quick reply; "" otherwise."""
        if self.interactive is not None:
            reply = self.interactive.button_reply or self.interactive.list_reply
            return reply.id if reply is not None else ""
        return self.button.payload if self.button is not None else ""

    @property
    def media(self) -> MediaItem | None:
        """The file that it brings, whatever its kind."""
        return self.image or self.video or self.audio or self.document or self.sticker

    @property
    def words(self) -> str:
        """What the customer said in words: typed text, a caption, or the title of what was tapped; "" otherwise."""
        if self.text is not None:
            return self.text.body
        if self.interactive is not None:
            reply = self.interactive.button_reply or self.interactive.list_reply
            return reply.title if reply is not None else ""
        if self.button is not None:
            return self.button.text
        return self.media.caption if self.media is not None else ""

    @property
    def sent_at(self) -> int:
        """When the customer sent it, in unix seconds by Meta's clock (1 s grain); 0 when absent or not a number."""
        return int(self.timestamp) if self.timestamp.isascii() and self.timestamp.isdigit() else 0


class Profile(msgspec.Struct, frozen=True):
    """`contacts[].profile`."""

    name: str = ""
    username: str = ""


class Contact(msgspec.Struct, frozen=True):
    """One item of `contacts`: who wrote, by phone, by user id, or both."""

    wa_id: str = ""
    user_id: str = ""
    profile: Profile | None = None

    @property
    def name(self) -> str:
        """The name the customer chose, "" when absent."""
        return self.profile.name if self.profile is not None else ""


TURNLESS_TYPES = frozenset({"reaction", "system", "edit", "revoke"})
"""Message types that never start a bot turn (they are stored all the same)."""

_message = msgspec.json.Decoder(InboundMessage, strict=False)
_contact = msgspec.json.Decoder(Contact, strict=False)
_anything = msgspec.json.Decoder()


def parse_message(raw: bytes) -> InboundMessage:
    """Read one message; a part with an unexpected shape is left out, the rest stays. Never raises for valid JSON."""
    try:
        return _message.decode(raw)
    except msgspec.ValidationError:
        return msgspec.convert(_readable(_anything.decode(raw), InboundMessage), InboundMessage, strict=False)


def parse_contact(raw: bytes) -> Contact:
    """Read one contact; the same tolerance as `parse_message`."""
    try:
        return _contact.decode(raw)
    except msgspec.ValidationError:
        return msgspec.convert(_readable(_anything.decode(raw), Contact), Contact, strict=False)


def _readable(value: Any, shape: type[msgspec.Struct]) -> dict[str, Any]:
    """Keep those fields of a JSON object that fit the shape; {} for anything that is no object."""
    if not isinstance(value, dict):
        return {}
    kept: dict[str, Any] = {}
    for field in msgspec.structs.fields(shape):
        if field.encode_name not in value:
            continue
        try:
            msgspec.convert(value[field.encode_name], field.type, strict=False)
        except msgspec.ValidationError:
            continue
        kept[field.encode_name] = value[field.encode_name]
    return kept
