"""What a handler says. Each call is checked against Meta's limits at once, and sent after the handler has returned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from comanda_botpod.handlers.sdk.gathered import MAX_MESSAGES, Gathered
from comanda_contract.cloud.messages_out import (
    Button,
    Buttons,
    Catalog,
    CtaUrl,
    Document,
    Image,
    ListMessage,
    Location,
    LocationRequest,
    Media,
    Outbound,
    Section,
    Template,
    Text,
)


class Send:
    """Queues messages to the customer, in order.

    Every method raises `MessageLimitError`, which names the field, its length and the limit, when Meta would refuse the
    message; and `UsageError` for more than ten messages in a turn. Each message is billed: one a turn is best.
    """

    def __init__(self, gathered: Gathered) -> None:
        self._gathered = gathered

    def text(self, text: str, *, preview_url: bool = False) -> None:
        """Send plain text, up to 4,096 characters."""
        self.message(Text(text=text, preview_url=preview_url))

    def buttons(
        self, text: str, buttons: Mapping[str, str], *, header: str = "", footer: str = "", image: str = ""
    ) -> None:
        """Send a text with one to three buttons, from id (comes back as `Message.tapped`) to title.

        `image` is the public address of a picture above the text.
        """
        made = tuple(Button(id=identifier, title=title) for identifier, title in buttons.items())
        media = Media(link=image) if image else None
        self.message(Buttons(text=text, buttons=made, header=header, footer=footer, image=media))

    def list_message(
        self, text: str, button: str, sections: Sequence[Section], *, header: str = "", footer: str = ""
    ) -> None:
        """Send a text with a button that opens a list of up to ten rows in all."""
        self.message(ListMessage(text=text, button=button, sections=tuple(sections), header=header, footer=footer))

    def image(self, link: str = "", *, media_id: str = "", caption: str = "") -> None:
        """Send a JPEG or PNG of up to 5 MB, by its public address or by what `Context.media.upload` returned."""
        self.message(Image(media=Media(link=link, id=media_id), caption=caption))

    def document(self, link: str = "", *, media_id: str = "", filename: str = "", caption: str = "") -> None:
        """Send a file of up to 100 MB, by its public address or by what `Context.media.upload` returned."""
        self.message(Document(media=Media(link=link, id=media_id), filename=filename, caption=caption))

    def location(self, latitude: float, longitude: float, *, name: str = "", address: str = "") -> None:
        """Send a place on the map."""
        self.message(Location(latitude=latitude, longitude=longitude, name=name, address=address))

    def ask_location(self, text: str) -> None:
        """Send a text with a button that lets the customer share a location."""
        self.message(LocationRequest(text=text))

    def catalogue(self, text: str, *, thumbnail_sku: str = "", footer: str = "") -> None:
        """Send a text with a button that opens the number's catalogue."""
        self.message(Catalog(text=text, thumbnail_product_retailer_id=thumbnail_sku, footer=footer))

    def link(self, text: str, title: str, url: str, *, header: str = "", footer: str = "") -> None:
        """Send a text with one button that opens a web page."""
        self.message(CtaUrl(text=text, display_text=title, url=url, header=header, footer=footer))

    def template(self, name: str, language: str, components: Sequence[dict[str, Any]] = ()) -> None:
        """Send an approved template: the only thing that arrives 24 h after the customer's last message or later."""
        self.message(Template(name=name, language=language, components=tuple(components)))

    def message(self, message: Outbound) -> None:
        """Send a message that is built already."""
        self._gathered.room("send", len(self._gathered.messages), MAX_MESSAGES)
        self._gathered.messages.append(message)
