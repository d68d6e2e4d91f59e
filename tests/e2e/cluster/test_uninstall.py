from __future__ import annotations

import pytest

from comanda_kube.resources import SECRETS, Resource
from comanda_operator.reconcile import TENANTS
from tests.e2e.cluster.town import NUMBERS, POOL_PODS, Town
from tests.harness import until
from tests.test_charts.chart import RELEASE

pytestmark = [pytest.mark.timeout(1800), pytest.mark.asyncio(loop_scope="session")]

CLAIMS = Resource("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")


async def test_what_remains_is_what_the_page_says(town: Town) -> None:
    await town.open(NUMBERS[0])
    await town.helm(lambda config: config.uninstall(RELEASE, timeout=120))
    for component in ("router", "operator", "simulator", "database"):

        async def gone(labels: str = f"app.kubernetes.io/component={component}") -> bool:
            return not await town.pods(labels)

        await until(gone, 120, f"no {component} is left")
    assert await town.get(TENANTS, f"t{NUMBERS[0]}"), "tenants stay with their CRD"
    assert await town.get(SECRETS, "comanda-master-key"), "the key stays"
    assert await town.get(CLAIMS, "data-comanda-database-0"), "the orders stay"
    assert len(await town.ready_pods(POOL_PODS)) == 2, "pods of groups stay"
