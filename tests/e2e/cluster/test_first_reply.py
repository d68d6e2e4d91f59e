from __future__ import annotations

import pytest

from comanda_kube.resources import NAMESPACES
from tests.e2e.cluster.town import NUMBERS, RESTRICTED, Town
from tests.test_charts.chart import NAMESPACE

pytestmark = [pytest.mark.timeout(1800), pytest.mark.asyncio(loop_scope="session")]


async def test_a_restaurant_of_the_pool_takes_an_order(town: Town) -> None:
    await town.open(NUMBERS[0])
    tenant = await town.is_open(NUMBERS[0])
    assert tenant["status"]["group"] == f"{NAMESPACE}/pool-default"
    await town.order(NUMBERS[0])
    assert [total for (total,) in await town.sql("select total from orders")] == [2 * 8990 + 2490]
    await town.kept_its_promises(NUMBERS[0])


async def test_every_pod_is_within_the_restricted_level_on_a_root_that_is_read_only(town: Town) -> None:
    assert (await town.get(NAMESPACES, NAMESPACE))["metadata"]["labels"].items() >= RESTRICTED.items()
    pods = await town.pods("")
    assert {pod["metadata"]["labels"].get("app.kubernetes.io/component") for pod in pods} >= {"router", "operator"}
    for pod in pods:
        for container in pod["spec"]["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"], pod["metadata"]["name"]
