"""Everything is replaced while customers write; nothing is lost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from tests.e2e.cluster.town import NUMBERS, POOL_PODS, Town, with_values
from tests.harness import until

pytestmark = [pytest.mark.timeout(1800), pytest.mark.asyncio(loop_scope="session")]

SHOPS = NUMBERS[2:5]


async def shops(town: Town) -> None:
    """Open the restaurants of this file."""
    for number in SHOPS:
        await town.open(number)
    for number in SHOPS:
        await town.is_open(number)


async def without_loss(town: Town, act: Callable[[], Awaitable[None]], per_second: float) -> None:
    """Do something while customers write; every webhook is acknowledged, and every promise kept.

    How many are at the first try says `make bench NAME=cluster`: pods that start beside it can make a crowded machine's
    disk stand still for a second, and then the router has Meta come again.
    """
    await shops(town)
    before = await town.stats()
    async with town.crowd(SHOPS, per_second):
        await act()
    assert (await town.stats())["webhooks"]["dropped"] == before["webhooks"]["dropped"]
    assert not await town.broken(*SHOPS)


async def test_a_pool_grows_and_shrinks_under_load(town: Town) -> None:
    async def act() -> None:
        for replicas in (4, 2):
            await town.scale(replicas)

            async def there(wanted: int = replicas) -> bool:
                return len(await town.ready_pods(POOL_PODS)) == wanted == len(await town.pods(POOL_PODS))

            await until(there, 180, f"the pool has {replicas} pods")

    await without_loss(town, act, per_second=20)


async def test_routers_operators_and_pools_are_replaced_under_load(town: Town) -> None:
    before = {pod["metadata"]["uid"] for pod in await town.pods("")}

    async def act() -> None:
        for name in ("deployment/comanda-router", "deployment/comanda-operator", "statefulset/pool-default"):
            await town.restart(name)

    await without_loss(town, act, per_second=20)
    for component in ("router", "operator"):
        pods = await town.pods(f"app.kubernetes.io/component={component}")
        assert len(pods) == 2
        assert not {pod["metadata"]["uid"] for pod in pods} & before
    assert not {pod["metadata"]["uid"] for pod in await town.pods(POOL_PODS)} & before


async def test_an_upgrade_of_the_chart_changes_what_it_says_and_loses_nothing(town: Town) -> None:
    changed = with_values(town.values, {"router": {"podAnnotations": {"example.com/upgraded": "yes"}}})

    async def act() -> None:
        await town.upgrade(changed)

    await without_loss(town, act, per_second=10)
    routers = await town.pods("app.kubernetes.io/component=router")
    assert {pod["metadata"]["annotations"].get("example.com/upgraded") for pod in routers} == {"yes"}
    await town.upgrade(town.values)
