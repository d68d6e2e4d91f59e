from __future__ import annotations

import pytest

from tests.e2e.cluster.town import NUMBERS, POOL_PODS, Town
from tests.harness import until

pytestmark = [pytest.mark.timeout(1800), pytest.mark.asyncio(loop_scope="session")]

SHOP = NUMBERS[6]


async def test_a_new_token_is_used_by_pods_that_run_on(town: Town) -> None:
    await town.open(SHOP, token="a-token-that-meta-refuses")
    customer = town.customer()

    async def refused() -> bool:
        refusals: int = (await town.stats())["sends"]["refused"].get("190", 0)
        return refusals > 0

    await town.is_open(SHOP)
    pods = {pod["metadata"]["uid"] for pod in await town.pods(POOL_PODS)}
    await town.write(SHOP, customer, "Hola")
    await until(refused, 60, "Meta refuses the token")
    await town.secret(f"t{SHOP}-token", accessToken=f"token-{SHOP}")

    async def answered() -> bool:
        return bool(await town.replies(SHOP, customer))

    await until(answered, 120, "the reply has gone out with the new token")
    assert {pod["metadata"]["uid"] for pod in await town.pods(POOL_PODS)} == pods
