from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from comanda_botpod.handlers.api import (
    CartLine,
    Context,
    HandlerFunction,
    Message,
    MessageLimitError,
    OrderError,
    OrderWish,
    PastLine,
    PastOrder,
    Row,
    Section,
    UsageError,
)
from comanda_botpod.handlers.sdk.message import message_of
from comanda_botpod.handlers.sdk.plain import plain_json
from comanda_botpod.handlers.testing import Chat, Reply
from comanda_contract.cloud.messages_out import Recipient, render
from tests.test_botpod.conftest import RESTAURANT

TUESDAY_EVENING = datetime(2026, 11, 24, 23, tzinfo=UTC)
MONDAY_NIGHT = datetime(2026, 11, 24, 4, tzinfo=UTC)
MARG = CartLine(sku="MARG", quantity=1)


def chat_with(handler: HandlerFunction, **changes: Any) -> Chat:
    facts: dict[str, Any] = {"now": TUESDAY_EVENING, "restaurant": RESTAURANT} | changes
    return Chat(handler, currency="CLP", timezone="America/Santiago", locale="es-CL", **facts)


def doing(deed: Any) -> HandlerFunction:
    """Return a handler that does one thing with its context."""

    async def handle(context: Context, _message: Message) -> None:
        deed(context)

    return handle


async def reply_to(deed: Any, **changes: Any) -> Reply:
    return await chat_with(doing(deed), **changes).say("hola")


def test_a_handlers_process_loads_nothing_of_the_pod() -> None:
    code = "import sys, comanda_botpod.handlers.worker, comanda_botpod.handlers.testing; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert "comanda_botpod.handlers.sdk.context" in loaded
    assert not {"comanda_store", "sqlalchemy", "fastapi", "comanda_botpod.tenants", "comanda_botpod.pod"} & set(loaded)


class TestSend:
    async def test_every_kind_of_message_is_what_meta_takes(self) -> None:
        def deed(context: Context) -> None:
            send = context.send
            send.text("hola")
            send.buttons("¿Qué?", {"a": "A", "b": "B"}, header="h", footer="f")
            send.list_message("Carta", "Ver", [Section(rows=(Row(id="MARG", title="Margarita"),))])
            send.image("https://example.com/a.jpg", caption="c")
            send.document("https://example.com/a.pdf", filename="a.pdf")
            send.location(-33.4, -70.6, name="Napoli")
            send.ask_location("¿Dónde estás?")
            send.catalogue("Carta")
            send.link("Web", "Abrir", "https://example.com")
            send.template("thanks", "es", [{"type": "body"}])

        messages = (await reply_to(deed)).messages
        rendered = [render(message, Recipient(phone="1")) for message in messages]
        kinds = [body["type"] if body["type"] != "interactive" else body["interactive"]["type"] for body in rendered]
        assert kinds == [
            "text",
            "button",
            "list",
            "image",
            "document",
            "location",
            "location_request_message",
            "catalog_message",
            "cta_url",
            "template",
        ]

    @pytest.mark.parametrize(
        ("deed", "path"),
        [
            (lambda c: c.send.text("x" * 4097), "text.body"),
            (lambda c: c.send.buttons("x", {"a": "x" * 21}), "interactive.action.buttons[0].reply.title"),
            (lambda c: c.send.buttons("x", dict.fromkeys("abcd", "x")), "interactive.action.buttons"),
            (lambda c: c.send.location(91, 0), "location"),
        ],
    )
    async def test_what_meta_would_refuse_is_refused_where_it_is_written(self, deed: Any, path: str) -> None:
        with pytest.raises(MessageLimitError) as caught:
            await reply_to(deed)
        assert caught.value.path == path

    async def test_a_turn_has_ten_messages_at_most(self) -> None:
        with pytest.raises(UsageError, match="send: a turn may have 10"):
            await reply_to(lambda context: [context.send.text("x") for _ in range(11)])

    async def test_after_the_turn_nothing_can_be_asked_for(self) -> None:
        kept: list[Context] = []
        await reply_to(kept.append)
        for deed in (kept[0].send.ask_location, kept[0].send.text):
            with pytest.raises(UsageError, match="the turn is over"):
                deed("late")
        for late in (
            kept[0].handover,
            lambda: kept[0].schedule(timedelta(hours=1)),
            lambda: kept[0].orders.place(wish()),
        ):
            with pytest.raises(UsageError, match="the turn is over"):
                late()


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


