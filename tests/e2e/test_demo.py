from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from comanda_cli.demo import SCENES, order_problems
from comanda_cli.orders import order_rows


def test_the_demo_ends_well_and_leaves_three_orders(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "comanda_cli.app", "demo", "--once", "--data-dir", str(tmp_path / "data")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "3 orders, each once, each with the right total" in result.stdout
    orders = {order["tenant"]: order for order in order_rows(tmp_path / "data")}
    assert {tenant: order["total"] for tenant, order in orders.items()} == {
        scene.tenant: scene.total for scene in SCENES
    }
    assert orders["parrilla/parrilla"]["latitude"] == pytest.approx(-34.579)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "has 0 orders"),
        ([{}, {}], "has 2 orders"),
        ([{"total": 1}], "it should be"),
        ([{"fulfilment": "pickup"}], "it should be"),
    ],
)
def test_a_missing_doubled_or_wrong_order_is_a_problem(rows: list[dict[str, Any]], words: str) -> None:
    scene = SCENES[0]
    right = {
        "tenant": scene.tenant,
        "customer_name": scene.customer,
        "total": scene.total,
        "amount": "",
        "fulfilment": scene.fulfilment,
    }
    assert order_problems(scene, [right]) == []
    assert words in order_problems(scene, [right | row for row in rows])[0]
    assert order_problems(replace(scene, tenant="x/y"), [right])
