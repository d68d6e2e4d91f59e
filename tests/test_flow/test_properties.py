"""Laws of a turn, tried with messages of every kind in every order."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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
    TemplateButton,
    TextBody,
)
from comanda_contract.cloud.messages_out import Buttons, ListMessage, Outbound, Recipient, render
from comanda_flow import Restaurant, State, Turn, advance, decode_state, encode_state
from comanda_flow.flow import ConfirmNode
from comanda_flow.orders import OrderDraft
from comanda_flow.state import CartLine, Draft, LastOrder
from tests.test_flow.chat import TUESDAY_LUNCH, restaurant, standard_flow

FLOW = standard_flow()
ITEMS = {
    "MARG": 8990,
    "NAPO": 9490,
    "PEPP": 9990,
    "4QUE": 10490,
    "ARMA": 7990,
    "EPIN": 2500,
    "EQUE": 2200,
    "COCA": 2490,
}
PLACES = (
    restaurant(),
    restaurant("large"),
    restaurant(menu={"categories": []}),
    restaurant(fulfilment={"delivery": True}),
)

SENTENCES = st.sampled_from(
    """
    hola|menu|carrito|cancelar|ayuda|persona|repetir|horario|gracias|sí|no|si dale|yes|sim|retiro|delivery|una pizza
    |quiero 2 margaritas|3 empanadas de queso y una coca|una arma la tuya|familiar|listo|2|sin cebolla|quita la coca
    |Av. Italia 123, Ñuñoa|Maipú|Los Leones 45|nota: rápido|2 platos 1.4|una hawaiana|cuánto cuesta la coca|{total}|%s
    """.strip().split("|")
)
TEXTS = st.one_of(SENTENCES, SENTENCES, st.text(max_size=80))
ACTIONS = ["go", "menu", "cat", "add", "which", "pick", "done", "qty", "page", "set", "district", "districts", "yes"]
ARGUMENTS = ["", "menu", "placed", "confirm", "cancelled", "MARG", "ARMA", "HAWA", "GONE", "pizzas/0", "c1/1", "size=f"]
ODD_ARGUMENTS = ["extra", "2", "0", "-1", "9" * 30, "/3", "fulfilment=x", "payment=1", "payment=²", "address=x", ":"]
IDS = st.builds(
    lambda action, argument, revision: f"v1:{action}:{argument}:{revision}",
    st.sampled_from([*ACTIONS, "elsewhere", "removing", "remove", "clear", "unknown"]),
    st.sampled_from([*ARGUMENTS, *ODD_ARGUMENTS, "fulfilment=delivery", "notes=", "Ñuñoa", "extra=q"]),
    st.one_of(st.integers(0, 20).map(str), st.sampled_from(["", "x", "-1", "9" * 40])),
)


def _interactive(identifier: str, kind: str) -> Interactive:
    reply = Reply(id=identifier, title="título")
    return Interactive(type=kind, button_reply=reply if kind == "button_reply" else None, list_reply=reply)


_FLOATS = st.floats(allow_nan=True, allow_infinity=True)
MESSAGES: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.builds(lambda t: {"type": "text", "text": TextBody(body=t)}, TEXTS),
    st.builds(lambda t: {"type": "text", "text": TextBody(body=t)}, TEXTS),
    st.builds(
        lambda i, k: {"type": "interactive", "interactive": _interactive(i, k)},
        st.one_of(IDS, st.text(max_size=40)),
        st.sampled_from(["button_reply", "list_reply", "nfm_reply"]),
    ),
    st.builds(
        lambda p, t: {"type": "button", "button": TemplateButton(payload=p, text=t)}, st.text(max_size=20), TEXTS
    ),
    st.builds(
        lambda lat, lon, name: {"type": "location", "location": Place(latitude=lat, longitude=lon, name=name)},
        st.one_of(st.just(-33.44), _FLOATS),
        st.one_of(st.just(-70.62), _FLOATS),
        st.text(max_size=300),
    ),
    st.builds(
        lambda items, text: {"type": "order", "order": CatalogOrder(text=text, product_items=items)},
        st.lists(
            st.builds(
                ProductItem,
                product_retailer_id=st.one_of(st.sampled_from([*ITEMS, "HAWA", "P1-1"]), st.text(max_size=120)),
                quantity=st.one_of(st.integers(), _FLOATS, st.text(max_size=5), st.just(2)),
            ),
            max_size=5,
        ),
        st.text(max_size=400),
    ),
    st.builds(lambda kind: {"type": kind, kind: MediaItem(id="M")}, st.sampled_from(["image", "audio", "sticker"])),
    st.builds(lambda caption: {"type": "image", "image": MediaItem(id="M", caption=caption)}, TEXTS),
    st.builds(lambda kind: {"type": kind}, st.sampled_from(["reaction", "system", "unsupported", "text", "order"])),
    st.builds(lambda kind: {"type": kind}, st.text(max_size=10)),
    st.just({"type": "text", "text": TextBody(body="hola"), "group_id": "G1"}),
)
TAP = st.integers(0, 30).map(lambda number: {"tap": number})
STEP = st.tuples(st.one_of(TAP, TAP, MESSAGES), st.sampled_from([0, 0, 0, 0, 1, 9]))
STEPS = st.lists(STEP, max_size=40)
ORDERLY = st.sampled_from(
    [
        ["2 margaritas y una coca", "retiro"],
        ["una pepperoni para llevar"],
        ["3 empanadas de pino", "delivery", "Av. Italia 123, Ñuñoa"],
        ["2 platos 1.4"],
        ["sí"],
        ["dale"],
        ["quita la coca"],
        ["repetir"],
    ]
).map(lambda said: [({"type": "text", "text": TextBody(body=text)}, 0) for text in said])
TOWARDS_ORDERS = st.lists(st.one_of(ORDERLY, ORDERLY, STEP.map(lambda step: [step])), max_size=15).map(
    lambda parts: [step for part in parts for step in part]
)
SETTINGS = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def _offered(replies: tuple[Outbound, ...]) -> list[str]:
    found: list[str] = []
    for reply in replies:
        if isinstance(reply, Buttons):
            found += [button.id for button in reply.buttons]
        if isinstance(reply, ListMessage):
            found += [row.id for section in reply.sections for row in section.rows]
    return found


def _message(number: int, parts: dict[str, Any], offered: list[str]) -> InboundMessage:
    if "tap" in parts:
        identifier = offered[parts["tap"] % len(offered)] if offered else "v1:add:MARG:0"
        parts = {"type": "interactive", "interactive": _interactive(identifier, "button_reply")}
    return InboundMessage(id=f"wamid.{number}", sender="1", **parts)


def _play(
    place: Restaurant, steps: list[tuple[dict[str, Any], int]]
) -> list[tuple[State | None, InboundMessage, Turn]]:
    state: State | None = None
    now, offered = TUESDAY_LUNCH, list[str]()
    played: list[tuple[State | None, InboundMessage, Turn]] = []
    contact = Contact(wa_id="1", profile=Profile(name="Ana"))
    for number, (parts, hours) in enumerate(steps):
        now += timedelta(hours=hours)
        message = _message(number, parts, offered)
        turn = advance(FLOW, place, state, message, contact, now)
        assert advance(FLOW, place, state, message, contact, now) == turn
        played.append((state, message, turn))
        state, offered = turn.state, _offered(turn.replies) or offered
    return played


@SETTINGS
@given(place=st.sampled_from(PLACES), steps=STEPS)
def test_every_turn_is_total_deterministic_sendable_and_storable(place: Restaurant, steps: list[Any]) -> None:
    for before, message, turn in _play(place, steps):
        assert len(turn.replies) <= 2
        for reply in turn.replies:
            render(reply, Recipient(phone="56900000000"))
        assert decode_state(encode_state(turn.state)) == turn.state
        if message.type in {"reaction", "system"} or message.group_id:
            assert turn.replies == ()
            assert before is None or turn.state == before


@SETTINGS
@given(place=st.sampled_from(PLACES), steps=TOWARDS_ORDERS)
def test_order_comes_only_from_a_yes_to_the_summary_of_that_very_cart(place: Restaurant, steps: list[Any]) -> None:
    for before, message, turn in _play(place, steps):
        if turn.order is None:
            continue
        assert before is not None
        assert isinstance(FLOW.nodes[before.node], ConfirmNode)
        assert before.quoted_revision == before.revision
        assert before.quoted_total_minor == turn.order.total_minor
        assert message.tapped == f"v1:yes::{before.revision}" or message.words
        assert turn.state.lines == ()
        assert [(line.sku, line.quantity) for line in before.lines] == [
            (line.sku, line.quantity) for line in turn.order.lines
        ]
        _check_sums(place, turn.order)


def _check_sums(place: Restaurant, order: OrderDraft) -> None:
    for line in order.lines:
        assert 1 <= line.quantity <= 99
        assert line.unit_price_minor >= place.menu.items[line.sku].price_minor
        assert line.total_minor == line.unit_price_minor * line.quantity
    assert order.subtotal_minor == sum(line.total_minor for line in order.lines)
    assert order.total_minor == order.subtotal_minor + order.delivery_fee_minor


SKUS = st.sampled_from([*ITEMS, "HAWA", "GONE", "P1-1", ""])
CHOICES = st.lists(st.sampled_from(["size=m", "size=f", "extra=q", "nope=1", "="]), max_size=3).map(tuple)
ODD_STATES = st.builds(
    State,
    node=st.sampled_from([*FLOW.nodes, "gone", ""]),
    lines=st.lists(
        st.builds(CartLine, sku=SKUS, quantity=st.integers(-5, 200), options=CHOICES, notes=st.text(max_size=400)),
        max_size=4,
    ).map(tuple),
    pending=st.lists(
        st.builds(Draft, skus=st.lists(SKUS, max_size=3).map(tuple), quantity=st.integers(-5, 200), options=CHOICES),
        max_size=2,
    ).map(tuple),
    then=st.sampled_from([*FLOW.nodes, "gone", ""]),
    revision=st.integers(0, 3),
    quoted_revision=st.integers(-1, 3),
    fulfilment=st.sampled_from(["", "pickup", "delivery", "drone"]),
    address=st.text(max_size=400),
    latitude=st.one_of(st.none(), st.floats(-90, 90)),
    longitude=st.one_of(st.none(), st.floats(-180, 180)),
    language=st.sampled_from(["es", "en", "pt", "tlh", ""]),
    last=st.one_of(st.none(), st.builds(LastOrder, lines=st.builds(CartLine, sku=SKUS).map(lambda line: (line,)))),
    last_activity=st.just(int(TUESDAY_LUNCH.timestamp())),
)


@SETTINGS
@given(place=st.sampled_from(PLACES), state=ODD_STATES, parts=MESSAGES)
def test_any_stored_state_is_survived(place: Restaurant, state: State, parts: dict[str, Any]) -> None:
    turn = advance(FLOW, place, state, _message(1, parts, []), Contact(), TUESDAY_LUNCH)
    for reply in turn.replies:
        render(reply, Recipient(phone="56900000000"))
    if turn.order is not None:
        _check_sums(place, turn.order)


@SETTINGS
@given(quantities=st.dictionaries(st.sampled_from(sorted(set(ITEMS) - {"ARMA"})), st.integers(1, 9), min_size=1))
def test_catalogue_prices_are_never_taken_over(quantities: dict[str, int]) -> None:
    items = [ProductItem(product_retailer_id=sku, quantity=n, item_price=1) for sku, n in quantities.items()]
    order = {"type": "order", "order": CatalogOrder(product_items=items)}
    words = [{"type": "text", "text": TextBody(body=body)} for body in ("retiro", "sí")]
    *_, (_, _, last) = _play(PLACES[0], [(order, 0), *((each, 0) for each in words)])
    subtotal = sum(ITEMS[sku] * n for sku, n in quantities.items())
    if subtotal < PLACES[0].minimum_minor:
        assert last.order is None
    else:
        assert last.order is not None
        assert last.order.total_minor == subtotal


@pytest.mark.parametrize("seconds", [-(10**9), 0, 10**9])
def test_clock_that_jumps_is_survived(seconds: int) -> None:
    message = InboundMessage(id="wamid.1", type="text", text=TextBody(body="2 margaritas"))
    first = advance(FLOW, PLACES[0], None, message, Contact(), TUESDAY_LUNCH)
    later = advance(FLOW, PLACES[0], first.state, message, Contact(), TUESDAY_LUNCH + timedelta(seconds=seconds))
    assert later.replies
