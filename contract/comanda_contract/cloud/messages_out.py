"""Messages to customers: typed, checked against Meta's limits when they are built, rendered to Graph API JSON.

Shapes: Meta's send-message reference (Cloud API). A message that Meta would refuse cannot be constructed: the
constructor raises `MessageLimitError` that names the field, the limit and the length.
"""

from __future__ import annotations

from typing import Any

import msgspec

from comanda_contract.cloud import limits
from comanda_contract.errors import InvalidInputError


class MessageLimitError(InvalidInputError):
    """A message breaks one of Meta's limits; `path` is the field inside the message."""

    code = "message_limit"


def _check(path: str, text: str, limit: int, *, required: bool = True) -> None:
    if required and not text.strip():
        raise MessageLimitError(path, "must not be empty", hint="WhatsApp refuses empty text.")
    actual = limits.length(text)
    if actual > limit:
        raise MessageLimitError(path, f"has {actual} characters, WhatsApp allows {limit}", hint="Shorten the text.")


def _check_count(path: str, count: int, least: int, most: int) -> None:
    if not least <= count <= most:
        raise MessageLimitError(path, f"has {count} entries, WhatsApp allows {least} to {most}")


def _check_url(path: str, url: str) -> None:
    _check(path, url, limits.URL)
    if not url.startswith(("https://", "http://")):
        raise MessageLimitError(path, "needs a scheme", hint="Begin it with https://.")


class _Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """Base: each kind knows its Graph API `type` and object."""

    def body(self) -> dict[str, Any]:
        """Return the Graph API fields `type` and the object named by it."""
        raise NotImplementedError


class Text(_Message, frozen=True, kw_only=True, tag="text"):
    """Plain text, up to 4,096 characters."""

    text: str
    preview_url: bool = False

    def __post_init__(self) -> None:
        _check("text.body", self.text, limits.TEXT_BODY)

    def body(self) -> dict[str, Any]:
        """Render the Graph API object."""
        return {"type": "text", "text": {"body": self.text, "preview_url": self.preview_url}}


