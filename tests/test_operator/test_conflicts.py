"""Two resources of one name: the older one counts, the other says so, and takes its place when that is free."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from comanda_kube.resources import STATEFUL_SETS, Resource
from comanda_operator.reconcile import APPS, POOLS, TENANTS
from tests.harness import until
from tests.test_operator.cluster import HOME, Cluster, Nodes, cluster

pytestmark = [pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    async with cluster(tmp_path_factory.mktemp("cluster")) as made, Nodes(made).running(), made.operator():
        await made.app()
        await made.namespace("other")
        yield made


async def copy(site: Cluster, resource: Resource, name: str) -> None:
    """Make the same in another namespace."""
    found = await site.get(resource, HOME, name)
    await site.admin.apply(resource, {"metadata": {"namespace": "other", "name": name}, "spec": found["spec"]})


async def test_the_younger_of_two_apps_with_one_name_is_answered_for_when_the_older_one_goes(site: Cluster) -> None:
    await site.app("brand")
    await site.becomes(APPS, HOME, "brand", "Answered")
    await site.secret("other", "app-brand", appSecret="x", verifyToken="y")
    await copy(site, APPS, "brand")
    await site.becomes(APPS, "other", "brand", "AppNameConflict", "Accepted")
    await site.admin.delete(APPS, HOME, "brand")
    await site.becomes(APPS, "other", "brand", "Answered")


async def test_the_younger_of_two_pools_with_one_name_takes_the_tenants_when_the_older_one_goes(site: Cluster) -> None:
    await site.pool("twin", database=None, replicas=1)
    await site.becomes(POOLS, HOME, "twin", "Available")
    await copy(site, POOLS, "twin")
    await site.becomes(POOLS, "other", "twin", "PoolNameConflict", "Accepted")
    await site.tenant("other", "napoli", poolRef="twin")
    await site.becomes(TENANTS, "other", "napoli", "Acknowledged")
    await site.admin.delete(POOLS, HOME, "twin")

    async def has_moved() -> bool:
        tenant = await site.get(TENANTS, "other", "napoli")
        ready = await site.condition(TENANTS, "other", "napoli")
        return tenant["status"].get("group") == "other/pool-twin" and ready == ("True", "Acknowledged")

    await until(has_moved, what="the other pool serves it")
    await site.becomes(POOLS, "other", "twin", "Available")

    async def is_gone() -> bool:
        return await site.get(STATEFUL_SETS, HOME, "pool-twin") == {}

    await until(is_gone, what="the pods of the pool that is gone are gone")


async def test_a_pool_that_goes_takes_its_pods_along_though_tenants_name_it(site: Cluster) -> None:
    await site.pool("brief")
    await site.tenant("other", "farol", poolRef="brief")
    await site.becomes(TENANTS, "other", "farol", "Acknowledged")
    await site.admin.delete(POOLS, HOME, "brief")
    await site.becomes(TENANTS, "other", "farol", "PoolMissing")

    async def is_gone() -> bool:
        return await site.get(STATEFUL_SETS, HOME, "pool-brief") == {}

    await until(is_gone, what="its pods are gone")


async def test_a_pool_may_get_a_database_later(site: Cluster) -> None:
    await site.pool("grows", database=None, replicas=1)
    await site.becomes(POOLS, HOME, "grows", "Available")
    await site.pool("grows", replicas=2)

    async def has_grown() -> bool:
        found = await site.get(STATEFUL_SETS, HOME, "pool-grows")
        return bool(found and found["spec"]["replicas"] == 2 and "volumeClaimTemplates" not in found["spec"])

    await until(has_grown, what="it has two pods, without volumes")
    await site.becomes(POOLS, HOME, "grows", "Available")
