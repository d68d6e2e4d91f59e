"""The operator killed after each of its writes, before it hears of it: whoever starts next gets everything right."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio

from comanda_contract.names import group_key
from comanda_contract.resources import BotPool
from comanda_kube.resources import AUTOSCALERS, SECRETS, STATEFUL_SETS
from comanda_operator.live import holds, read_object
from comanda_operator.manifests.group import KINDS, Wanted, group_objects
from comanda_operator.plan import GroupPlan, plan_own, plan_pool
from comanda_operator.reconcile import POOLS, TENANTS
from comanda_operator.records import read_tenant
from comanda_operator.state import within_one_volume
from tests.harness import until
from tests.test_operator.cluster import HOME, MASTER_KEY, Cluster, Nodes, OperatorProcess, cluster
from tests.test_operator.counting_proxy import CountingProxy
from tests.test_operator.plans import SITE

pytestmark = [pytest.mark.timeout(400), pytest.mark.asyncio(loop_scope="module")]

MOST_DEATHS = 60
"""An operator that has not got there by then never will."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    async with cluster(tmp_path_factory.mktemp("cluster")) as made, Nodes(made).running():
        await made.app()
        await made.namespace("shop")
        yield made


async def die_after_each_write(
    proxy: CountingProxy, operator: OperatorProcess, done: Callable[[], Awaitable[bool]], writes: int = 1
) -> int:
    """Kill it whenever it has written so much, and start it anew, until all is done; returns how often."""

    async def is_over() -> bool:
        return operator.process.returncode is not None or (await done() and await operator.is_settled())

    for deaths in range(MOST_DEATHS):
        proxy.end_after(writes, operator.kill)
        await until(is_over, 40, "it has died or is done")
        if operator.process.returncode is None:
            return deaths
        await operator.again()
    raise AssertionError(proxy.writes[-MOST_DEATHS:])


async def assert_right(site: Cluster, group: GroupPlan, wanted: list[Wanted], shards: set[str]) -> None:
    found = await site.objects_of(group.key)
    names = {(each.resource.kind, each.name) for each in wanted}
    assert found.keys() == names | {("Secret", f"{group.name}-shard-{shard}") for shard in shards}
    for each in wanted:
        assert holds(read_object(json.dumps(found[each.resource.kind, each.name]).encode()), each.body), each.name


async def pool_group(site: Cluster) -> tuple[GroupPlan, list[Wanted]]:
    pool = BotPool.model_validate(await site.get(POOLS, HOME, "default"))
    group = plan_pool(pool)
    return group, group_objects(group, SITE, group_key(MASTER_KEY, group.key, group.uid), pool.spec.autoscaling)


async def own_group(site: Cluster) -> tuple[GroupPlan, list[Wanted]]:
    tenant = read_tenant(json.dumps(await site.get(TENANTS, "shop", "farol")).encode())
    group = within_one_volume(plan_own(tenant))
    return group, group_objects(group, SITE, group_key(MASTER_KEY, group.key, group.uid))


async def is_ready(site: Cluster, name: str) -> bool:
    """Tell whether pods have a tenant as it is now."""
    tenant = await site.get(TENANTS, "shop", name)
    is_current = tenant.get("status", {}).get("observedGeneration") == tenant["metadata"]["generation"]
    return is_current and await site.condition(TENANTS, "shop", name) == ("True", "Acknowledged")


async def test_an_operator_that_dies_after_each_write_gets_there_and_leaves_nothing_behind(site: Cluster) -> None:
    async def done() -> bool:
        return await is_ready(site, "napoli") and (await site.condition(POOLS, HOME, "default"))[1] == "Available"

    async with CountingProxy(site.server) as proxy, site.operator(port=proxy.port, WORKERS="1") as operator:
        await site.pool(replicas=1, autoscaling={"minReplicas": 1, "maxReplicas": 3})
        await site.tenant("shop", "napoli")
        deaths = await die_after_each_write(proxy, operator, done)
        assert deaths >= len(KINDS), "each object was a death"
        shard = (await site.get(TENANTS, "shop", "napoli"))["status"]["shard"]
        await assert_right(site, *await pool_group(site), {f"{shard:02}"})


async def test_so_it_does_when_tenants_and_pools_are_edited(site: Cluster) -> None:
    async def done() -> bool:
        stateful = await site.get(STATEFUL_SETS, HOME, "pool-default")
        image = stateful["spec"]["template"]["spec"]["containers"][0]["image"]
        is_scaled = await site.get(AUTOSCALERS, HOME, "pool-default") != {}
        return image.endswith("0.2.0") and not is_scaled and await is_ready(site, "napoli")

    async with CountingProxy(site.server) as proxy, site.operator(port=proxy.port, WORKERS="1") as operator:
        await until(operator.is_settled)
        await site.pool(replicas=1, image="comanda-botpod:0.2.0")
        await site.tenant("shop", "napoli", token="another-token", displayName="Another name")
        assert await die_after_each_write(proxy, operator, done) >= 3
        shard = (await site.get(TENANTS, "shop", "napoli"))["status"]["shard"]
        await assert_right(site, *await pool_group(site), {f"{shard:02}"})
        held = await site.shard("pool-default", shard)
        assert [each["display_name"] for each in held["tenants.json"]["tenants"]] == ["Another name"]
        assert list(held["credentials.json"]["access_tokens"].values()) == ["another-token"]


async def test_so_it_does_with_pods_of_a_tenants_own_and_when_they_go(site: Cluster) -> None:
    async def done() -> bool:
        return await is_ready(site, "farol")

    async def is_gone() -> bool:
        return await site.objects_of("shop/tenant-farol") == {}

    async with CountingProxy(site.server) as proxy, site.operator(port=proxy.port, WORKERS="1") as operator:
        await until(operator.is_settled)
        await site.tenant("shop", "farol", plan="enterprise", enterprise={"image": "farol/bot:1"})
        assert await die_after_each_write(proxy, operator, done, writes=2) >= 3
        await assert_right(site, *await own_group(site), {"00"})
        await site.admin.delete(TENANTS, "shop", "farol")
        assert await die_after_each_write(proxy, operator, is_gone) >= len(KINDS) - 1
        assert await site.get(SECRETS, "shop", "farol-token"), "what people made stays"
