"""What people or other programs do to the objects of a group: it heals, and autoscalers are not fought."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from comanda_contract.names import shard_of
from comanda_kube.resources import (
    AUTOSCALERS,
    NETWORK_POLICIES,
    POD_DISRUPTION_BUDGETS,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    STATEFUL_SETS,
    Json,
    Resource,
)
from comanda_operator.reconcile import POOLS, TENANTS
from tests.harness import until
from tests.test_operator.cluster import HOME, Cluster, Nodes, OperatorProcess, cluster

pytestmark = [pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="module")]


@dataclass(frozen=True)
class Site:
    """A cluster with a pool and an enterprise tenant, and the operator that looks after them."""

    cluster: Cluster
    operator: OperatorProcess
    shards: Mapping[str, str]
    """Names of the shards of each group."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with cluster(tmp_path_factory.mktemp("cluster")) as made, Nodes(made).running(), made.operator() as operator:
        await made.app()
        await made.pool(autoscaling={"minReplicas": 1, "maxReplicas": 9})
        await made.namespace("shop")
        await made.tenant("shop", "napoli")
        await made.tenant("shop", "farol", plan="enterprise", enterprise={})
        for name in ("napoli", "farol"):
            await made.becomes(TENANTS, "shop", name, "Acknowledged")
        await made.becomes(POOLS, HOME, "default", "Available")
        number = shard_of(made.numbers["shop/napoli"])
        shards = {"pool-default": f"pool-default-shard-{number:02}", "tenant-farol": "tenant-farol-shard-00"}
        yield Site(made, operator, shards)


@dataclass(frozen=True)
class Target:
    """An object of each group, by what its name ends with, and what a vandal does to it."""

    resource: Resource
    vandal: Callable[[Json], object]
    suffix: str = ""


def _put(*path: str | int, to: Any) -> Callable[[Json], object]:
    def put(document: Json) -> None:
        place: Any = document
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = to

    return put


TARGETS = {
    "ServiceAccount": Target(SERVICE_ACCOUNTS, _put("automountServiceAccountToken", to=True)),
    "key": Target(SECRETS, _put("data", "groupKey", to="AAAA"), "-key"),
    "shard": Target(SECRETS, _put("data", "tenants.json", to="e30="), "-shard"),
    "Service": Target(SERVICES, _put("spec", "selector", to={"app": "evil"})),
    "NetworkPolicy": Target(NETWORK_POLICIES, _put("spec", "ingress", to=[{}])),
    "PodDisruptionBudget": Target(POD_DISRUPTION_BUDGETS, _put("spec", "maxUnavailable", to="100%")),
    "StatefulSet": Target(STATEFUL_SETS, _put("spec", "template", "spec", "containers", 0, "image", to="evil/bot:1")),
    "replicas": Target(STATEFUL_SETS, _put("spec", "replicas", to=7)),
    "HorizontalPodAutoscaler": Target(AUTOSCALERS, _put("spec", "maxReplicas", to=500)),
}
CASES = [
    (namespace, group, target)
    for namespace, group in ((HOME, "pool-default"), ("shop", "tenant-farol"))
    for target in TARGETS
    if (group, target) != ("tenant-farol", "HorizontalPodAutoscaler")
]


def name_of(site: Site, group: str, target: Target) -> str:
    return site.shards[group] if target.suffix == "-shard" else f"{group}{target.suffix}"


def without_history(document: Json) -> Json:
    """Return an object without what the server counts and what others report."""
    counted = {"resourceVersion", "uid", "creationTimestamp", "generation", "managedFields"}
    metadata = {name: value for name, value in document["metadata"].items() if name not in counted}
    rest = {name: value for name, value in document.items() if name not in {"metadata", "status", "secrets"}}
    return {"metadata": metadata, **rest}


async def heals(site: Site, resource: Resource, namespace: str, before: Json) -> None:
    """Wait until an object is what it was, and all is quiet again."""
    name = before["metadata"]["name"]

    async def is_healed() -> bool:
        found = await site.cluster.get(resource, namespace, name)
        return found != {} and without_history(found) == without_history(before)

    await until(is_healed, what=f"{resource.kind} {name} is what it was")
    await until(site.operator.is_settled)


