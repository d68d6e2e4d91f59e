"""Every rule on the content of a send, over HTTP: what is accepted, and which of Meta's codes refuses the rest.

All cases share one simulator without rate limits.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from comanda_contract.cloud import limits, messages_out
from tests.test_simulator.harness import CUSTOMER, NUMBER, TEMPLATE, TEXT, Json, Simulator, run_receiver, run_simulator

pytestmark = pytest.mark.asyncio(loop_scope="module")

ODD_TEMPLATE: Json = TEMPLATE["template"] | {"components": [{"type": "hat"}]}
LONG = "x" * 5000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sim() -> AsyncIterator[Simulator]:
    async with (
        run_receiver() as receiver,
        run_simulator(receiver, enforce_limits=False, enforce_pair_limit=False) as sim,
    ):
        await sim.write()
        yield sim


def interactive(kind: str, action: Json, **parts: Any) -> Json:
    content: Json = {"type": kind, "body": {"text": "¿Qué quieres?"}, "action": action} | parts
    return {"type": "interactive", "interactive": {key: part for key, part in content.items() if part is not None}}


def buttons(*titles: str, **parts: Any) -> Json:
    replies = [{"type": "reply", "reply": {"id": f"b:{index}", "title": title}} for index, title in enumerate(titles)]
    return interactive("button", {"buttons": replies}, **parts)


def button(button_id: str) -> Json:
    return {"type": "reply", "reply": {"id": button_id, "title": "A"}}


def rows(count: int, **fields: Any) -> list[Json]:
    return [{"id": f"r:{index}", "title": f"Row {index}"} | fields for index in range(count)]


def listing(sections: list[Json], button: str = "Ver", **parts: Any) -> Json:
    return interactive("list", {"button": button, "sections": sections}, **parts)


def cta(**parameters: Any) -> Json:
    defaults = {"display_text": "Pagar", "url": "https://pay.example/1"}
    return interactive("cta_url", {"name": "cta_url", "parameters": defaults | parameters})


def products(skus: list[str], **parts: Any) -> Json:
    items = [{"product_retailer_id": sku} for sku in skus]
    action = {"catalog_id": "C1", "sections": [{"title": "Pizzas", "product_items": items}]}
    return interactive("product_list", action, **({"header": {"type": "text", "text": "Carta"}} | parts))


def flow(**parameters: Any) -> Json:
    defaults = {"flow_message_version": "3", "flow_id": "F1", "flow_cta": "Reservar"}
    return interactive("flow", {"name": "flow", "parameters": defaults | parameters})


def location_request(**parts: Any) -> Json:
    return interactive("location_request_message", {"name": "send_location"}, **parts)


def catalogue(**action: Any) -> Json:
    return interactive("catalog_message", {"name": "catalog_message"} | action)


PICTURE: Json = {"type": "image", "image": {"link": "https://cdn.example/a.jpg"}}
LONG_CAPTION: Json = {"link": "https://cdn.example/a.jpg", "caption": "c" * 1025}
SIX_AND_FIVE: list[Json] = [
    {"title": "A", "rows": rows(6)},
    {"title": "B", "rows": [{"id": f"s{index}", "title": "S"} for index in range(5)]},
]
NO_ACTION: Json = {"type": "interactive", "interactive": {"type": "button", "body": {"text": "b"}}}
HEADER: Json = {"type": "text", "text": "H"}
PLACE: Json = {"latitude": -33.4, "longitude": -70.6, "name": "Local", "address": "Av. 1"}

ACCEPTED: dict[str, Json] = {
    "text": TEXT,
    "text without type": {"text": {"body": "hola"}},
    "text of full length": {"type": "text", "text": {"body": "x" * limits.TEXT_BODY, "preview_url": True}},
    "emoji count as two": {"type": "text", "text": {"body": "🍕" * (limits.TEXT_BODY // 2)}},
    "reply": TEXT | {"context": {"message_id": "wamid.X"}},
    "callback data": TEXT | {"biz_opaque_callback_data": "d" * 512},
    "image by link": {"type": "image", "image": {"link": "https://cdn.example/a.jpg", "caption": "c" * 1024}},
    "document by link": {"type": "document", "document": {"link": "https://cdn.example/a.pdf", "filename": "a.pdf"}},
    "location": {"type": "location", "location": PLACE},
    "location in text": {"type": "location", "location": {"latitude": "-33.4", "longitude": "-70.6"}},
    "contacts": {"type": "contacts", "contacts": [{"name": {"formatted_name": "Local", "first_name": "Local"}}]},
    "template": TEMPLATE,
    "three buttons": buttons(
        "Sí", "No", "Tal vez", header={"type": "text", "text": "H" * 60}, footer={"text": "F" * 60}
    ),
    "button with picture": buttons("Sí", header=PICTURE),
    "list": listing([{"rows": rows(10)}], header={"type": "text", "text": "Carta"}),
    "list of two sections": listing(
        [{"title": "A", "rows": rows(1)}, {"title": "B", "rows": [{"id": "z", "title": "Z"}]}]
    ),
    "link": cta(),
    "location request": location_request(),
    "contact request": interactive("request_contact_info", {"name": "request_contact_info"}),
    "catalogue": catalogue(),
    "product": interactive("product", {"catalog_id": "C1", "product_retailer_id": "MARG"}, body=None),
    "product list": products(["MARG", "QUAT"]),
    "flow": flow(),
}

REFUSED: dict[str, tuple[int, Json]] = {
    "unknown type": (131051, {"type": "carrier_pigeon", "carrier_pigeon": {}}),
    "type that is no text": (100, {"type": 7}),
    "no object for the type": (131008, {"type": "text"}),
    "object that is a text": (100, {"type": "text", "text": "hola"}),
    "text without body": (131008, {"type": "text", "text": {}}),
    "body that is a number": (100, {"type": "text", "text": {"body": 7}}),
    "blank text": (131009, {"type": "text", "text": {"body": "  "}}),
    "text too long": (100, {"type": "text", "text": {"body": LONG}}),
    "emoji too many": (100, {"type": "text", "text": {"body": "🍕" * (limits.TEXT_BODY // 2 + 1)}}),
    "callback data too long": (100, TEXT | {"biz_opaque_callback_data": "d" * 513}),
    "context without id": (131008, TEXT | {"context": {}}),
    "group": (131009, TEXT | {"recipient_type": "group"}),
    "image without source": (131009, {"type": "image", "image": {"caption": "c"}}),
    "image with two sources": (131009, {"type": "image", "image": {"id": "1", "link": "https://cdn.example/a.jpg"}}),
    "image of unknown id": (131009, {"type": "image", "image": {"id": "999"}}),
    "link without scheme": (131009, {"type": "image", "image": {"link": "cdn.example/a.jpg"}}),
    "caption too long": (131009, {"type": "image", "image": LONG_CAPTION}),
    "audio with caption": (131009, {"type": "audio", "audio": {"link": "https://cdn.example/a.mp3", "caption": "c"}}),
    "place outside the globe": (131009, {"type": "location", "location": PLACE | {"latitude": 91}}),
    "place without longitude": (131008, {"type": "location", "location": {"latitude": 1}}),
    "place that is true": (131009, {"type": "location", "location": PLACE | {"latitude": True}}),
    "place in words": (100, {"type": "location", "location": PLACE | {"latitude": "south"}}),
    "no contacts": (131009, {"type": "contacts", "contacts": []}),
    "contact without name": (131008, {"type": "contacts", "contacts": [{"name": {}}]}),
    "template without language": (131008, {"type": "template", "template": {"name": "x"}}),
    "template with odd component": (131009, {"type": "template", "template": ODD_TEMPLATE}),
    "four buttons": (131009, buttons("A", "B", "C", "D")),
    "no buttons": (131009, buttons()),
    "button title too long": (131009, buttons("T" * 21)),
    "button titles alike": (131009, buttons("Sí", "Sí")),
    "button id too long": (131009, interactive("button", {"buttons": [button("i" * 257)]})),
    "button of another type": (131009, interactive("button", {"buttons": [button("i") | {"type": "url"}]})),
    "buttons that are no list": (100, interactive("button", {"buttons": {}})),
    "body too long": (131009, buttons("A", body={"text": "b" * 1025})),
    "body absent": (131008, buttons("A", body=None)),
    "header too long": (131009, buttons("A", header={"type": "text", "text": "H" * 61})),
    "footer too long": (131009, buttons("A", footer={"text": "F" * 61})),
    "interactive of unknown type": (131009, interactive("carousel_of_hats", {})),
    "interactive without action": (131008, NO_ACTION),
    "eleven rows": (131009, listing([{"rows": rows(11)}])),
    "eleven rows in two sections": (131009, listing(SIX_AND_FIVE)),
    "sections without titles": (131008, listing([{"rows": rows(1)}, {"rows": [{"id": "z", "title": "Z"}]}])),
    "section title too long": (131009, listing([{"title": "S" * 25, "rows": rows(1)}])),
    "empty section": (131009, listing([{"title": "A", "rows": []}])),
    "row ids alike": (131009, listing([{"rows": rows(2, id="same")}])),
    "row title too long": (131009, listing([{"rows": rows(1, title="T" * 25)}])),
    "row description too long": (131009, listing([{"rows": rows(1, description="D" * 73)}])),
    "row id too long": (131009, listing([{"rows": rows(1, id="i" * 201)}])),
    "list button too long": (131009, listing([{"rows": rows(1)}], button="B" * 21)),
    "list with picture": (131009, listing([{"rows": rows(1)}], header=PICTURE)),
    "link text too long": (131009, cta(display_text="D" * 21)),
    "link without http": (131009, cta(url="pay.example")),
    "location request with header": (131009, location_request(header=HEADER)),
    "location request with footer": (131009, location_request(footer={"text": "F"})),
    "product unknown": (131009, interactive("product", {"catalog_id": "C1", "product_retailer_id": "HAT"})),
    "product list without header": (131008, products(["MARG"], header=None)),
    "thirty-one products": (131009, products(["MARG"] * 31)),
    "catalogue thumbnail unknown": (131009, catalogue(parameters={"thumbnail_product_retailer_id": "HAT"})),
    "flow call too long": (131009, flow(flow_cta="F" * 21)),
    "flow of old version": (131009, flow(flow_message_version="2")),
    "flow without id": (131009, flow(flow_id=None)),
    "reaction to nothing known": (131009, {"type": "reaction", "reaction": {"message_id": "wamid.?", "emoji": "👍"}}),
    "reaction without emoji": (131008, {"type": "reaction", "reaction": {"message_id": "wamid.?"}}),
}  # fmt: skip


@pytest.mark.parametrize("content", ACCEPTED.values(), ids=ACCEPTED.keys())
async def test_valid_message_is_accepted(sim: Simulator, content: Json) -> None:
    status, answer = await sim.send(content)
    assert (status, answer.get("error")) == (200, None)
    assert answer["contacts"] == [{"input": f"+{CUSTOMER}", "wa_id": CUSTOMER}]
    assert answer["messages"][0]["id"].startswith("wamid.")


@pytest.mark.parametrize(("code", "content"), REFUSED.values(), ids=REFUSED.keys())
async def test_invalid_message_is_refused_with_metas_code(sim: Simulator, code: int, content: Json) -> None:
    accepted = sim.cloud.accepted[NUMBER]
    status, answer = await sim.send(content)
    error = answer["error"]
    assert (status, error["code"], error["type"]) == (400, code, "OAuthException")
    assert error["message"].startswith(f"(#{code})")
    assert error["error_data"]["messaging_product"] == "whatsapp"
    assert error["error_data"]["details"]
    assert error["fbtrace_id"]
    assert sim.cloud.accepted[NUMBER] == accepted


@pytest.mark.parametrize(
    "message",
    [
        messages_out.Text(text="x" * limits.TEXT_BODY),
        messages_out.Image(media=messages_out.Media(link="https://cdn.example/a.jpg"), caption="c" * limits.CAPTION),
        messages_out.Document(media=messages_out.Media(link="https://cdn.example/a.pdf"), filename="a.pdf"),
        messages_out.Location(latitude=-90, longitude=180, name="Local"),
        messages_out.Buttons(
            text="b" * limits.INTERACTIVE_BODY,
            buttons=tuple(messages_out.Button(id=f"{i}" * 256, title=f"{i}" * 20) for i in range(3)),
            header="H" * 60,
            footer="F" * 60,
        ),
        messages_out.ListMessage(
            text="b",
            button="B" * 20,
            sections=tuple(
                messages_out.Section(title=f"{i}" * 24, rows=(messages_out.Row(id=f"{i}" * 200, title="T" * 24),))
                for i in range(10)
            ),
        ),
        messages_out.CtaUrl(text="b", display_text="D" * 20, url="https://" + "u" * 1992),
        messages_out.LocationRequest(text="b"),
        messages_out.Catalog(text="b", thumbnail_product_retailer_id="MARG", footer="F"),
        messages_out.Template(name="order_ready", language="es"),
    ],
    ids=lambda message: type(message).__name__,
)
async def test_whatever_the_contract_builds_is_accepted(sim: Simulator, message: messages_out.Outbound) -> None:
    status, answer = await sim.send(message.body())
    assert status == 200, answer
