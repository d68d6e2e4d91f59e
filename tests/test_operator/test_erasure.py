"""`deletionPolicy: Delete`: pods are told to erase a tenant's data, until all of them have."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from comanda_kube.errors import NotFoundError
from comanda_kube.resources import SECRETS, STATEFUL_SETS, Resource
from comanda_operator.reconcile import POOLS, TENANTS
from tests.harness import until
from tests.test_operator.cluster import HOME, Cluster, Nodes, cluster

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with cluster(tmp_path) as made:
        await made.app()
        await made.pool()
        yield made


async def test_pods_erase_whom_a_policy_says_and_nobody_else(site: Cluster) -> None:
    shop = await site.namespace()
    await site.tenant(shop, "kept")
    await site.tenant(shop, "erased", deletionPolicy="Delete")
    nodes = Nodes(site)
    async with site.operator() as operator, nodes.running():
        for name in ("kept", "erased"):
            await site.becomes(TENANTS, shop, name, "Acknowledged")
        nodes.frozen = True
        for name in ("kept", "erased"):
            await site.admin.delete(TENANTS, shop, name)

        async def is_told() -> bool:
            return await site.erasing() == {f"{shop}/erased"}

        await until(is_told, what="pods are told to erase the one")
        await operator.kill()
        await operator.again()
        await until(operator.leads)
        await until(operator.is_idle)
        assert await is_told(), "a new leader knows it"
        nodes.frozen = False

        async def is_over() -> bool:
            return await site.erasing() == set()

        await until(is_over, what="pods have erased it, and are told so no more")
        await until(operator.is_settled)
        seen = len(site.server.audit())
        await operator.end()
        await operator.again()
        await until(operator.leads)
        await until(operator.is_settled)
        assert site.writes(seen) == []


async def test_one_that_is_deleted_while_nobody_watches_is_erased_and_one_that_comes_back_is_not(site: Cluster) -> None:
    shop = await site.namespace()
    for name in ("erased", "back"):
        await site.tenant(shop, name, deletionPolicy="Delete")
    nodes = Nodes(site)
    async with site.operator() as operator, nodes.running():
        for name in ("erased", "back"):
            await site.becomes(TENANTS, shop, name, "Acknowledged")
        nodes.frozen = True
        await operator.kill()
        for name in ("erased", "back"):
            await site.admin.delete(TENANTS, shop, name)
        await operator.again()

        async def both() -> bool:
            return await site.erasing() == {f"{shop}/erased", f"{shop}/back"}

        await until(both, what="pods are told to erase both")
        await site.tenant(shop, "back", deletionPolicy="Delete")

        async def one() -> bool:
            return await site.erasing() == {f"{shop}/erased"}

        await until(one, what="who came back keeps its data")


@pytest.mark.parametrize("again", ["never", "between", "after"])
@pytest.mark.parametrize("order", [(TENANTS, POOLS), (POOLS, TENANTS)], ids=["tenant-first", "pool-first"])
async def test_a_pool_waits_until_its_pods_have_erased_what_they_must(
    site: Cluster, order: tuple[Resource, Resource], again: str
) -> None:
    shop = await site.namespace()
    await site.tenant(shop, "erased", deletionPolicy="Delete")
    names = {TENANTS: (shop, "erased"), POOLS: (HOME, "default")}
    nodes = Nodes(site)
    async with site.operator() as operator, nodes.running():

        async def restart() -> None:
            await operator.kill()
            await operator.again()
            await until(operator.leads)
            await until(operator.is_idle)

        async def is_told() -> bool:
            return await site.erasing() == {f"{shop}/erased"}

        async def is_gone() -> bool:
            return await site.objects_of(f"{HOME}/pool-default") == {}

        await site.becomes(TENANTS, shop, "erased", "Acknowledged")
        nodes.frozen = True
        await site.admin.delete(order[0], *names[order[0]])
        if order[0] is TENANTS:
            await until(is_told)
        else:
            await site.becomes(TENANTS, shop, "erased", "PoolMissing", "Scheduled")
        if again == "between":
            await restart()
        await site.admin.delete(order[1], *names[order[1]])
        await until(is_told, what="pods are told to erase it")
        if again == "after":
            await restart()
        await until(operator.is_idle)
        assert await site.get(STATEFUL_SETS, HOME, "pool-default"), "its pods have something to do"
        assert await is_told()
        nodes.frozen = False
        await until(is_gone, what="the pool is gone")


async def test_a_tenant_of_a_pool_that_is_gone_is_erased_when_both_went_while_nobody_watched(site: Cluster) -> None:
    shop = await site.namespace()
    await site.tenant(shop, "erased", deletionPolicy="Delete")
    nodes = Nodes(site)
    async with site.operator() as operator, nodes.running():
        await site.becomes(TENANTS, shop, "erased", "Acknowledged")
        nodes.frozen = True
        await operator.kill()
        await site.admin.delete(POOLS, HOME, "default")
        await site.admin.delete(TENANTS, shop, "erased")
        await operator.again()

        async def is_told() -> bool:
            return await site.erasing() == {f"{shop}/erased"}

        await until(is_told, what="pods are told to erase it")
        nodes.frozen = False

        async def is_gone() -> bool:
            return await site.objects_of(f"{HOME}/pool-default") == {}

        await until(is_gone, what="the pool is gone")


async def test_who_deletes_the_shards_of_a_pool_that_is_gone_gives_the_erasure_up(site: Cluster) -> None:
    shop = await site.namespace()
    await site.tenant(shop, "erased", deletionPolicy="Delete")
    nodes = Nodes(site)
    async with site.operator(), nodes.running():
        await site.becomes(TENANTS, shop, "erased", "Acknowledged")
        nodes.frozen = True
        await site.admin.delete(TENANTS, shop, "erased")
        await site.admin.delete(POOLS, HOME, "default")

        async def is_told() -> bool:
            return await site.erasing() == {f"{shop}/erased"}

        async def is_gone() -> bool:
            return await site.objects_of(f"{HOME}/pool-default") == {}

        await until(is_told, what="pods are told to erase it")
        for number in range(16):
            with suppress(NotFoundError):
                await site.admin.delete(SECRETS, HOME, f"pool-default-shard-{number:02}")
        await until(is_gone, what="the pool is gone")


@pytest.mark.parametrize(("policy", "volumes"), [("Retain", "Retain"), ("Delete", "Delete")])
async def test_volumes_of_an_enterprise_tenant_go_with_it_or_stay(site: Cluster, policy: str, volumes: str) -> None:
    shop = await site.namespace()
    await site.tenant(shop, "farol", plan="enterprise", enterprise={}, deletionPolicy=policy)
    async with site.operator(), Nodes(site).running():
        await site.becomes(TENANTS, shop, "farol", "Acknowledged")
        stateful = await site.get(STATEFUL_SETS, shop, "tenant-farol")
        assert stateful["spec"]["persistentVolumeClaimRetentionPolicy"]["whenDeleted"] == volumes