class TestState:
    @given(json_values)
    def test_plain_json_comes_back_as_it_was(self, value: Any) -> None:
        try:
            written = plain_json("state", value, 10_000)
        except UsageError as error:
            assert "Unicode" in error.rule or "bytes" in error.rule  # noqa: PT017 - lone surrogates and great sizes
            return
        assert msgspec.json.decode(written) == json.loads(written) == value

    @pytest.mark.parametrize(
        ("value", "problem"),
        [
            ({"a": {1: 2}}, "state.a: has a key that is a int"),
            ({"cart": [{"at": datetime(2026, 1, 1, tzinfo=UTC)}]}, "state.cart[0].at: is a datetime"),
            ({"a": float("nan")}, "state.a: is no number that JSON knows"),
            ({"a": 2**63}, "state.a: is a number of more than 64 bits"),
            ({"a": "\ud800"}, "state: holds a text that is no Unicode"),
            ({"+56911112222": b"x"}, "state.*: is a bytes"),
        ],
    )
    def test_what_is_no_plain_json_is_named(self, value: Any, problem: str) -> None:
        with pytest.raises(UsageError) as caught:
            plain_json("state", value, 1000)
        assert problem in str(caught.value)

    def test_what_holds_itself_is_refused(self) -> None:
        value: dict[str, Any] = {}
        value["self"] = value
        with pytest.raises(UsageError, match="nested too deep"):
            plain_json("state", value, 1000)

    async def test_it_is_kept_from_turn_to_turn(self) -> None:
        def deed(context: Context) -> None:
            context.state.setdefault("seen", []).append(context.now.hour)

        chat = chat_with(doing(deed))
        await chat.say("hola")
        chat.now += timedelta(hours=1)
        assert (await chat.say("hola")).state == {"seen": [20, 21]}

    async def test_nothing_is_kept_of_a_turn_that_raises(self) -> None:
        def deed(context: Context) -> None:
            context.state["kept"] = True
            raise LookupError

        chat = chat_with(doing(deed))
        with pytest.raises(LookupError):
            await chat.say("hola")
        assert chat.state == {}


def wish(*lines: CartLine, fulfilment: Any = "pickup", **where: Any) -> OrderWish:
    return OrderWish(lines=lines or (MARG,), fulfilment=fulfilment, **where)


class TestOrders:
    async def test_names_prices_and_fees_come_from_the_restaurant(self) -> None:
        built = CartLine(sku="ARMA", quantity=2, options=("extra=q", "size=f"), notes="sin sal")
        reply = await reply_to(
            lambda c: c.orders.place(wish(built, fulfilment="delivery", address="Irarrázaval 1", district="Ñuñoa"))
        )
        assert reply.order is not None
        (line,) = reply.order.lines
        assert (line.name, line.options, line.unit_price_minor) == (
            "Pizza Arma la tuya",
            "Familiar, Extra queso",
            7990 + 4000 + 1200,
        )
        assert (reply.order.subtotal_minor, reply.order.delivery_fee_minor) == (26380, 2500)
        assert (reply.order.address, line.notes) == ("Irarrázaval 1, Ñuñoa", "sin sal")

    @pytest.mark.parametrize(
        ("wished", "code", "path"),
        [
            (OrderWish(lines=(), fulfilment="pickup"), "order_empty", "lines"),
            (wish(CartLine(sku="NOPE")), "order_line", "lines[0].sku"),
            (wish(MARG, CartLine(sku="HAWA")), "order_line", "lines[1].sku"),
            (wish(CartLine(sku="MARG", quantity=0)), "order_line", "lines[0].quantity"),
            (wish(CartLine(sku="MARG", quantity=cast("int", 1.5))), "order_line", "lines[0].quantity"),
            (wish(CartLine(sku="ARMA")), "order_line", "lines[0].options"),
            (wish(CartLine(sku="MARG", options=("size=f",))), "order_line", "lines[0].options"),
            (wish(*(MARG for _ in range(51))), "order_line", "lines"),
            (wish(fulfilment="drone"), "order_fulfilment", "fulfilment"),
            (wish(fulfilment="delivery"), "order_address", "address"),
            (wish(fulfilment="delivery", address="Lejos 1"), "order_address", "address"),
            (wish(fulfilment="delivery", latitude=120.0, longitude=0.0), "order_address", "latitude"),
            (wish(CartLine(sku="AGUA")), "order_minimum", "lines"),
        ],
    )
    async def test_what_cannot_be_ordered_is_refused_with_its_reason(
        self, wished: OrderWish, code: str, path: str
    ) -> None:
        with pytest.raises(OrderError) as caught:
            await reply_to(lambda context: context.orders.place(wished))
        assert (caught.value.code, caught.value.path) == (code, path)

    async def test_a_closed_restaurant_takes_no_order(self) -> None:
        strict = RESTAURANT | {"accept_when_closed": False}
        assert (await reply_to(lambda c: c.orders.place(wish()), restaurant=strict)).order is not None
        with pytest.raises(OrderError, match="closed"):
            await reply_to(lambda c: c.orders.place(wish()), restaurant=strict, now=MONDAY_NIGHT)

    async def test_a_turn_places_one_order(self) -> None:
        with pytest.raises(OrderError, match="has placed an order already"):
            await reply_to(lambda context: [context.orders.place(wish()) for _ in range(2)])

    async def test_a_quote_is_the_order_and_places_nothing(self) -> None:
        quotes: list[Any] = []
        reply = await reply_to(lambda context: quotes.append(context.orders.quote(wish())))
        assert (reply.order, quotes[0].total_minor) == (None, 8990)

    @pytest.mark.parametrize(
        ("past", "again"),
        [
            (
                PastLine(sku="MARG", name="", quantity=3, notes="sin sal"),
                CartLine(sku="MARG", quantity=3, notes="sin sal"),
            ),
            (
                PastLine(sku="ARMA", name="", quantity=1, options="Familiar, Extra queso"),
                CartLine(sku="ARMA", options=("size=f", "extra=q")),
            ),
            (PastLine(sku="ARMA", name="", quantity=1, options="Gigante"), None),
            (PastLine(sku="HAWA", name="", quantity=1), None),
            (PastLine(sku="GONE", name="", quantity=1), None),
        ],
    )
    async def test_lines_of_a_past_order_that_are_still_to_be_had_are_found(
        self, past: PastLine, again: CartLine | None
    ) -> None:
        found: list[tuple[CartLine, ...]] = []
        order = PastOrder(
            code="A",
            status="placed",
            created_at=TUESDAY_EVENING,
            fulfilment="pickup",
            lines=(past,),
            currency="CLP",
            total_minor=1,
        )
        await reply_to(lambda context: found.append(context.orders.again(order)))
        assert found == [(again,) if again is not None else ()]

    async def test_what_was_placed_is_remembered_the_newest_first(self) -> None:
        async def handle(context: Context, message: Message) -> None:
            if message.text == "recent":
                context.send.text(" ".join(str(past.total_minor) for past in await context.orders.recent()))
            else:
                context.orders.place(wish(CartLine(sku="MARG", quantity=int(message.text))))

        chat = chat_with(handle)
        for quantity in range(1, 13):
            await chat.say(str(quantity))
        assert (await chat.say("recent")).text.split() == [str(8990 * quantity) for quantity in range(12, 2, -1)]


