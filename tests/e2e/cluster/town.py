"""What the tests of a cluster share: the installation, restaurants, customers, and what came of it all."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import helm_python as helm
import msgspec

from comanda_kube.client import Client
from comanda_kube.errors import NotFoundError
from comanda_kube.resources import CONFIG_MAPS, NAMESPACES, PODS, SECRETS, Json, Resource, Selection
from comanda_operator.reconcile import TENANTS
from tests.harness import until
from tests.kind import KindCluster
from tests.kind.engine import EngineError
from tests.kind.images import REGISTRY
from tests.test_charts.chart import CHART, NAMESPACE, RELEASE
from tests.torture.checkers import judge
from tests.torture.history import History, InboxRow, OrderRow, OutboxRow, Send, Webhook

MENU = (Path(__file__).parents[2] / "test_flow" / "pizzeria.yaml").read_text() + "accept_when_closed: true\n"
ORDER = ("Hola, quiero 2 margarita y 1 coca cola", "retiro", "sí")
SOURCE = {"comanda.dev/source": "true"}
NUMBERS = tuple(str(106_000_000 + index) for index in range(8))
"""Numbers that the simulator has; the token of each is `token-NUMBER`."""
NODE_PORT = 30090
CONTROL_PLANE = {"node-role.kubernetes.io/control-plane": ""}
VOLUMES = Resource("", "v1", "persistentvolumes", "PersistentVolume", namespaced=False)
SERVICES = Resource("", "v1", "services", "Service")
_VOLUMES_EACH = 4
_SMALL = {"requests": {"cpu": "50m"}}
VALUES: Mapping[str, Any] = {
    "image": {"registry": REGISTRY, "pullPolicy": "Never"},
    "simulator": {
        "enabled": True,
        "nodeSelector": CONTROL_PLANE,
        "numbers": [
            {
                "phoneNumberId": number,
                "wabaId": "102290129340398",
                "displayName": f"Pizzeria {number}",
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
    "database": {"bundled": {"nodeSelector": CONTROL_PLANE, "storage": {"size": "1Gi"}, "resources": _SMALL}},
}


@dataclass
class Town:
    """An installation that restaurants and customers use."""

    site: KindCluster
    api: Client
    session: aiohttp.ClientSession
    simulator: str
    """URL of Meta's side, by a port of the first node: it is there also while the API is away."""
    webhooks: list[Webhook] = field(default_factory=list)
    """All that customers wrote, and when it was acknowledged."""
    _serial: int = 0

    # The installation.

    async def prepare(self) -> None:
        """Make what a cluster without a provisioner lacks, volumes, and a way to the simulator."""
        await self.api.create(NAMESPACES, {"metadata": {"name": NAMESPACE, "labels": RESTRICTED}})
        for number, node in enumerate(self.site.nodes * _VOLUMES_EACH):
            path = f"/data/volume-{number}"
            await asyncio.to_thread(self.site.engine.docker, "exec", node, "mkdir", "-p", path)
            affinity = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
            volume = {
                "capacity": {"storage": "10Gi"},
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": "standard",
                "local": {"path": path},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [affinity]}]}},
            }
            await self.api.create(VOLUMES, {"metadata": {"name": f"volume-{number}"}, "spec": volume})
        ports = [{"port": 8090, "targetPort": "http", "nodePort": NODE_PORT}]
        selector = {"app.kubernetes.io/instance": RELEASE, "app.kubernetes.io/component": "simulator"}
        spec = {"type": "NodePort", "selector": selector, "ports": ports}
        await self.api.create(SERVICES, {"metadata": {"namespace": NAMESPACE, "name": "outside"}, "spec": spec})

    async def helm(self, act: Callable[[helm.Config], Any]) -> None:
        """Have Helm do something."""

        def run() -> None:
            with helm.Config(kubeconfig_path=self.site.kubeconfig, namespace=NAMESPACE) as config:
                act(config)

        await asyncio.to_thread(run)

    async def install(self, values: Mapping[str, Any] = VALUES) -> None:
        """Install the chart and wait until all of it runs."""
        await self.helm(
            lambda config: config.install(
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

    # Customers.

    def customer(self) -> str:
        """Return the phone of somebody who has not written yet."""
        self._serial += 1
        return f"5691{self._serial:07}"

    async def write(self, number: str, phone: str, text: str) -> str:
        """Let a customer write; returns the message's id once its webhook was acknowledged, Meta's repeats included."""
        message = {"type": "text", "text": {"body": text}}
        body = {"phone_number_id": number, "from": phone, "name": "Ana", "message": message}
        webhook = Webhook("", number, phone, text, time.monotonic(), sent=int(time.time()))
        async with self.session.post(f"{self.simulator}/simulator/messages?wait=acked&timeout=60", json=body) as answer:
            assert answer.status == 200, await answer.text()
            said = await answer.json()
        assert said["acked"], f"the webhook of {said['wamid']} was not acknowledged"
        webhook.wamid, webhook.acked = str(said["wamid"]), time.monotonic()
        self.webhooks.append(webhook)
        return webhook.wamid

    async def replies(self, number: str, phone: str) -> list[Json]:
        """Return what a customer was sent."""
        return [
            entry["payload"] for entry in await self.ledger(phone_number_id=number, customer=phone, direction="out")
        ]

    async def ledger(self, **filters: str) -> list[Json]:
        """Return all that went between customers and bots, oldest first."""
        entries: list[Json] = []
        while True:
            query = {"after": str(entries[-1]["seq"] if entries else 0), **filters}
            async with self.session.get(f"{self.simulator}/simulator/ledger", params=query) as answer:
                page = await answer.json()
            if not page:
                return entries
            entries += page

    async def say(self, number: str, phone: str, text: str, seconds: float = 60.0) -> str:
        """Write and wait for what the bot says to it; returns that as JSON."""
        before = len(await self.replies(number, phone))
        await self.write(number, phone, text)

        async def answered() -> bool:
            return len(await self.replies(number, phone)) > before

        await until(answered, seconds, f"{phone} has a reply to {text!r}")
        return json.dumps((await self.replies(number, phone))[-1], ensure_ascii=False)

    async def order(self, number: str, phone: str = "") -> None:
        """Be a customer who orders once."""
        phone = phone or self.customer()
        for text in ORDER:
            await self.say(number, phone, text)

    async def stats(self) -> Json:
        """Return the simulator's counts."""
        async with self.session.get(f"{self.simulator}/simulator/stats") as answer:
            found: Json = await answer.json()
            return found

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
        waiting = (
            "select (select count(*) from inbox where state = 'pending')"
            " + (select count(*) from outbox where state in ('queued', 'sending')"
            " or (state = 'unknown' and owner <> '')) as waiting"
        )

        async def done() -> bool:
            with suppress(EngineError, aiohttp.ClientError):
                return await self.sql(waiting) == [[0]] and (await self.stats())["webhooks"]["pending"] == 0
            return False

        await until(done, 90, "everything is handled")

    async def history(self, *numbers: str) -> History:
        """Return all that happened to restaurants of the pool, as the checkers of promises want it."""
        history = History(0, webhooks=[webhook for webhook in self.webhooks if webhook.number in numbers])
        inbox = "select id, tenant, phone_number_id, wamid, customer_id, state, attempts from inbox order by id"
        history.inbox = [InboxRow(*row) for row in await self.sql(inbox)]
        outbox = "id, tenant, phone_number_id, customer_id, inbox_id, state, attempts, ambiguous, payload"
        history.outbox = [OutboxRow(*row) for row in await self.sql(f"select {outbox} from outbox order by id")]
        orders = "select id, tenant, inbox_id, customer_id, total from orders order by id"
        history.orders = [OrderRow(*row) for row in await self.sql(orders)]
        phones = "select customer_id, value from customer_aliases where kind = 'phone'"
        history.phones = {int(customer): str(phone) for customer, phone in await self.sql(phones)}
        for number in numbers:
            for entry in await self.ledger(phone_number_id=number, direction="out"):
                payload = entry["payload"]
                tag = int(payload["biz_opaque_callback_data"].rpartition(":")[2])
                body = json.dumps({key: value for key, value in payload.items() if key != "to"}, ensure_ascii=False)
                # The simulator takes no other token for the number.
                send = Send(tag, number, entry["customer"], f"token-{number}", body, entry["at"])
                history.sends.append(send)
        return history

    async def kept_its_promises(self, *numbers: str) -> None:
        """Fail with every promise to customers of these restaurants of the pool that was broken so far."""
        await self.settle()
        assert not judge(await self.history(*numbers))


RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
