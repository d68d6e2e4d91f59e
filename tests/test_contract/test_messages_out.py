from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comanda_contract.cloud import limits
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
    MessageLimitError,
    Recipient,
    Row,
    Section,
    Template,
    Text,
    render,
    shorten,
)


def buttons(count: int, title: str = "Sí") -> tuple[Button, ...]:
    return tuple(Button(id=f"id{index}", title=f"{title}{index}") for index in range(count))


def rows(count: int) -> tuple[Row, ...]:
    return tuple(Row(id=f"r{index}", title=f"Row {index}") for index in range(count))


def a_list(*sections: Section) -> ListMessage:
    return ListMessage(text="Elige", button="Ver", sections=sections)


@pytest.mark.parametrize(
    ("build", "path"),
    [
        (lambda: Text(text=""), "text.body"),
        (lambda: Text(text="x" * 4097), "text.body"),
        (lambda: Text(text="😀" * 2049), "text.body"),
        (lambda: Buttons(text="x" * 1025, buttons=buttons(1)), "interactive.body.text"),
        (lambda: Buttons(text="?", buttons=()), "interactive.action.buttons"),
        (lambda: Buttons(text="?", buttons=buttons(4)), "interactive.action.buttons"),
        (lambda: Buttons(text="?", buttons=buttons(1, "x" * 20)), "interactive.action.buttons[0].reply.title"),
        (
            lambda: Buttons(text="?", buttons=(Button(id="x" * 257, title="a"),)),
            "interactive.action.buttons[0].reply.id",
        ),
        (lambda: Buttons(text="?", buttons=(*buttons(1), *buttons(1))), "interactive.action.buttons"),
        (lambda: Buttons(text="?", buttons=buttons(1), header="x" * 61), "interactive.header.text"),
        (lambda: Buttons(text="?", buttons=buttons(1), footer="x" * 61), "interactive.footer.text"),
        (a_list, "interactive.action.sections"),
        (lambda: a_list(Section(rows=rows(11))), "interactive.action.sections[].rows"),
        (lambda: a_list(Section(rows=rows(6)), Section(rows=rows(6))), "interactive.action.sections[].rows"),
        (
            lambda: a_list(Section(rows=rows(1)), Section(title="b", rows=rows(1))),
            "interactive.action.sections[0].title",
        ),
        (lambda: a_list(Section(rows=(Row(id="a", title="x" * 25),))), "interactive.action.sections[0].rows[0].title"),
        (
            lambda: a_list(Section(rows=(Row(id="a", title="a", description="x" * 73),))),
            "interactive.action.sections[0].rows[0].description",
        ),
        (lambda: a_list(Section(rows=(*rows(1), *rows(1)))), "interactive.action.sections[].rows"),
        (
            lambda: CtaUrl(text="?", display_text="x" * 21, url="https://a"),
            "interactive.action.parameters.display_text",
        ),
        (lambda: CtaUrl(text="?", display_text="x", url="a.example"), "interactive.action.parameters.url"),
        (lambda: Image(media=Media(id="1", link="https://a")), "image"),
        (lambda: Image(media=Media(id="1"), caption="x" * 1025), "image.caption"),
        (lambda: Location(latitude=91, longitude=0), "location"),
        (Recipient, "to"),
        (lambda: render(Text(text="a"), Recipient(phone="1"), callback_data="x" * 513), "biz_opaque_callback_data"),
    ],
)
def test_what_meta_would_refuse_cannot_be_built(build: Callable[[], object], path: str) -> None:
    with pytest.raises(MessageLimitError) as caught:
        build()
    assert caught.value.path == path
    assert caught.value.code == "message_limit"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (Text(text="hola"), {"type": "text", "text": {"body": "hola", "preview_url": False}}),
        (
            Buttons(text="¿Confirmas?", buttons=buttons(1), footer="Napoli"),
            {
                "type": "interactive",
                "interactive": {
                    "type": "button",
                    "body": {"text": "¿Confirmas?"},
                    "footer": {"text": "Napoli"},
                    "action": {"buttons": [{"type": "reply", "reply": {"id": "id0", "title": "Sí0"}}]},
                },
            },
        ),
        (
            a_list(Section(rows=(Row(id="a", title="A", description="d"),))),
            {
                "type": "interactive",
                "interactive": {
                    "type": "list",
                    "body": {"text": "Elige"},
                    "action": {
                        "button": "Ver",
                        "sections": [{"rows": [{"id": "a", "title": "A", "description": "d"}]}],
                    },
                },
            },
        ),
        (Image(media=Media(link="https://a/b.png")), {"type": "image", "image": {"link": "https://a/b.png"}}),
        (
            Document(media=Media(id="7"), filename="m.pdf"),
            {"type": "document", "document": {"id": "7", "filename": "m.pdf"}},
        ),
        (Location(latitude=1, longitude=2), {"type": "location", "location": {"latitude": 1, "longitude": 2}}),
        (
            LocationRequest(text="¿Dónde?"),
            {
                "type": "interactive",
                "interactive": {
                    "type": "location_request_message",
                    "body": {"text": "¿Dónde?"},
                    "action": {"name": "send_location"},
                },
            },
        ),
        (
            Catalog(text="Menú", thumbnail_product_retailer_id="S1"),
            {
                "type": "interactive",
                "interactive": {
                    "type": "catalog_message",
                    "body": {"text": "Menú"},
                    "action": {"name": "catalog_message", "parameters": {"thumbnail_product_retailer_id": "S1"}},
                },
            },
        ),
        (
            Template(name="ready", language="es"),
            {"type": "template", "template": {"name": "ready", "language": {"code": "es"}}},
        ),
    ],
)
def test_a_message_renders_as_the_graph_api_wants_it(message: Any, expected: dict[str, Any]) -> None:
    assert message.body() == expected


def test_a_phone_gets_its_plus_and_a_user_id_its_own_field() -> None:
    assert render(Text(text="a"), Recipient(phone="569", user_id="CL.1"))["to"] == "+569"
    by_id = render(Text(text="a"), Recipient(user_id="CL.1"), reply_to="wamid.1")
    assert (by_id["recipient"], "to" in by_id, by_id["context"]) == ("CL.1", False, {"message_id": "wamid.1"})


@given(st.text(min_size=0, max_size=200), st.integers(1, 60))
def test_a_shortened_text_fits(text: str, limit: int) -> None:
    assert limits.length(shorten(text, limit)) <= max(limit, 1)
    if limits.length(text) <= limit:
        assert shorten(text, limit) == text
