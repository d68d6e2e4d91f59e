"""What golden conversations do not show: changes of menu, flow and settings between two turns, and small seams."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

import comanda_flow
from comanda_contract.cloud.messages_out import Buttons, ListMessage, LocationRequest
from comanda_flow import load_flow
from comanda_flow.actions import Action, action_id, parse_action
from comanda_flow.intents import compile_phrases, intent_of
from comanda_flow.languages import first_language, language_written
from comanda_flow.orders import order_code
from comanda_flow.text import fold, fold_words, stem
from tests.test_flow.chat import TUESDAY_LUNCH, Customer, document, offered, readable, restaurant, standard_document


def pizzeria_with(sku: str, **changes: Any) -> dict[str, Any]:
    menu: dict[str, Any] = deepcopy(document("pizzeria")["menu"])
    for category in menu["categories"]:
        category["items"] = [item | changes if item["sku"] == sku else item for item in category["items"]]
    return menu


def heard(customer: Customer) -> str:
    return "\n".join(map(readable, customer.heard))


def test_exported_names_are_sorted_and_there() -> None:
    assert sorted(comanda_flow.__all__, key=lambda name: (not name.isupper(), name)) == comanda_flow.__all__
    assert all(hasattr(comanda_flow, name) for name in comanda_flow.__all__)


def test_item_that_sells_out_leaves_the_cart_and_is_not_ordered() -> None:
    ana = Customer()
    ana.says("1 margarita y 1 napolitana para retirar")
    ana.restaurant = restaurant(menu=pizzeria_with("NAPO", available=False))
    turn = ana.says("sí")
    assert turn.order is None
    assert "Saqué de tu pedido Pizza Napolitana" in heard(ana)
    order = ana.says("sí").order
    assert order is not None
    assert [line.sku for line in order.lines] == ["MARG"]


def test_price_that_changes_after_the_summary_needs_a_new_yes() -> None:
    ana = Customer()
    ana.says("1 margarita para retirar")
    ana.restaurant = restaurant(menu=pizzeria_with("MARG", price=9990))
    assert ana.says("sí").order is None
    assert "$ 9.990" in heard(ana)
    order = ana.says("sí").order
    assert order is not None
    assert order.total_minor == 9990


def test_restaurant_that_closes_before_the_yes_takes_no_order() -> None:
    ana = Customer(now=TUESDAY_LUNCH.replace(hour=22, minute=50))
    ana.says("1 margarita para retirar")
    ana.waits(0.5)
    assert ana.says("sí").order is None
    assert "Abrimos mañana a las 12:00" in heard(ana)


def test_node_that_a_new_flow_no_longer_has_leads_to_its_start() -> None:
    ana = Customer()
    ana.says("1 margarita")
    changed = deepcopy(standard_document())
    changed["nodes"]["how"] = changed["nodes"].pop("fulfilment")
    ana.flow = load_flow(_renamed(changed, "fulfilment", "how"))
    ana.says("delivery")
    assert isinstance(ana.heard[0], LocationRequest)


def _renamed(flow: dict[str, Any], old: str, new: str) -> dict[str, Any]:
    flow["on_order"] = new
    for entry in [*flow["nodes"].values(), *flow["intents"].values()]:
        for field, value in entry.items():
            if value == old and field != "field":
                entry[field] = new
    return flow


def test_location_makes_an_estimated_fee_exact() -> None:
    zones = [{"name": "a", "fee": 1000, "radius_km": 2}, {"name": "b", "fee": 3000, "radius_km": 6}]
    ana = Customer(restaurant(zones=zones))
    ana.says("1 margarita")
    ana.says("delivery a Los Leones 45")
    assert "Envío: $ 3.000 (puede bajar" in heard(ana)
    ana.locates(-33.4471, -70.6244)
    assert "Envío: $ 1.000" in heard(ana)
    order = ana.says("sí").order
    assert order is not None
    assert (order.address, order.latitude) == ("Los Leones 45", -33.4471)


def test_restaurant_with_one_way_never_asks_for_it() -> None:
    ana = Customer(restaurant(fulfilment={"pickup": True}))
    ana.says("1 margarita con delivery")
    assert "solo tenemos retiro" in heard(ana)
    order = ana.says("sí").order
    assert order is not None
    assert order.fulfilment == "pickup"


def test_kitchen_reads_its_own_language() -> None:
    ana = Customer()
    ana.says("hello, I want a margherita for pickup")
    assert "Margherita Pizza" in heard(ana)
    order = ana.says("yes").order
    assert order is not None
    assert order.lines[0].name == "Pizza Margarita"


def test_order_with_a_number_is_not_mistaken_for_an_address() -> None:
    ana = Customer()
    ana.says("1 coca")
    ana.says("quiero 3 margaritas en total")
    assert "3 × Pizza Margarita" in heard(ana)
    assert ana.state is not None
    assert ana.state.address == ""


def test_tapping_yes_twice_orders_once() -> None:
    ana = Customer()
    ana.says("1 margarita para retirar")
    yes = offered(ana.heard)["Sí, confirmar"]
    assert ana.taps_id(yes).order is not None
    assert ana.taps_id(yes).order is None


def test_cart_that_grew_after_the_summary_is_not_confirmed_by_its_button() -> None:
    ana = Customer()
    ana.says("1 margarita para retirar")
    yes = offered(ana.heard)["Sí, confirmar"]
    ana.says("y una coca")
    assert ana.taps_id(yes).order is None
    assert "Tu pedido cambió" in heard(ana)


def test_long_cart_fits_into_one_message() -> None:
    ana = Customer(restaurant("large"))
    ana.orders({f"P{category}-{item}": 2 for category in range(1, 13) for item in range(1, 5)})
    assert isinstance(ana.heard[0], Buttons)
    assert "… y 36 más" in heard(ana)
    order = ana.says("sí").order
    assert order is not None
    assert len(order.lines) == 48


def test_own_texts_replace_the_engines() -> None:
    changed = deepcopy(standard_document())
    changed["texts"]["misunderstood"] = "¿Cómo dijo?"
    ana = Customer(flow=load_flow(changed))
    ana.says("1 margarita")
    ana.says("asdf")
    assert heard(ana).startswith("¿Cómo dijo?")


def test_picture_of_an_item_is_shown_when_it_is_tapped() -> None:
    ana = Customer(restaurant(menu=pizzeria_with("EPIN", image="https://example.com/pino.jpg")))
    ana.says("empanadas")
    ana.taps("Empanada de pino")
    assert isinstance(ana.heard[0], Buttons)
    assert ana.heard[0].image is not None


def test_payment_and_notes_are_asked_where_a_flow_wants_them() -> None:
    changed = deepcopy(standard_document())
    changed["texts"] |= {"pay": "¿Cómo pagas?", "note": "¿Alguna nota?"}
    changed["nodes"]["name"]["goto"] = "pay"
    changed["nodes"]["pay"] = {"kind": "ask", "field": "payment", "say": "pay", "goto": "note"}
    changed["nodes"]["note"] = {"kind": "ask", "field": "notes", "say": "note", "goto": "confirm"}
    ana = Customer(flow=load_flow(changed))
    ana.says("1 margarita para retirar")
    ana.says("con transferencia")
    ana.says("sin servilletas por favor")
    order = ana.says("sí").order
    assert order is not None
    assert (order.payment, order.notes) == ("Transferencia", "sin servilletas por favor")
    ana.says("1 margarita para retirar")
    ana.taps("Efectivo")
    ana.taps("No, gracias")
    assert isinstance(ana.heard[0], Buttons)
    assert "¿Lo confirmo?" in ana.heard[0].text


def test_options_of_more_than_three_become_a_list() -> None:
    changed = deepcopy(standard_document())
    changed["nodes"]["welcome"]["options"] += [
        {"title": "talk", "goto": "human"},
        {"title": "see_cart", "goto": "cart"},
    ]
    ana = Customer(flow=load_flow(changed))
    ana.says("hola")
    assert isinstance(ana.heard[0], ListMessage)
    assert ana.taps("Hablar con alguien").handover


@pytest.mark.parametrize(
    ("identifier", "expected"),
    [
        (action_id("add", "A:B:C", 7), Action("add", "A:B:C", 7)),
        ("v1:yes::12", Action("yes", "", 12)),
        ("v1:add:A:x", Action("add", "A", -1)),
        ("v1:add:A:²", Action("add", "A", -1)),
        ("v1:add", None),
        ("v2:add:A:1", None),
        ("", None),
        ("REORDER", None),
    ],
)
def test_button_ids_are_read_back(identifier: str, expected: Action | None) -> None:
    assert parse_action(identifier) == expected


def test_order_code_is_short_stable_and_spread() -> None:
    codes = {order_code(f"wamid.{number}") for number in range(2000)}
    assert len(codes) > 1990
    assert order_code("wamid.1") == order_code("wamid.1")
    assert all(len(code) == 5 and not set(code) & set("01OILU") for code in codes)


@pytest.mark.parametrize(
    ("text", "current", "language"),
    [
        ("hello", "es", "en"),
        ("hi there", "es", "en"),
        ("oi, tudo bem?", "es", "pt"),
        ("olá", "es", "pt"),
        ("ola", "es", "es"),
        ("quero uma pizza", "es", "pt"),
        ("ok", "en", "en"),
        ("hola", "en", "es"),
        ("pizza", "en", "en"),
        ("no", "pt", "pt"),
        ("2 coca cola", "en", "en"),
        ("delivery", "es", "es"),
        ("I would like the margherita", "es", "en"),
        ("por favor quiero una coca and a pizza", "es", "es"),
    ],
)
def test_language_changes_only_when_it_is_clear(text: str, current: str, language: str) -> None:
    assert language_written(fold_words(text), text, current, ["es", "en", "pt"]) == language


def test_first_language_is_the_restaurants_if_the_flow_speaks_it() -> None:
    assert first_language(["es", "pt"], "pt") == "pt"
    assert first_language(["es", "pt"], "fr") == "es"


@pytest.mark.parametrize(
    ("text", "intent"),
    [
        ("quiero ver la carta por favor", "menu"),
        ("menu", "menu"),
        ("hola", "hi"),
        ("hola, la carta porfa", "menu"),
        ("quiero una pizza de la carta", ""),
        ("", ""),
        ("por favor", ""),
    ],
)
def test_wish_is_all_that_a_message_says(text: str, intent: str) -> None:
    phrases = compile_phrases({"menu": {"es": ["menú", "carta"]}, "hi": {"es": ["hola"]}})
    assert intent_of(fold_words(text), phrases) == intent


def test_words_are_compared_without_accents_case_and_plural() -> None:
    assert fold("ÑUÑOA Ação") == "nunoa acao"
    assert stem("limones") == stem("limon")
    assert stem("dulces") == stem("dulce")
    assert fold_words("¡Café\u200b con leche! 2,5") == fold_words("cafe con leche 2.5")
