"""What the bot does, message by message. Run with `pytest`."""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from napoli_bot.handler import handle

from comanda_botpod.handlers.api import PastLine, PastOrder
from comanda_botpod.handlers.testing import Chat

RESTAURANT: dict[str, Any] = {
    "name": "Pizzería Napoli",
    "menu": {
        "categories": [
            {
                "id": "pizzas",
                "name": "Pizzas",
                "items": [
                    {
                        "sku": "MARG",
                        "name": "Margarita",
                        "price": 8990,
                        "options": [
                            {
                                "id": "size",
                                "name": "Tamaño",
                                "min": 1,
                                "choices": [{"id": "f", "name": "Familiar", "price": 4000}],
                            }
                        ],
                    },
                    {"sku": "COCA", "name": "Coca-Cola", "price": 2490},
                ],
            }
        ]
    },
}
JPEG = b"\xff\xd8\xff\xe0" + bytes(100)
LAST = PastOrder(
    code="H7K2M",
    status="placed",
    created_at=datetime(2026, 11, 20, 21, tzinfo=UTC),
    fulfilment="pickup",
    lines=(
        PastLine(sku="MARG", name="Margarita", quantity=1, options="Familiar"),
        PastLine(sku="COCA", name="Coca-Cola", quantity=2),
    ),
    currency="CLP",
    total_minor=16970,
)


@pytest.fixture
def chat() -> Chat:
    return Chat(
        handle,
        restaurant=deepcopy(RESTAURANT),
        currency="CLP",
        locale="es-CL",
        past=[LAST],
        now=datetime(2026, 11, 24, 20, tzinfo=UTC),
    )


async def test_a_regular_is_offered_the_last_order_at_todays_prices(chat: Chat) -> None:
    reply = await chat.say("hola")
    assert reply.text.startswith("¡Hola, Ana! ¿Lo mismo de la última vez?")
    assert "1 × Margarita (Familiar)\n2 × Coca-Cola\nTotal $ 17.970" in reply.text
    assert reply.choices == {"again": "Lo mismo", "other": "Otra cosa"}


async def test_one_tap_orders_it(chat: Chat) -> None:
    await chat.say("hola")
    reply = await chat.tap("again")
    assert reply.order is not None
    assert [(line.sku, line.quantity) for line in reply.order.lines] == [("MARG", 1), ("COCA", 2)]
    assert reply.order.code in reply.text


async def test_a_thank_you_follows(chat: Chat) -> None:
    await chat.say("hola")
    placed = await chat.tap("again")
    assert placed.order is not None
    (timer,) = placed.timers
    assert placed.order.code in (await chat.fire(timer)).text


async def test_a_price_that_changed_is_shown_before_it_is_ordered(chat: Chat) -> None:
    await chat.say("hola")
    chat.restaurant["menu"]["categories"][0]["items"][1]["price"] = 2990
    reply = await chat.tap("again")
    assert reply.order is None
    assert "Total $ 18.970" in reply.text
    assert (await chat.tap("again")).order is not None


async def test_what_is_sold_out_is_a_matter_for_a_person(chat: Chat) -> None:
    chat.restaurant["menu"]["categories"][0]["items"][1]["available"] = False
    assert (await chat.say("hola")).handover


async def test_a_new_customer_is_a_matter_for_a_person(chat: Chat) -> None:
    chat.past.clear()
    reply = await chat.say("hola")
    assert (reply.handover, reply.order) == (True, None)


async def test_a_picture_is_passed_on_and_a_person_takes_over(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[tuple[str, bytes]] = []

    async def take(request: web.Request) -> web.Response:
        received.append((request.content_type, await request.read()))
        return web.Response()

    app = web.Application()
    app.router.add_post("/", take)
    async with TestServer(app) as service:
        monkeypatch.setenv("RECEIPTS_URL", str(service.make_url("/")))
        reply = await chat.send_file(JPEG, "image/jpeg", caption="mi transferencia")
    assert received == [("image/jpeg", JPEG)]
    assert reply.handover


async def test_a_picture_that_is_gone_is_asked_for_again(chat: Chat) -> None:
    reply = await chat.send({"type": "image", "image": {"id": "gone"}})
    assert "de nuevo" in reply.text
    assert not reply.handover


async def test_something_else_is_a_matter_for_a_person(chat: Chat) -> None:
    await chat.say("hola")
    assert (await chat.tap("other")).handover