@pytest.mark.parametrize(("namespace", "group", "target"), CASES)
async def test_an_object_that_was_edited_by_hand_heals(site: Site, namespace: str, group: str, target: str) -> None:
    chosen = TARGETS[target]
    before = await site.cluster.get(chosen.resource, namespace, name_of(site, group, chosen))
    vandalised = await site.cluster.get(chosen.resource, namespace, name_of(site, group, chosen))
    chosen.vandal(vandalised)
    assert without_history(vandalised) != without_history(before)
    await site.cluster.admin.replace(chosen.resource, vandalised)
    await heals(site, chosen.resource, namespace, before)


@pytest.mark.parametrize(("namespace", "group", "target"), CASES)
async def test_an_object_that_was_deleted_by_hand_comes_back(
    site: Site, namespace: str, group: str, target: str
) -> None:
    chosen = TARGETS[target]
    before = await site.cluster.get(chosen.resource, namespace, name_of(site, group, chosen))
    assert await site.cluster.admin.delete(chosen.resource, namespace, before["metadata"]["name"])
    await heals(site, chosen.resource, namespace, before)


@pytest.mark.parametrize(("namespace", "group", "target"), CASES)
async def test_an_object_whose_labels_were_removed_is_found_again(
    site: Site, namespace: str, group: str, target: str
) -> None:
    chosen = TARGETS[target]
    before = await site.cluster.get(chosen.resource, namespace, name_of(site, group, chosen))
    stripped = await site.cluster.get(chosen.resource, namespace, name_of(site, group, chosen))
    del stripped["metadata"]["labels"]
    await site.cluster.admin.replace(chosen.resource, stripped)
    await heals(site, chosen.resource, namespace, before)


async def test_annotations_that_were_removed_come_back(site: Site) -> None:
    for chosen in TARGETS.values():
        before = await site.cluster.get(chosen.resource, HOME, name_of(site, "pool-default", chosen))
        stripped = await site.cluster.get(chosen.resource, HOME, name_of(site, "pool-default", chosen))
        del stripped["metadata"]["annotations"]
        await site.cluster.admin.replace(chosen.resource, stripped)
        await heals(site, chosen.resource, HOME, before)


async def test_a_pool_is_scaled_by_its_scale_subresource_and_nobody_puts_it_back(site: Site) -> None:
    config = site.cluster.server.kubeconfig()
    scaling = await asyncio.create_subprocess_exec(
        *(site.cluster.server.kubectl, f"--kubeconfig={config}", f"--namespace={HOME}"),
        *("scale", "botpools/default", "--replicas=5"),
        stdout=asyncio.subprocess.DEVNULL,
    )
    assert await scaling.wait() == 0

    async def is_scaled() -> bool:
        pool = await site.cluster.get(POOLS, HOME, "default")
        return bool(pool["status"]["replicas"] == 5 == pool["status"]["readyReplicas"])

    await until(is_scaled, what="there are five pods, and the pool says so")
    begun = len(site.cluster.server.audit())
    await site.cluster.tenant("shop", "napoli", displayName="Another name")
    tenant = await site.cluster.get(TENANTS, "shop", "napoli")

    async def is_loaded() -> bool:
        found = await site.cluster.get(TENANTS, "shop", "napoli")
        return bool(found["status"]["observedGeneration"] == tenant["metadata"]["generation"])

    await until(is_loaded)
    await site.cluster.becomes(TENANTS, "shop", "napoli", "Acknowledged")
    await until(site.operator.is_settled)
    assert (await site.cluster.get(POOLS, HOME, "default"))["spec"]["replicas"] == 5
    assert (await site.cluster.get(STATEFUL_SETS, HOME, "pool-default"))["spec"]["replicas"] == 5
    written = {entry["objectRef"]["resource"] for entry in site.cluster.writes(begun)}
    assert not written & {"statefulsets", "botpools"}, "nothing about its size was said again"