class TestSchedule:
    @pytest.mark.parametrize("after", [timedelta(0), timedelta(days=31), timedelta(seconds=-5)])
    async def test_times_out_of_bounds_are_refused(self, after: timedelta) -> None:
        with pytest.raises(UsageError, match="one second to 30 days"):
            await reply_to(lambda context: context.schedule(after))

    async def test_a_payload_that_is_too_large_is_refused(self) -> None:
        with pytest.raises(UsageError, match=r"schedule\.payload: has 5002 bytes as JSON, 4096 are allowed"):
            await reply_to(lambda context: context.schedule(timedelta(hours=1), "x" * 5000))

    async def test_a_turn_has_ten_timers_at_most(self) -> None:
        with pytest.raises(UsageError, match="schedule: a turn may have 10"):
            await reply_to(lambda context: [context.schedule(timedelta(hours=1)) for _ in range(11)])

    async def test_it_comes_back_later_with_its_payload(self) -> None:
        async def handle(context: Context, message: Message) -> None:
            if message.type == "timer":
                context.send.text(f"{message.payload['n']} at {context.now:%H:%M}")
            else:
                context.schedule(timedelta(minutes=90), {"n": 7})

        chat = chat_with(handle)
        (timer,) = (await chat.say("hola")).timers
        assert (await chat.fire(timer)).text == "7 at 21:30"


class TestMessage:
    async def test_what_a_customer_does_is_read(self) -> None:
        seen: list[Message] = []

        async def handle(_context: Context, message: Message) -> None:
            seen.append(message)

        chat = chat_with(handle)
        await chat.say("hola")
        await chat.tap("again", "Lo mismo")
        await chat.share_location(-33.4, -70.6)
        await chat.send_cart({"MARG": 2})
        await chat.send({"type": "image", "image": {"id": "M1", "caption": "mira"}})
        text, tap, place, cart, image = seen
        assert (text.text, text.type, text.sent_at) == ("hola", "text", TUESDAY_EVENING)
        assert (tap.tapped, tap.text) == ("again", "Lo mismo")
        assert place.place is not None
        assert (place.place.latitude, place.place.longitude) == (-33.4, -70.6)
        assert [(item.product_retailer_id, item.quantity) for item in cart.cart] == [("MARG", 2)]
        assert image.media is not None
        assert (image.media.id, image.text, image.raw["image"]["caption"]) == ("M1", "mira", "mira")

    async def test_neither_message_nor_customer_shows_what_is_personal(self) -> None:
        shown: list[str] = []

        async def handle(context: Context, message: Message) -> None:
            shown.append(f"{message!r} {context.customer!r}")

        await chat_with(handle).say("mi número es 56911112222")
        assert not any(word in shown[0] for word in ("56911112222", "Ana", "56900000000"))

    @given(json_values)
    def test_no_shape_of_a_message_breaks_the_reading(self, value: Any) -> None:
        payload = msgspec.json.encode(value).decode()
        assert message_of("timer", payload, "timer:1", 0).payload == msgspec.json.decode(payload)
        assert message_of("text", payload, "wamid.1", 0).id == "wamid.1"
