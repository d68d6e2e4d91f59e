from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from comanda_flow import RestaurantDocument, RestaurantError, load_restaurant
from tests.test_flow.chat import document, restaurant

SETTINGS = {"currency": "CLP", "timezone": "America/Santiago", "locale": "es-CL"}


def problems(content: dict[str, Any], **settings: str) -> dict[str, str]:
    with pytest.raises(RestaurantError) as caught:
        load_restaurant(content, **(SETTINGS | settings))
    assert caught.value.code == "invalid_restaurant"
    return {problem.path: problem.rule for problem in caught.value.problems}


def pizzeria() -> dict[str, Any]:
    return deepcopy(document("pizzeria"))


def test_names_come_as_text_or_by_language() -> None:
    menu = restaurant().menu
    assert menu.items["MARG"].called("en") == "Margherita Pizza"
    assert menu.items["NAPO"].called("en") == "Pizza Napolitana"
    assert menu.items["ARMA"].called("pt") == "Pizza Arma la tuya"


def test_prices_become_minor_units_of_the_currency() -> None:
    content = {"name": "A", "menu": {"categories": [{"id": "a", "name": "A", "items": []}]}}
    items = [{"sku": 1, "name": "A", "price": 8.9}, {"sku": "2", "name": "B", "price": "12.50"}]
    content["menu"]["categories"][0]["items"] = items  # type: ignore[index]
    dollars = load_restaurant(content, currency="USD", timezone="UTC", locale="es")
    assert [item.price_minor for item in dollars.menu.items.values()] == [890, 1250]
    assert list(dollars.menu.items) == ["1", "2"]


def test_smallest_document_is_a_name() -> None:
    place = load_restaurant({"name": "A"}, **SETTINGS)
    assert place.pickup
    assert not place.delivery
    assert place.hours.always


def test_price_with_cents_is_refused_where_there_are_none() -> None:
    content = pizzeria()
    content["menu"]["categories"][0]["items"][0]["price"] = "12.990"
    found = problems(content)
    assert found == {"menu.categories[0].items[0].price": "CLP has no decimals: write 12990, without a point"}


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"name": None}, "name"),
        ({"nmae": "x"}, "nmae"),
        ({"hours": {"monday": ["12-15"]}}, "hours.monday[0]"),
        ({"hours": {"monday": ["25:00-26:00"]}}, "hours.monday[0]"),
        ({"hours": {"lunes": []}}, "hours.lunes"),
        ({"fulfilment": {"pickup": False, "delivery": False}}, "fulfilment"),
        ({"zones": [{"name": "A", "radius_km": 2, "names": ["B"]}]}, "zones[0]"),
        ({"location": None}, "zones[0].radius_km"),
        ({"location": {"latitude": 91, "longitude": 0}}, "location.latitude"),
        ({"minimum_order": -1}, "minimum_order"),
        ({"minimum_order": True}, "minimum_order"),
        ({"payment": [""]}, "payment[0]"),
        ({"menu": {"categories": [{"id": "a b", "name": "A"}]}}, "menu.categories[0].id"),
        ({"menu": {"categories": [{"id": "a", "name": {}}]}}, "menu.categories[0].name"),
    ],
)
def test_broken_rule_is_named_with_its_place(change: dict[str, Any], path: str) -> None:
    assert path in problems(pizzeria() | change)


def test_sku_is_unique_over_the_whole_menu() -> None:
    content = pizzeria()
    content["menu"]["categories"][2]["items"][0]["sku"] = "MARG"
    assert problems(content) == {
        "menu.categories[2].items[0].sku": "is already used at menu.categories[0].items[0].sku"
    }


def test_option_asks_for_no_more_than_there_is() -> None:
    content = pizzeria()
    content["menu"]["categories"][0]["items"][5]["options"][0] |= {"min": 3, "max": 3}
    assert problems(content) == {"menu.categories[0].items[5].options[0]": "min asks for more choices than there are"}


def test_all_problems_are_told_at_once_with_settings() -> None:
    content = pizzeria() | {"nmae": "x", "hours": {"monday": ["x"]}}
    content["menu"]["categories"][1]["id"] = "pizzas"
    found = problems(content, currency="peso", timezone="Chile/Nowhere", locale="")
    assert set(found) == {
        "currency",
        "timezone",
        "locale",
        "nmae",
        "hours.monday[0]",
        "menu.categories[0].id",
        "menu.categories[1].id",
    }


def test_published_schema_is_closed() -> None:
    schema = RestaurantDocument.model_json_schema()
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["name"]
