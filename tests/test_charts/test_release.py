"""The chart on a real API, by Helm itself: what is installed, upgraded and taken away, and what outlives it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import helm_python as helm
import msgspec
import pytest
import pytest_asyncio

from comanda_contract.resources import BotPool, WhatsAppApp
from comanda_kube.client import Client
from comanda_kube.errors import NotFoundError
from comanda_kube.kubeconfig import from_kubeconfig
from comanda_kube.resources import NAMESPACES, SECRETS, Json, Resource, Selection
from tests.cluster import ApiServer, api_server
from tests.harness import until
from tests.test_charts.chart import CHART, NAMESPACE, RELEASE

pytestmark = [pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="module")]

POOLS = Resource("comanda.dev", "v1alpha1", BotPool.definition.plural, "BotPool")
APPS = Resource("comanda.dev", "v1alpha1", WhatsAppApp.definition.plural, "WhatsAppApp")
CRDS = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False)
DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment")
JOBS = Resource("batch", "v1", "jobs", "Job")

SIMULATED = {"simulator": {"enabled": True}}


class Jobs:
    """Ends each job well, as nodes would: this API has none. `ran` are their names, in order."""

    def __init__(self, admin: Client) -> None:
        self.ran: list[str] = []
        self._admin = admin
        self._seen: set[str] = set()

    async def run(self) -> None:
        while True:
            async for page in self._admin.list(Selection(JOBS, NAMESPACE)):
                for item in page.items:
                    await self._end(msgspec.json.decode(item))
            await asyncio.sleep(0.1)

    async def _end(self, job: Json) -> None:
        described = job["metadata"]
        if described["uid"] in self._seen:
            return
        self._seen.add(described["uid"])
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        conditions = [
            {"type": each, "status": "True", "lastTransitionTime": now, "lastProbeTime": now}
            for each in ("SuccessCriteriaMet", "Complete")
        ]
        status = {"startTime": now, "completionTime": now, "succeeded": 1, "conditions": conditions}
        metadata = {"namespace": NAMESPACE, "name": described["name"]}
        await self._admin.apply_status(JOBS, {"metadata": metadata, "status": status})
        self.ran.append(described["name"])


class Cluster:
    """An API of this test's own, and Helm against it."""

    def __init__(self, server: ApiServer, admin: Client, jobs: Jobs) -> None:
        self.admin = admin
        self.jobs = jobs
        self._kubeconfig = server.kubeconfig()

    async def install(self, values: Json) -> None:
        await self._run(lambda config: config.install(CHART, RELEASE, values, namespace=NAMESPACE, timeout=60))

    async def upgrade(self, values: Json) -> None:
        await self._run(lambda config: config.upgrade(CHART, RELEASE, values, namespace=NAMESPACE, timeout=60))

    async def uninstall(self) -> None:
        await self._run(lambda config: config.uninstall(RELEASE, timeout=60))

    async def _run(self, action: Callable[[helm.Config], Any]) -> None:
        def act() -> None:
            with helm.Config(kubeconfig_path=self._kubeconfig, namespace=NAMESPACE) as config:
                action(config)

        await asyncio.to_thread(act)

    async def find(self, resource: Resource, name: str) -> Json | None:
        try:
            return await self.admin.get(resource, NAMESPACE if resource.namespaced else "", name)
        except NotFoundError:
            return None

    async def is_gone(self, resource: Resource, name: str) -> None:
        async def gone() -> bool:
            return await self.find(resource, name) is None

        await until(gone, what=f"{resource.kind} {name} is gone")


@pytest_asyncio.fixture(loop_scope="module")
async def cluster() -> AsyncIterator[Cluster]:
    async with api_server() as server, Client(from_kubeconfig([server.kubeconfig()]), "tests") as admin:
        await admin.create(NAMESPACES, {"metadata": {"name": NAMESPACE}})
        jobs = Jobs(admin)
        running = asyncio.create_task(jobs.run())
        yield Cluster(server, admin, jobs)
        assert not running.done(), running.exception()
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def test_one_command_makes_crds_and_the_resources_that_need_them_and_the_next_takes_those_over(
    cluster: Cluster,
) -> None:
    await cluster.install(SIMULATED)
    pool, app = await cluster.find(POOLS, "default"), await cluster.find(APPS, "default")
    assert pool is not None
    assert app is not None
    key = await cluster.find(SECRETS, "comanda-master-key")
    password = await cluster.find(SECRETS, "comanda-database")
    await until(lambda: bool(cluster.jobs.ran), what="a new database is migrated beside the rest")
    assert cluster.jobs.ran != ["comanda-migrate"]
    await cluster.upgrade({**SIMULATED, "pool": {"maxTenants": 7}})
    assert cluster.jobs.ran[-1] == "comanda-migrate", "one that is there before the rest"
    again = await cluster.find(POOLS, "default")
    assert again is not None
    assert again["metadata"]["uid"] == pool["metadata"]["uid"], "a pool must never be made anew"
    assert again["spec"]["maxTenants"] == 7
    for before in (key, password):
        assert before is not None
        after = await cluster.find(SECRETS, before["metadata"]["name"])
        assert after is not None
        assert after["data"] == before["data"], "keys and passwords outlive an upgrade"
    await cluster.upgrade({**SIMULATED, "pool": {"enabled": False}})
    await cluster.is_gone(POOLS, "default")
    await cluster.uninstall()
    await cluster.is_gone(DEPLOYMENTS, "comanda-router")
    assert await cluster.find(CRDS, "whatsapptenants.comanda.dev") is not None
    assert await cluster.find(SECRETS, "comanda-master-key") is not None


async def test_a_release_comes_back_to_its_keys_and_crds(cluster: Cluster) -> None:
    await cluster.install(SIMULATED)
    key = await cluster.find(SECRETS, "comanda-master-key")
    await cluster.upgrade(SIMULATED)
    await cluster.uninstall()
    await cluster.install(SIMULATED)
    again = await cluster.find(SECRETS, "comanda-master-key")
    assert key is not None
    assert again is not None
    assert again["data"] == key["data"]
    assert await cluster.find(POOLS, "default") is not None


async def test_without_keep_the_crds_go_with_the_release(cluster: Cluster) -> None:
    values = {"crds": {"keep": False}}
    await cluster.install(values)
    assert await cluster.find(CRDS, "botpools.comanda.dev") is not None
    await cluster.uninstall()

    async def ends() -> bool:
        crd = await cluster.find(CRDS, "botpools.comanda.dev")
        return crd is None or "deletionTimestamp" in crd["metadata"]

    await until(ends, what="the CRD is gone")
