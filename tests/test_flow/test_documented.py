from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from comanda_flow import load_flow, load_restaurant

TEXT = (Path(__file__).parents[2] / "docs" / "flows.md").read_text(encoding="utf-8")


def blocks() -> list[dict[str, Any]]:
    return [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)]


def test_the_restaurant_of_the_guide_can_be_loaded() -> None:
    restaurant = load_restaurant(blocks()[0], currency="CLP", timezone="America/Santiago", locale="es-CL")
    assert restaurant.menu.categories[0].items[0].price_minor == 8990


def test_the_flow_of_the_guide_can_be_loaded() -> None:
    assert set(load_flow(blocks()[1]).nodes) == {"hello", "menu", "cart", "how", "where", "sum", "done", "bye"}