class Media(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A picture or document: by uploaded `id` or by public `link`, exactly one of them."""

    id: str = ""
    link: str = ""

    def check(self, path: str) -> None:
        """Raise `MessageLimitError` unless exactly one of id and link is given."""
        if bool(self.id) == bool(self.link):
            raise MessageLimitError(path, "needs exactly one of id and link")
        if self.link:
            _check_url(f"{path}.link", self.link)

    def reference(self) -> dict[str, str]:
        """Return `{"id": …}` or `{"link": …}`."""
        return {"id": self.id} if self.id else {"link": self.link}


class Image(_Message, frozen=True, kw_only=True, tag="image"):
    """A JPEG or PNG of up to 5 MB with an optional caption."""

    media: Media
    caption: str = ""

    def __post_init__(self) -> None:
        self.media.check("image")
        _check("image.caption", self.caption, limits.CAPTION, required=False)

    def body(self) -> dict[str, Any]:
        """Render the Graph API object."""
        caption = {"caption": self.caption} if self.caption else {}
        return {"type": "image", "image": self.media.reference() | caption}


class Document(_Message, frozen=True, kw_only=True, tag="document"):
    """A file of up to 100 MB."""

    media: Media
    filename: str = ""
    caption: str = ""

    def __post_init__(self) -> None:
        self.media.check("document")
        _check("document.caption", self.caption, limits.CAPTION, required=False)

    def body(self) -> dict[str, Any]:
        """Render the Graph API object."""
        extra = {key: value for key, value in (("filename", self.filename), ("caption", self.caption)) if value}
        return {"type": "document", "document": self.media.reference() | extra}


class Location(_Message, frozen=True, kw_only=True, tag="location"):
    """A place on the map."""

    latitude: float
    longitude: float
    name: str = ""
    address: str = ""

    def __post_init__(self) -> None:
        if not -90 <= self.latitude <= 90 or not -180 <= self.longitude <= 180:
            raise MessageLimitError("location", "lies outside the globe")

    def body(self) -> dict[str, Any]:
        """Render the Graph API object."""
        place: dict[str, Any] = {"latitude": self.latitude, "longitude": self.longitude}
        place |= {key: value for key, value in (("name", self.name), ("address", self.address)) if value}
        return {"type": "location", "location": place}


class Button(msgspec.Struct, frozen=True, kw_only=True):
    """A reply button; `id` comes back verbatim when it is tapped, even years later."""

    id: str
    title: str


class Buttons(_Message, frozen=True, kw_only=True, tag="buttons"):
    """Text with one to three reply buttons."""

    text: str
    buttons: tuple[Button, ...]
    header: str = ""
    footer: str = ""
    image: Media | None = None

    def __post_init__(self) -> None:
        _check("interactive.body.text", self.text, limits.INTERACTIVE_BODY)
        _check("interactive.header.text", self.header, limits.HEADER_TEXT, required=False)
        _check("interactive.footer.text", self.footer, limits.FOOTER_TEXT, required=False)
        _check_count("interactive.action.buttons", len(self.buttons), 1, limits.BUTTONS)
        for index, button in enumerate(self.buttons):
            path = f"interactive.action.buttons[{index}].reply"
            _check(f"{path}.title", button.title, limits.BUTTON_TITLE)
            _check(f"{path}.id", button.id, limits.BUTTON_ID)
        _check_distinct("interactive.action.buttons", [button.title for button in self.buttons])
        _check_distinct("interactive.action.buttons", [button.id for button in self.buttons])
        if self.image is not None:
            self.image.check("interactive.header.image")

    def body(self) -> dict[str, Any]:
        """Render the Graph API object."""
        buttons = [{"type": "reply", "reply": {"id": button.id, "title": button.title}} for button in self.buttons]
        interactive = {"type": "button", **_frame(self.text, self.header, self.footer), "action": {"buttons": buttons}}
        if self.image is not None:
            interactive["header"] = {"type": "image", "image": self.image.reference()}
        return {"type": "interactive", "interactive": interactive}


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A row of a list; `id` comes back verbatim when it is chosen."""

    id: str
    title: str
    description: str = ""


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """A titled part of a list; the title may be empty when the list has one section."""

    rows: tuple[Row, ...]
    title: str = ""


class ListMessage(_Message, frozen=True, kw_only=True, tag="list"):
    """Text with a button that opens a list of up to ten rows in all."""

    text: str
    button: str
    sections: tuple[Section, ...]
    header: str = ""
    footer: str = ""

    def __post_init__(self) -> None:
        _check("interactive.body.text", self.text, limits.INTERACTIVE_BODY)
        _check("interactive.header.text", self.header, limits.HEADER_TEXT, required=False)
        _check("interactive.footer.text", self.footer, limits.FOOTER_TEXT, required=False)
        _check("interactive.action.button", self.button, limits.LIST_BUTTON)
        _check_count("interactive.action.sections", len(self.sections), 1, limits.LIST_SECTIONS)
        rows = [row for section in self.sections for row in section.rows]
        _check_count("interactive.action.sections[].rows", len(rows), 1, limits.LIST_ROWS)
        for number, section in enumerate(self.sections):
            path = f"interactive.action.sections[{number}]"
            _check(f"{path}.title", section.title, limits.SECTION_TITLE, required=len(self.sections) > 1)
            _check_count(f"{path}.rows", len(section.rows), 1, limits.LIST_ROWS)
            for index, row in enumerate(section.rows):
                _check(f"{path}.rows[{index}].id", row.id, limits.ROW_ID)
                _check(f"{path}.rows[{index}].title", row.title, limits.ROW_TITLE)
                _check(f"{path}.rows[{index}].description", row.description, limits.ROW_DESCRIPTION, required=False)
        _check_distinct("interactive.action.sections[].rows", [row.id for row in rows])

    def body(self) -> dict[str, Any]:
        """Render the Graph API object."""
        sections = [
            ({"title": section.title} if section.title else {})
            | {
                "rows": [
                    {"id": row.id, "title": row.title} | ({"description": row.description} if row.description else {})
                    for row in section.rows
                ]
            }
            for section in self.sections
        ]
        frame = _frame(self.text, self.header, self.footer)
        action = {"button": self.button, "sections": sections}
        return {"type": "interactive", "interactive": {"type": "list", **frame, "action": action}}


class CtaUrl(_Message, frozen=True, kw_only=True, tag="cta_url"):
    """Text with one button that opens a web page."""

    text: str
    display_text: str
    url: str
    header: str = ""
    footer: str = ""

    def __post_init__(self) -> None:
        _check("interactive.body.text", self.text, limits.INTERACTIVE_BODY)
        _check("interactive.header.text", self.header, limits.HEADER_TEXT, required=False)
        _check("interactive.footer.text", self.footer, limits.FOOTER_TEXT, required=False)
        _check("interactive.action.parameters.display_text", self.display_text, limits.CTA_DISPLAY_TEXT)
        _check_url("interactive.action.parameters.url", self.url)

    def body(self) -> dict[str, Any]:
        """Render the Graph API object."""
        parameters = {"display_text": self.display_text, "url": self.url}
        action = {"name": "cta_url", "parameters": parameters}
        frame = _frame(self.text, self.header, self.footer)
        return {"type": "interactive", "interactive": {"type": "cta_url", **frame, "action": action}}


class LocationRequest(_Message, frozen=True, kw_only=True, tag="location_request"):
    """Text with a button that lets the customer send a location."""

    text: str

    def __post_init__(self) -> None:
        _check("interactive.body.text", self.text, limits.INTERACTIVE_BODY)

    def body(self) -> dict[str, Any]:
        """Render the Graph API object."""
        interactive = {
            "type": "location_request_message",
            "body": {"text": self.text},
            "action": {"name": "send_location"},
        }
        return {"type": "interactive", "interactive": interactive}


class Catalog(_Message, frozen=True, kw_only=True, tag="catalog"):
    """Text with a button that opens the number's catalogue."""

    text: str
    thumbnail_product_retailer_id: str = ""
    footer: str = ""

    def __post_init__(self) -> None:
        _check("interactive.body.text", self.text, limits.INTERACTIVE_BODY)
        _check("interactive.footer.text", self.footer, limits.FOOTER_TEXT, required=False)

    def body(self) -> dict[str, Any]:
        """Render the Graph API object."""
        action: dict[str, Any] = {"name": "catalog_message"}
        if self.thumbnail_product_retailer_id:
            action["parameters"] = {"thumbnail_product_retailer_id": self.thumbnail_product_retailer_id}
        frame = _frame(self.text, "", self.footer)
        return {"type": "interactive", "interactive": {"type": "catalog_message", **frame, "action": action}}


class Template(_Message, frozen=True, kw_only=True, tag="template"):
    """An approved template: the only thing that may be sent outside the 24-hour window."""

    name: str
    language: str
    components: tuple[dict[str, Any], ...] = ()

    def __post_init__(self) -> None:
        _check("template.name", self.name, 512)
        _check("template.language.code", self.language, 15)

    def body(self) -> dict[str, Any]:
        """Render the Graph API object."""
        template: dict[str, Any] = {"name": self.name, "language": {"code": self.language}}
        if self.components:
            template["components"] = list(self.components)
        return {"type": "template", "template": template}


Outbound = Text | Image | Document | Location | Buttons | ListMessage | CtaUrl | LocationRequest | Catalog | Template
"""Everything that may be sent to a customer."""


class Recipient(msgspec.Struct, frozen=True, kw_only=True):
    """Whom to send to: by phone (digits, no plus) when known, else by business-scoped user id."""

    phone: str = ""
    user_id: str = ""

    def __post_init__(self) -> None:
        if not self.phone and not self.user_id:
            raise MessageLimitError("to", "needs a phone number or a user id")

    def address(self) -> dict[str, str]:
        """Return `{"to": "+…"}` or `{"recipient": …}`. Without the plus Meta may prepend the business's own country."""
        return {"to": f"+{self.phone}"} if self.phone else {"recipient": self.user_id}


def render(message: Outbound, recipient: Recipient, *, callback_data: str = "", reply_to: str = "") -> dict[str, Any]:
    """Return the JSON of `POST /{version}/{phone_number_id}/messages`.

    `callback_data` (at most 512 characters, no secrets: every app subscribed to the account sees it) comes back in the
    statuses of the message; `reply_to` quotes a wamid.
    """
    _check("biz_opaque_callback_data", callback_data, limits.CALLBACK_DATA, required=False)
    payload: dict[str, Any] = {"messaging_product": "whatsapp", "recipient_type": "individual"}
    payload |= recipient.address() | message.body()
    if callback_data:
        payload["biz_opaque_callback_data"] = callback_data
    if reply_to:
        payload["context"] = {"message_id": reply_to}
    return payload


def shorten(text: str, limit: int) -> str:
    """Cut a text to a limit, ending in an ellipsis, never in the middle of a surrogate pair or joined emoji."""
    if limits.length(text) <= limit:
        return text
    kept = ""
    for character in text:
        if limits.length(kept + character) > limit - 1:
            break
        kept += character
    return kept.rstrip("\u200d\ufe0f ") + "…"


def _frame(text: str, header: str, footer: str) -> dict[str, Any]:
    frame: dict[str, Any] = {}
    if header:
        frame["header"] = {"type": "text", "text": header}
    frame["body"] = {"text": text}
    if footer:
        frame["footer"] = {"text": footer}
    return frame


def _check_distinct(path: str, values: list[str]) -> None:
    if len(set(values)) != len(values):
        raise MessageLimitError(path, "has the same title or id twice")
