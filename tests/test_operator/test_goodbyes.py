"""What ends when its time has come, with Kubernetes' own controllers at work: namespaces, volumes, StatefulSets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from comanda_kube.resources import NAMESPACES, PODS, STATEFUL_SETS, Resource
from comanda_operator.reconcile import POOLS, TENANTS
from tests.harness import until
from tests.test_operator.cluster import HOME, Cluster, Nodes, cluster

pytestmark = pytest.mark.timeout(240)

CLAIMS = Resource("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with cluster(tmp_path) as made:
        await made.app()
        await made.pool()
        yield made


@pytest.mark.parametrize("is_away", [False, True])
async def test_a_namespace_that_is_deleted_goes_whether_or_not_an_operator_runs(
    site: Cluster, *, is_away: bool
) -> None:
    shop = await site.namespace()
    await site.tenant(shop, "napoli", deletionPolicy="Delete")
    await site.tenant(shop, "farol", plan="enterprise", enterprise={}, deletionPolicy="Delete")
    nodes = Nodes(site)
    async with site.server.controllers("namespace-controller"), site.operator() as operator:
        async with nodes.running():
            for name in ("napoli", "farol"):
                await site.becomes(TENANTS, shop, name, "Acknowledged")
        if is_away:
            await operator.end()
        await site.admin.delete(NAMESPACES, "", shop)

        async def is_gone() -> bool:
            return await site.get(NAMESPACES, "", shop) == {}

        await until(is_gone, 60, "the namespace is gone")
        if is_away:
            await operator.again()

        async def is_told() -> bool:
            found = [await site.shard("pool-default", number) for number in range(16)]
            return {each["tenant"] for shard in found if shard for each in shard["tenants.json"]["erase"]} == {
                f"{shop}/napoli"
            }

        await until(is_told, 30, "pods are told to erase the tenant of the pool")


@pytest.mark.parametrize(("policy", "stays"), [("Retain", True), ("Delete", False)])
async def test_the_volume_of_an_enterprise_tenant_stays_or_goes_as_its_policy_says(
    site: Cluster, policy: str, *, stays: bool
) -> None:
    shop = await site.namespace()
    await site.tenant(shop, "farol", plan="enterprise", enterprise={}, deletionPolicy=policy)
    controllers = (
        "statefulset-controller",
        "garbage-collector-controller",
        "persistentvolumeclaim-protection-controller",
    )
    async with site.server.controllers(*controllers), site.operator():

        async def claims() -> set[str]:
            return {claim["metadata"]["name"] for claim in await site.all(CLAIMS, shop)}

        async def has_a_volume() -> bool:
            return len(await claims()) == 1

        await until(has_a_volume, 60, "the tenant's pod has its claim")
        await site.admin.delete(TENANTS, shop, "farol")

        async def is_gone() -> bool:
            is_there = await site.get(STATEFUL_SETS, shop, "tenant-farol") != {}
            pods = await site.objects_of(f"{shop}/tenant-farol")
            return not is_there and not pods and bool(await claims()) == stays

        await until(is_gone, 60, "its pods are gone")


async def test_a_pool_that_gets_a_database_has_its_stateful_set_made_anew_and_its_pods_after_it(site: Cluster) -> None:
    await site.admin.apply(POOLS, {"metadata": {"namespace": HOME, "name": "small"}, "spec": {"replicas": 1}})
    async with site.server.controllers("statefulset-controller", "garbage-collector-controller"), site.operator():

        async def volumes() -> set[str]:
            pod = await site.get(PODS, HOME, "pool-small-0")
            return {volume["name"] for volume in pod.get("spec", {}).get("volumes", ())}

        async def has_a_volume() -> bool:
            return "data" in await volumes()

        await until(has_a_volume, 60, "its pod keeps its data on a volume")
        before = (await site.get(STATEFUL_SETS, HOME, "pool-small"))["metadata"]["uid"]
        await site.pool("small", replicas=1)

        async def has_none() -> bool:
            found = await volumes()
            return bool(found) and "data" not in found

        await until(has_none, 60, "its pod has a database instead")
        assert (await site.get(STATEFUL_SETS, HOME, "pool-small"))["metadata"]["uid"] != before
        assert {claim["metadata"]["name"] for claim in await site.all(CLAIMS, HOME)}, "what was stored stays"
