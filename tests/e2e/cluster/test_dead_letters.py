from __future__ import annotations

import asyncio
import json

import pytest

from tests.e2e.cluster.town import NUMBERS, Town
from tests.harness import until
from tests.kind.engine import EngineError
from tests.test_charts.chart import NAMESPACE

pytestmark = [pytest.mark.timeout(1800), pytest.mark.asyncio(loop_scope="session")]

SHOP = NUMBERS[9]


async def comanda_router(town: Town, pod: str, *words: str) -> str:
    """Run a command in a router's container, as the page on the router has it."""
    return await asyncio.to_thread(
        town.site.kubectl, "exec", f"--namespace={NAMESPACE}", pod, "--", "comanda-router", *words
    )


async def test_what_belonged_to_nobody_is_handed_in_again_once_there_is_a_restaurant(town: Town) -> None:
    customer = town.customer()
    await town.write(SHOP, customer, "Hola")
    kept: dict[str, str] = {}
    for pod in await town.pods("app.kubernetes.io/component=router"):
        name = pod["metadata"]["name"]
        letters = json.loads(await comanda_router(town, name, "dead-letter", "list", "--output=json"))
        kept |= {letter["id"]: name for letter in letters if letter["phone_number_id"] == SHOP}
    ((letter, keeper),) = kept.items()
    assert "Hola" in await comanda_router(town, keeper, "dead-letter", "show", letter)
    await town.open(SHOP)
    await town.is_open(SHOP)

    async def taken() -> bool:
        try:
            return "was taken" in await comanda_router(town, keeper, "dead-letter", "replay", letter)
        except EngineError:
            return False  # this router has not heard of the restaurant yet

    await until(taken, 30, "the letter is taken")

    async def answered() -> bool:
        return bool(await town.replies(SHOP, customer))

    await until(answered, 60, "who wrote too early has an answer")
    route = json.loads(await comanda_router(town, keeper, "route", "explain", SHOP, "--output=json"))
    assert route["app"] == "default"
