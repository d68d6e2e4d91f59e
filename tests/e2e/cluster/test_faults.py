"""Parts of the cluster die, stand still or are away; what was acknowledged is answered."""

from __future__ import annotations

import asyncio
import json

import pytest

from comanda_kube.errors import ApiError
from comanda_kube.resources import NAMESPACES
from tests.e2e.cluster.town import NUMBERS, POOL_PODS, Town
from tests.harness import until
from tests.kind.engine import EngineError
from tests.test_charts.chart import NAMESPACE

pytestmark = [pytest.mark.timeout(1800), pytest.mark.asyncio(loop_scope="session")]

SHOP = NUMBERS[5]


async def opened(town: Town) -> None:
    """Open the restaurant of this file."""
    await town.open(SHOP)
    await town.is_open(SHOP)


async def test_a_pod_is_killed_in_the_middle_of_orders(town: Town) -> None:
    await opened(town)
    ordering = [asyncio.create_task(town.order(SHOP)) for _ in range(8)]
    name = (await town.ready_pods(POOL_PODS))[0]
    await asyncio.to_thread(
        town.site.kubectl, "delete", "pod", name, f"--namespace={NAMESPACE}", "--grace-period=0", "--force"
    )
    await asyncio.gather(*ordering)
    assert not await town.broken(SHOP)


async def test_no_more_than_one_pod_of_a_group_is_evicted_at_a_time(town: Town) -> None:
    await opened(town)

    async def complete() -> bool:
        return len(await town.ready_pods(POOL_PODS)) == 2

    await until(complete, 120, "the pool is complete")
    outcomes = []
    for name in await town.ready_pods(POOL_PODS):
        metadata = {"namespace": NAMESPACE, "name": name}
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{name}/eviction"
        create = ["create", f"--raw={path}", "--filename=-"]
        try:
            await asyncio.to_thread(town.site.kubectl, *create, given=json.dumps(eviction))
            outcomes.append("evicted")
        except EngineError as error:
            outcomes.append("disruption budget" if "disruption budget" in str(error) else str(error))
    assert outcomes == ["evicted", "disruption budget"]
    await town.order(SHOP)
    await until(complete, 120, "the pool is complete again")


async def test_webhooks_flow_while_there_is_no_operator(town: Town) -> None:
    await opened(town)
    scale = ["scale", "deployment/comanda-operator", f"--namespace={NAMESPACE}"]
    await asyncio.to_thread(town.site.kubectl, *scale, "--replicas=0")
    try:

        async def away() -> bool:
            return not await town.pods("app.kubernetes.io/component=operator")

        await until(away, 60, "no operator is there")
        await town.order(SHOP)
    finally:
        await asyncio.to_thread(town.site.kubectl, *scale, "--replicas=2")
    await town.open(SHOP, displayName="Otra vez")
    await town.is_open(SHOP)


async def test_webhooks_flow_while_the_api_is_away_and_a_router_starts_anew(town: Town) -> None:
    await opened(town)
    docker, node = town.kind.engine.docker, town.kind.nodes[0]
    manifest, aside = "/etc/kubernetes/manifests/kube-apiserver.yaml", "/root/kube-apiserver.yaml"
    await asyncio.to_thread(docker, "exec", node, "mv", manifest, aside)
    try:

        async def away() -> bool:
            try:
                await town.api.get(NAMESPACES, "", NAMESPACE)
            except ApiError:
                return True
            return False

        await until(away, 60, "the API is away")
        command = "kill -9 $(pgrep -f comanda_router | head -1)"
        await asyncio.to_thread(docker, "exec", node, "sh", "-c", command)
        await town.order(SHOP)
    finally:
        await asyncio.to_thread(docker, "exec", node, "mv", aside, manifest)

    async def back() -> bool:
        try:
            return bool(await town.api.get(NAMESPACES, "", NAMESPACE))
        except ApiError:
            return False

    await until(back, 120, "the API is back")
    assert not await town.broken(SHOP)


async def test_the_database_is_restarted_in_the_middle_of_orders(town: Town) -> None:
    await opened(town)
    ordering = [asyncio.create_task(town.order(SHOP)) for _ in range(8)]
    command = ["delete", "pod", "comanda-database-0", f"--namespace={NAMESPACE}"]
    await asyncio.to_thread(town.site.kubectl, *command, seconds=120)
    await asyncio.gather(*ordering)
    assert not await town.broken(SHOP)


async def test_a_node_is_lost_and_comes_back(town: Town) -> None:
    await opened(town)
    docker, node = town.kind.engine.docker, town.kind.nodes[1]
    ordering = [asyncio.create_task(town.order(SHOP)) for _ in range(8)]
    await asyncio.to_thread(docker, "kill", node)
    try:
        await asyncio.gather(*ordering)
    finally:
        await asyncio.to_thread(docker, "start", node)
        command = ["wait", "--for=condition=Ready", "node", "--all", "--timeout=180s"]
        await asyncio.to_thread(town.site.kubectl, *command, seconds=200)

    async def complete() -> bool:
        return len(await town.ready_pods(POOL_PODS)) == 2

    await until(complete, 180, "the pool is complete again")
    assert not await town.broken(SHOP)
