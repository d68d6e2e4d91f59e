"""What the tests of a cluster share: the installation, restaurants, customers, and what came of it all."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import helm_python as helm
import msgspec
import pytest

from comanda_kube.client import Client
from comanda_kube.errors import NotFoundError
from comanda_kube.kubeconfig import from_kubeconfig
from comanda_kube.resources import CONFIG_MAPS, NAMESPACES, PODS, SECRETS, Json, Resource, Selection
from comanda_operator.reconcile import TENANTS
from tests.e2e.cluster.existing import ExistingCluster
from tests.e2e.customers import Customers
from tests.harness import until
from tests.kind import Engine, KindCluster, kind_cluster
from tests.kind.engine import EngineError
from tests.kind.images import HANDLER, REGISTRY, comanda_images, handler_image, postgres_image
from tests.test_charts.chart import CHART, NAMESPACE, RELEASE
from tests.torture.checkers import judge
from tests.torture.history import WAITING, History, Send

MENU = (Path(__file__).parents[2] / "test_flow" / "pizzeria.yaml").read_text() + "accept_when_closed: true\n"
SOURCE = {"comanda.dev/source": "true"}
NUMBERS = tuple(str(106_000_000 + index) for index in range(10))
"""Numbers that the simulator has; the token of each is `token-NUMBER`."""
POOL_PODS = "comanda.dev/group=pool-default"
OWN_NAMESPACE = "parrilla"
"""A namespace for restaurants with pods of their own."""
NODE_PORT = 30090
CONTROL_PLANE = {"node-role.kubernetes.io/control-plane": ""}
VOLUMES = Resource("", "v1", "persistentvolumes", "PersistentVolume", namespaced=False)
SERVICES = Resource("", "v1", "services", "Service")
POLICIES = Resource("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy")
_VOLUMES_EACH = 4
_SMALL = {"requests": {"cpu": "50m"}}
VALUES: Mapping[str, Any] = {
    "simulator": {
        "enabled": True,
        "numbers": [
            {
                "phoneNumberId": number,
                "wabaId": "102290129340398",
                "displayName": f"Pizzería {number}",
                "displayPhoneNumber": f"+569{number}",
                "accessToken": f"token-{number}",
            }
            for number in NUMBERS
        ],
        "resources": _SMALL,
    },
    "operator": {"resources": _SMALL, "settings": {"metaCheckHours": 0.0}},
    "router": {"resources": _SMALL, "topologyKey": "kubernetes.io/hostname"},
    "pool": {"resources": _SMALL, "topologyKey": "kubernetes.io/hostname"},
    "database": {"bundled": {"storage": {"size": "1Gi"}, "resources": _SMALL}},
}
ON_KIND: Mapping[str, Any] = {
    "image": {"registry": REGISTRY, "pullPolicy": "Never"},
    # A test takes the other node away.
    "simulator": {"nodeSelector": CONTROL_PLANE},
    "database": {"bundled": {"nodeSelector": CONTROL_PLANE}},
}


@dataclass(kw_only=True)
class Town(Customers):
    """An installation that restaurants and customers use."""

    site: KindCluster | ExistingCluster
    api: Client
    values: Mapping[str, Any]
    """What the chart is installed with."""
    handler: str
    """Image of the example of a handler; "" where there is none."""

    @property
    def kind(self) -> KindCluster:
        """The cluster, for tests that work on its nodes or take everything away; those are for our own alone."""
        if not isinstance(self.site, KindCluster):
            pytest.skip(
                "it works on nodes or takes everything away, which is done to a cluster of the tests' own alone"
            )
        return self.site

    # The installation.

    async def prepare(self) -> None:
        """Make what an empty cluster lacks: namespaces, and in one of ours volumes and a way to the simulator."""
        for namespace in (NAMESPACE, OWN_NAMESPACE):
            await self.api.create(NAMESPACES, {"metadata": {"name": namespace, "labels": RESTRICTED}})
        if not isinstance(self.site, KindCluster):
            return
        for node in self.kind.nodes * _VOLUMES_EACH:
            name = f"volume-{secrets.token_hex(4)}"
            path = f"/data/{name}"
            await asyncio.to_thread(self.kind.engine.docker, "exec", node, "mkdir", "-p", path)
            affinity = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
            volume = {
                "capacity": {"storage": "10Gi"},
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": "standard",
                "local": {"path": path},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [affinity]}]}},
            }
            await self.api.create(VOLUMES, {"metadata": {"name": name}, "spec": volume})
        ports = [{"port": 8090, "targetPort": "http", "nodePort": NODE_PORT}]
        selector = {"app.kubernetes.io/instance": RELEASE, "app.kubernetes.io/component": "simulator"}
        spec = {"type": "NodePort", "selector": selector, "ports": ports}
        await self.api.create(SERVICES, {"metadata": {"namespace": NAMESPACE, "name": "outside"}, "spec": spec})
        # Customers are not in the cluster, and the chart's policies let nobody in from there but to the router.
        ingress = [{"ports": [{"port": "http"}]}]
        policy = {"podSelector": {"matchLabels": selector}, "policyTypes": ["Ingress"], "ingress": ingress}
        await self.api.create(POLICIES, {"metadata": {"namespace": NAMESPACE, "name": "outside"}, "spec": policy})

    async def lose_everything(self) -> None:
        """Take away all that anybody has brought into the cluster, data and CRDs too."""
        await self.helm(lambda config: config.uninstall(RELEASE, timeout=120))
        kubectl = self.kind.kubectl
        for command in (
            ["delete", "customresourcedefinition", "--all"],
            ["delete", "namespace", NAMESPACE, OWN_NAMESPACE],
            ["delete", "persistentvolume", "--all"],
        ):
            await asyncio.to_thread(kubectl, *command, "--timeout=180s", seconds=190)

    async def helm(self, act: Callable[[helm.Config], Any]) -> None:
        """Have Helm do something."""

        def run() -> None:
            with helm.Config(kubeconfig_path=self.site.kubeconfig, namespace=NAMESPACE) as config:
                act(config)

        await asyncio.to_thread(run)

    async def install(self, more: Mapping[str, Any] | None = None) -> None:
        """Install the chart, with more values laid over, and wait until all of it runs."""
        values = dict(with_values(self.values, more or {}))
        await self.helm(
            lambda config: config.install(CHART, RELEASE, values, namespace=NAMESPACE, timeout=300, wait="watcher")
        )

    async def upgrade(self, values: Mapping[str, Any]) -> None:
        """Upgrade the release and wait until all of it runs."""
        await self.helm(
            lambda config: config.upgrade(
                CHART, RELEASE, dict(values), namespace=NAMESPACE, timeout=300, wait="watcher"
            )
        )

    async def get(self, resource: Resource, name: str, namespace: str = NAMESPACE) -> Json:
        """Return an object, or {} when there is none."""
        try:
            return await self.api.get(resource, namespace if resource.namespaced else "", name)
        except NotFoundError:
            return {}

    async def pods(self, labels: str, namespace: str = NAMESPACE) -> list[Json]:
        """Return the pods with these labels that are not ending."""
        return [
            pod
            async for page in self.api.list(Selection(PODS, namespace, labels))
            for item in page.items
            if "deletionTimestamp" not in (pod := json.loads(bytes(item)))["metadata"]
        ]

    async def ready_pods(self, labels: str, namespace: str = NAMESPACE) -> list[str]:
        """Return the names of the pods with these labels that are ready."""
        return [
            pod["metadata"]["name"]
            for pod in await self.pods(labels, namespace)
            if any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", ()))
        ]

    async def pod(self, name: str, namespace: str = NAMESPACE) -> Json:
        """Return one pod."""
        return await self.get(PODS, name, namespace)

    async def run_pod(self, name: str, spec: Mapping[str, Any]) -> None:
        """Start a pod beside the installation and wait until it runs."""
        await self.api.create(PODS, {"metadata": {"namespace": NAMESPACE, "name": name}, "spec": dict(spec)})

        async def runs() -> bool:
            return name in await self.ready_pods("")

        await until(runs, 60, f"{name} runs")

    async def restart(self, name: str) -> None:
        """Replace all pods of a workload such as `deployment/comanda-router`, as an upgrade does."""
        kubectl, namespace = self.site.kubectl, f"--namespace={NAMESPACE}"
        await asyncio.to_thread(kubectl, "rollout", "restart", name, namespace)
        await asyncio.to_thread(kubectl, "rollout", "status", name, namespace, "--timeout=300s", seconds=310)

    # Restaurants.

    async def secret(self, name: str, namespace: str = NAMESPACE, **values: str) -> None:
        """Apply a Secret that a resource may name."""
        data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
        metadata = {"namespace": namespace, "name": name, "labels": SOURCE}
        await self.api.apply(SECRETS, {"metadata": metadata, "data": data})

    async def open(self, number: str, *, namespace: str = NAMESPACE, token: str = "", **spec: Any) -> None:
        """Apply a restaurant with one of the simulator's numbers; it is called `t` and the number."""
        await self.secret(f"t{number}-token", namespace, accessToken=token or f"token-{number}")
        metadata = {"namespace": namespace, "name": "menu", "labels": SOURCE}
        await self.api.apply(CONFIG_MAPS, {"metadata": metadata, "data": {"restaurant.yaml": MENU}})
        body = {
            "phoneNumberId": number,
            "wabaId": "102290129340398",
            "displayName": f"Pizzería {number}",
            "credentials": {"secretRef": {"name": f"t{number}-token"}},
            "flow": {"configMapRef": {"name": "menu"}},
            "locale": "es-CL",
            "timezone": "America/Santiago",
            "currency": "CLP",
            **spec,
        }
        await self.api.apply(TENANTS, {"metadata": {"namespace": namespace, "name": f"t{number}"}, "spec": body})

    async def is_open(self, number: str, namespace: str = NAMESPACE, seconds: float = 60.0) -> Json:
        """Wait until a restaurant is ready; return it."""

        async def ready() -> bool:
            found = await self.get(TENANTS, f"t{number}", namespace)
            conditions = found.get("status", {}).get("conditions", ())
            return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)

        await until(ready, seconds, f"t{number} is ready")
        return await self.get(TENANTS, f"t{number}", namespace)

    async def scale(self, replicas: int) -> None:
        """Give the pool so many pods."""
        patch = json.dumps({"spec": {"replicas": replicas}})
        command = ["patch", "botpool", "default", f"--namespace={NAMESPACE}", "--type=merge", f"--patch={patch}"]
        await asyncio.to_thread(self.site.kubectl, *command)

    # What came of it.

    async def sql(self, statement: str) -> list[list[Any]]:
        """Return the rows of a statement, in the database of the pools."""
        wrapped = f"select coalesce(json_agg(row_to_json(r)), '[]') from ({statement}) r"
        where = ["exec", f"--namespace={NAMESPACE}", "comanda-database-0", "--container=postgresql", "--"]
        options = ["--host=127.0.0.1", "--username=postgres", "--dbname=comanda", "--no-align", "--tuples-only"]
        psql = ["sh", "-c", 'PGPASSWORD="$POSTGRES_PASSWORD" exec psql "$@"', "psql", *options]
        said = await asyncio.to_thread(self.site.kubectl, *where, *psql, f"--command={wrapped}")
        return [list(row.values()) for row in msgspec.json.decode(said)]

    async def settle(self) -> None:
        """Wait until all that was stored has been handled and nothing is left to be sent."""

        async def done() -> bool:
            with suppress(EngineError, aiohttp.ClientError):
                return await self.sql(WAITING) == [[0]] and (await self.stats())["webhooks"]["pending"] == 0
            return False

        await until(done, 90, "everything is handled")

    async def history(self, *numbers: str) -> History:
        """Return all that happened to restaurants of the pool, as the checkers of promises want it."""
        history = History(0, webhooks=[webhook for webhook in self.webhooks if webhook.number in numbers])
        await history.read(self.sql)
        # Other restaurants of the pool have their own tests.
        history.inbox = [row for row in history.inbox if row.number in numbers]
        history.outbox = [row for row in history.outbox if row.number in numbers]
        stored = {row.id for row in history.inbox}
        history.orders = [row for row in history.orders if row.inbox in stored]
        for number in numbers:
            for entry in await self.ledger(phone_number_id=number, direction="out"):
                payload = entry["payload"]
                tag = int(payload["biz_opaque_callback_data"].rpartition(":")[2])
                body = json.dumps({key: value for key, value in payload.items() if key != "to"}, ensure_ascii=False)
                # The simulator takes no other token for the number.
                send = Send(tag, number, entry["customer"], f"token-{number}", body, entry["at"])
                history.sends.append(send)
        return history

    async def broken(self, *numbers: str) -> list[str]:
        """Return every promise to customers of these restaurants of the pool that was broken so far."""
        await self.settle()
        return judge(await self.history(*numbers))


