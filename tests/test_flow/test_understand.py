from __future__ import annotations

import pytest

from comanda_flow.answers import fulfilment_in, is_address, number_in
from comanda_flow.reading import Mention
from comanda_flow.understand import Understood, understand
from tests.test_flow.chat import restaurant

PIZZERIA = restaurant()
ALL_PIZZAS = ("MARG", "NAPO", "PEPP", "4QUE", "HAWA", "ARMA")


def wishes(found: Understood) -> list[str]:
    """Write mentions as `2 MARG size=f (sin cebolla)`; several skus mean that it is open which."""
    return [_wish(mention) for mention in found.mentions]


def _wish(mention: Mention) -> str:
    notes = f"({mention.notes})" if mention.notes else ""
    return " ".join(filter(None, [str(mention.quantity), "|".join(mention.skus), *mention.options, notes]))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hola, quiero 2 margarita y 1 coca cola", ["2 MARG", "1 COCA"]),
        ("quiero 2 pizzas margarita y una coca cola", ["2 MARG", "1 COCA"]),
        ("me das dos margaritas, tres empanadas de pino y una coca zero porfa", ["2 MARG", "3 EPIN", "1 ZERO"]),
        ("Buenas! Para pedir: 1 napolitana + 2 aguas", ["1 NAPO", "2 AGUA"]),
        ("margarita x2 y coca x 3", ["2 MARG", "3 COCA"]),
        ("2x margarita", ["2 MARG"]),
        ("margarita", ["0 MARG"]),
        ("una pizza margarita y otra napolitana", ["1 MARG", "1 NAPO"]),
        ("media docena de empanadas de pino y una docena de queso", ["6 EPIN", "12 EQUE"]),
        ("un par de cervezas", ["2 CERV"]),
        ("1 cuatro quesos", ["1 4QUE"]),
        ("dos pizzas 4 quesos", ["2 4QUE"]),
        ("2 cuatro quesos y 1 pepperoni", ["2 4QUE", "1 PEPP"]),
        ("1 margarta y 1 peperoni", ["1 MARG", "1 PEPP"]),
        ("una cocacola", ["1 COCA"]),
        ("1 napo", ["1 NAPO"]),
        ("1 coca cola zero", ["1 ZERO"]),
        ("margarita sin cebolla y una coca", ["0 MARG (sin cebolla)", "1 COCA"]),
        ("2 margaritas bien cocidas, 1 coca", ["2 MARG (bien cocidas)", "1 COCA"]),
        ("margarita sin cebolla y sin tomate", ["0 MARG (sin cebolla y sin tomate)"]),
        ("una arma la tuya familiar con aceitunas", ["1 ARMA size=f extra=a"]),
        ("una personalizada mediana extra queso", ["1 ARMA extra=q size=m"]),
        ("Two four cheese pizzas and a mineral water, please", ["2 4QUE", "0 AGUA"]),
        ("one margherita without basil", ["1 MARG (without basil)"]),
        ("duas pizzas margherita e três águas", ["2 MARG", "3 AGUA"]),
        ("uma cerveja sem espuma", ["1 CERV (sem espuma)"]),
        ("quiero una pizza", [f"1 {'|'.join(ALL_PIZZAS)}"]),
        ("MARGARITA!!! 🍕🍕", ["0 MARG"]),
        ("1 pizza, de pepperoni", ["1 PEPP"]),
        ("2 pizzas: una margarita y una napolitana", ["1 MARG", "1 NAPO"]),
        ("3 pizzas: una margarita y una napolitana", [f"3 {'|'.join(ALL_PIZZAS)}", "1 MARG", "1 NAPO"]),
    ],
)
def test_typed_order_is_understood(text: str, expected: list[str]) -> None:
    assert wishes(understand(text, PIZZERIA)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "hola",
        "quiero hacer un pedido",
        "gracias, muy amable",
        "mi tío Marco viene mañana a almorzar con nosotros",
        "Los Leones 45, departamento 302",
        "sí",
        "",
        "🍕",
        "¿puedo pagar con tarjeta de débito?",
        "999999999",
    ],
)
def test_other_text_is_no_order(text: str) -> None:
    assert wishes(understand(text, PIZZERIA)) == []


def test_unknown_words_are_reported_as_written() -> None:
    found = understand("2 margaritas, un Súshi y 1 coca", PIZZERIA)
    assert found.unknown == ("Súshi",)
    assert wishes(found) == ["2 MARG", "1 COCA"]


def test_way_of_getting_it_is_heard_within_an_order() -> None:
    assert understand("2 margaritas para llevar", PIZZERIA).fulfilment == "pickup"
    assert understand("2 margaritas con despacho a domicilio", PIZZERIA).fulfilment == "delivery"


def test_question_about_an_item_is_no_order_of_it() -> None:
    assert understand("¿cuánto cuesta la napolitana?", PIZZERIA).asking
    assert understand("tienen coca cola?", PIZZERIA).asking


def test_removal_is_recognised() -> None:
    found = understand("quita 1 coca por favor", PIZZERIA)
    assert found.removing
    assert wishes(found) == ["1 COCA"]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("2", 2),
        ("dos por favor", 2),
        ("una docena", 12),
        ("quiero 3", 3),
        ("0", 0),
        ("100", 0),
        ("dos pizzas", 0),
        ("", 0),
    ],
)
def test_short_answer_gives_a_number(text: str, number: int) -> None:
    assert number_in(text) == number


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("delivery", ("delivery", "")),
        ("para llevar por favor", ("pickup", "")),
        ("lo paso a buscar", ("pickup", "")),
        ("delivery a Av. Italia 123, Ñuñoa", ("delivery", "Av. Italia 123, Ñuñoa")),
        ("delivery a Los Leones 45", ("delivery", "Los Leones 45")),
        ("Los Leones 45, delivery por favor", ("delivery", "Los Leones 45")),
        ("hola", ("", "hola")),
        ("retiro no, delivery", ("delivery", "")),
        ("i'll pick it up", ("pickup", "")),
        ("é para entrega", ("delivery", "")),
    ],
)
def test_way_of_getting_it_is_told_from_an_address(text: str, expected: tuple[str, str]) -> None:
    assert fulfilment_in(text) == expected


def test_address_needs_more_than_a_word() -> None:
    assert is_address("Los Leones 45")
    assert is_address("Pasaje Uno")
    assert not is_address("casa")
    assert not is_address("45")
