from __future__ import annotations

import pytest

from comanda_operator.reconcile import TENANTS
from tests.e2e.cluster.town import NUMBERS, Town
from tests.e2e.customers import ORDER
from tests.harness import until
from tests.test_charts.chart import NAMESPACE

pytestmark = [pytest.mark.timeout(1800), pytest.mark.asyncio(loop_scope="session")]

SHOP = NUMBERS[7]


async def test_an_order_begun_in_the_pool_ends_in_pods_of_its_own(town: Town) -> None:
    await town.open(SHOP)
    await town.is_open(SHOP)
    customer = town.customer()
    for text in ORDER[:2]:
        await town.say(SHOP, customer, text)
    await town.open(SHOP, plan="enterprise", enterprise={"replicas": 1})

    async def moved() -> bool:
        status = (await town.get(TENANTS, f"t{SHOP}"))["status"]
        return status.get("group") == f"{NAMESPACE}/tenant-t{SHOP}" and "movingFrom" not in status

    await until(moved, 180, "the restaurant has pods of its own")
    await town.is_open(SHOP)
    assert "20470" in (await town.say(SHOP, customer, ORDER[2])).replace(".", "")
