from __future__ import annotations

import pytest

from comanda_kube.resources import NAMESPACES
from tests.e2e.cluster.town import NUMBERS, OWN_NAMESPACE, RESTRICTED, Town
from tests.test_charts.chart import NAMESPACE

pytestmark = [pytest.mark.timeout(1800), pytest.mark.asyncio(loop_scope="session")]


async def test_a_restaurant_of_the_pool_takes_an_order(town: Town) -> None:
    await town.open(NUMBERS[0])
    tenant = await town.is_open(NUMBERS[0])
    assert tenant["status"]["group"] == f"{NAMESPACE}/pool-default"
    await town.order(NUMBERS[0])
    assert not await town.broken(NUMBERS[0])
    assert [order.total for order in (await town.history(NUMBERS[0])).orders] == [2 * 8990 + 2490]


async def test_a_restaurant_with_pods_of_its_own_takes_an_order_in_its_own_namespace(town: Town) -> None:
    await town.open(NUMBERS[1], namespace=OWN_NAMESPACE, plan="enterprise", enterprise={"replicas": 1})
    tenant = await town.is_open(NUMBERS[1], OWN_NAMESPACE)
    assert tenant["status"]["group"] == f"{OWN_NAMESPACE}/tenant-t{NUMBERS[1]}"
    await town.order(NUMBERS[1])


async def test_a_handler_answers_from_an_image_of_its_own(town: Town) -> None:
    if not town.handler:
        pytest.skip("COMANDA_E2E_HANDLER names no image of the example of a handler")
    handler = {"type": "python", "entryPoint": "napoli_bot.handler:handle"}
    enterprise = {"image": town.handler, "handler": handler}
    await town.open(NUMBERS[8], namespace=OWN_NAMESPACE, plan="enterprise", enterprise=enterprise)
    await town.is_open(NUMBERS[8], OWN_NAMESPACE)
    assert "Te atiende una persona" in await town.say(NUMBERS[8], town.customer(), "Hola")


async def test_every_pod_is_within_the_restricted_level_on_a_root_that_is_read_only(town: Town) -> None:
    for namespace in (NAMESPACE, OWN_NAMESPACE):
        assert (await town.get(NAMESPACES, namespace))["metadata"]["labels"].items() >= RESTRICTED.items()
        for pod in await town.pods("", namespace):
            assert pod["spec"]["securityContext"]["runAsNonRoot"]
            for container in pod["spec"]["containers"]:
                assert container["securityContext"]["readOnlyRootFilesystem"]