@contextmanager
def built_site(engine: Engine) -> Iterator[KindCluster]:
    """Give a cluster whose nodes have this checkout's images; pods may run on both nodes."""
    ours = comanda_images(engine)
    images = [*ours.values(), handler_image(engine, ours["botpod"]), postgres_image(engine)]
    with kind_cluster(engine) as made:
        made.load(*images)
        made.kubectl("taint", "node", made.nodes[0], "node-role.kubernetes.io/control-plane-")
        yield made


@asynccontextmanager
async def town_on(site: KindCluster | ExistingCluster) -> AsyncIterator[Town]:
    """Give a town with nothing in it, not even the installation."""
    async with Client(from_kubeconfig([site.kubeconfig]), "tests") as api, aiohttp.ClientSession() as session:
        if isinstance(site, KindCluster):
            # By a port of the first node: it is there also while the API is away.
            simulator = f"http://{site.address(site.nodes[0])}:{NODE_PORT}"
            values = with_values(VALUES, ON_KIND)
            made = Town(site=site, api=api, session=session, simulator=simulator, values=values, handler=HANDLER)
            await made.prepare()
            yield made
        else:
            values = with_values(VALUES, {"image": {"registry": site.registry}})
            try:
                async with site.forwarded("comanda-simulator", 8090) as simulator:
                    made = Town(
                        site=site, api=api, session=session, simulator=simulator, values=values, handler=site.handler
                    )
                    await made.prepare()
                    yield made
            finally:
                for namespace in (NAMESPACE, OWN_NAMESPACE):
                    await api.delete(NAMESPACES, "", namespace)


def with_values(values: Mapping[str, Any], more: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return values with more of them laid over, as Helm lays one file over another."""
    laid = dict(values)
    for key, value in more.items():
        before = laid.get(key)
        laid[key] = with_values(before, value) if isinstance(before, Mapping) and isinstance(value, Mapping) else value
    return laid


RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
