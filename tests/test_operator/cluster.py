"""A real API with our CRDs, the operator as a process of its own with the chart's rights, and nodes for its pods."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from itertools import count
from pathlib import Path
from random import randrange
from typing import Any

import aiohttp
import yaml
from aiohttp import web

from comanda_contract.names import group_key
from comanda_contract.tenancy import shard_digest
from comanda_kube.client import Client
from comanda_kube.errors import AlreadyExistsError, ApiError, NotFoundError
from comanda_kube.kubeconfig import from_kubeconfig
from comanda_kube.resources import (
    NAMESPACES,
    PODS,
    SECRETS,
    SERVICE_ACCOUNTS,
    STATEFUL_SETS,
    Json,
    Resource,
    Selection,
)
from comanda_operator.manifests.group import KINDS
from comanda_operator.reconcile import APPS, POOLS, TENANTS
from tests.cluster import ApiServer, reused_api_server
from tests.cluster.processes import LEASH, free_port
from tests.harness import until
from tests.test_router.directory_cluster import BINDINGS, CLUSTER_ROLES, install

ROOT = Path(__file__).parents[2]
HOME = "comanda"
MASTER_KEY = bytes(range(32))
SOURCE = {"comanda.dev/source": "true"}
TOKEN = "canary-access-token"
ROLES = Resource("rbac.authorization.k8s.io", "v1", "roles", "Role")
ROLE_BINDINGS = Resource("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding")

_numbers = count(100_000_000)


@dataclass
class Cluster:
    """What a test needs of a cluster: its API as an administrator, and ways to put things there."""

    server: ApiServer
    admin: Client
    folder: Path
    token: str
    session: aiohttp.ClientSession
    numbers: dict[str, str] = field(default_factory=dict)

    async def namespace(self, name: str = "", **labels: str) -> str:
        name = name or f"shop-{secrets.token_hex(3)}"
        await self.admin.create(NAMESPACES, {"metadata": {"name": name, "labels": labels}})
        return name

    async def secret(self, namespace: str, name: str, **values: str) -> None:
        metadata = {"namespace": namespace, "name": name, "labels": SOURCE}
        data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
        await self.admin.apply(SECRETS, {"metadata": metadata, "data": data})

    async def app(self, name: str = "default") -> None:
        await self.secret(HOME, f"app-{name}", appSecret="canary-app-secret", verifyToken="canary-verify-token")
        spec = {"appId": "1029384756", "secretRef": {"name": f"app-{name}"}}
        await self.admin.apply(APPS, {"metadata": {"namespace": HOME, "name": name}, "spec": spec})

    async def pool(self, name: str = "default", **spec: Any) -> None:
        await self.secret(HOME, f"{name}-database", url="postgresql+asyncpg://u:canary-password@db/comanda")
        body = {"replicas": 2, "database": {"name": f"{name}-database"}, **spec}
        await self.admin.apply(POOLS, {"metadata": {"namespace": HOME, "name": name}, "spec": body})

    async def tenant(self, namespace: str, name: str, *, token: str = TOKEN, **spec: Any) -> None:
        """Apply a tenant, with its Secret unless `token` is empty."""
        if token:
            await self.secret(namespace, f"{name}-token", accessToken=token)
        number = self.numbers.setdefault(f"{namespace}/{name}", str(next(_numbers)))
        body = {
            "phoneNumberId": number,
            "wabaId": "102290129340398",
            "displayName": f"Pizzería {name}",
            "credentials": {"secretRef": {"name": f"{name}-token"}},
            **spec,
        }
        await self.admin.apply(TENANTS, {"metadata": {"namespace": namespace, "name": name}, "spec": body})

    async def get(self, resource: Resource, namespace: str, name: str) -> Json:
        """Return an object, or {} when there is none."""
        try:
            return await self.admin.get(resource, namespace, name)
        except NotFoundError:
            return {}

    async def all(self, resource: Resource, namespace: str = "", labels: str = "") -> list[Json]:
        return [
            json.loads(bytes(item))
            async for page in self.admin.list(Selection(resource, namespace, labels))
            for item in page.items
        ]

    async def objects_of(self, group: str) -> dict[tuple[str, str], Json]:
        """Return all objects of a group (`namespace/name`) by kind and name, shards among them."""
        namespace, _, name = group.partition("/")
        return {
            (kind, each["metadata"]["name"]): each
            for kind, resource in KINDS.items()
            for each in await self.all(resource, namespace, f"comanda.dev/group={name}")
        }

    async def condition(self, resource: Resource, namespace: str, name: str, type_: str = "Ready") -> tuple[str, str]:
        """Return status and reason of a condition."""
        status = (await self.get(resource, namespace, name)).get("status", {})
        found: Json = next((each for each in status.get("conditions", ()) if each["type"] == type_), {})
        return found.get("status", ""), found.get("reason", "")

    async def becomes(
        self, resource: Resource, namespace: str, name: str, reason: str, type_: str = "Ready", *, seconds: float = 30
    ) -> Json:
        """Wait until a condition has this reason; return the object."""

        async def has_become() -> bool:
            return (await self.condition(resource, namespace, name, type_))[1] == reason

        await until(has_become, seconds, f"{type_} of {name} is {reason}")
        return await self.get(resource, namespace, name)

    async def shard(self, group: str, number: int, namespace: str = HOME) -> dict[str, Any]:
        """Return what a shard holds."""
        secret = await self.get(SECRETS, namespace, f"{group}-shard-{number:02}")
        return {name: json.loads(base64.b64decode(value)) for name, value in secret.get("data", {}).items()}

    async def erasing(self, group: str = "pool-default") -> set[str]:
        """Return the tenants whose data a pool's pods are told to erase."""
        found = [await self.shard(group, number) for number in range(16)]
        return {each["tenant"] for shard in found if shard for each in shard["tenants.json"]["erase"]}

    def asked(self, since: int = 0, token: str = "") -> list[dict[str, Any]]:
        """Return what operators asked of the API, or the one alone that has a token."""
        return [
            entry
            for entry in self.server.audit()[since:]
            if entry["user"]["username"] == f"system:serviceaccount:{HOME}:operator"
            and (not token or entry["user"]["extra"][_CREDENTIAL] == [credential_of(token)])
        ]

    def writes(self, since: int = 0, token: str = "") -> list[dict[str, Any]]:
        """Return what operators wrote, Leases and Events aside, or the one alone that has a token."""
        return [
            entry
            for entry in self.asked(since, token)
            if entry["verb"] not in {"get", "list", "watch"}
            and entry["objectRef"]["resource"] not in {"leases", "events"}
        ]

    @asynccontextmanager
    async def operator(
        self,
        name: str = "operator-0",
        port: int | None = None,
        *,
        token: str = "",
        environment: Mapping[str, str] | None = None,
        **settings: str,
    ) -> AsyncIterator[OperatorProcess]:
        """Run a replica, straight at the API or behind a proxy's port; with a token of its own it is told apart."""
        key = self.folder / "master.key"
        key.write_text(MASTER_KEY.hex())
        process = OperatorProcess(name, free_port(), self.session, self.folder / f"{name}.log")
        told = {
            "NAMESPACE": HOME,
            "IDENTITY": name,
            "MASTER_KEY_FILE": str(key),
            "HEALTH_PORT": str(process.port),
            "POD_PORT": str(Nodes.port),
            "LEASE_SECONDS": "3",
            "META_CHECK_HOURS": "0",
            **settings,
        }
        prefixed = {f"COMANDA_OPERATOR_{key}": value for key, value in told.items()}
        config = self.server.kubeconfig(port, token=token or self.token)
        await process.start({**os.environ, **prefixed, **(environment or {}), "KUBECONFIG": str(config)})
        try:
            yield process
        finally:
            await process.end()


class OperatorProcess:
    """One replica."""

    def __init__(self, name: str, port: int, session: aiohttp.ClientSession, log: Path) -> None:
        self.name = name
        self.port = port
        self.log = log
        self._session = session
        self._process: asyncio.subprocess.Process | None = None

    @property
    def process(self) -> asyncio.subprocess.Process:
        assert self._process is not None
        return self._process

    async def start(self, environment: dict[str, str]) -> None:
        self._environment = environment
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *LEASH, sys.executable, "-m", "comanda_operator", env=environment, stderr=log, cwd=ROOT
            )

    async def again(self) -> None:
        """Start it anew after it has ended."""
        await self.start(self._environment)

    async def kill(self) -> None:
        """End it as a power failure would."""
        self.process.kill()
        await self.process.wait()

    def freeze(self) -> None:
        """Let it stand still, as a machine that is swapping or suspended does."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    async def end(self) -> int:
        """End it with SIGTERM; returns its exit code."""
        if self.process.returncode is None:
            self.process.terminate()
            self.thaw()
        return await self.wait()

    async def wait(self) -> int:
        """Wait until it has ended; returns its exit code."""
        return await asyncio.wait_for(self.process.wait(), 30)

    async def health(self) -> dict[str, Any]:
        try:
            async with self._session.get(f"http://127.0.0.1:{self.port}/healthz") as answer:
                said: dict[str, Any] = await answer.json()
                return said
        except aiohttp.ClientError:
            return {}

    async def leads(self) -> bool:
        return bool((await self.health()).get("leading"))

    async def is_idle(self) -> bool:
        """Tell whether it has nothing to do. One that has just begun to lead has, before it knows what."""
        said = await self.health()
        is_aware = said.get("synced") and (said["began"] or not said["leading"])
        return bool(is_aware) and not said["waiting"] and not said["working"]

    async def is_settled(self) -> bool:
        """Tell whether it leads, has nothing to do, and all pods have what they should have."""
        said = await self.health()
        return bool(said.get("leading")) and not said["outstanding"] and await self.is_idle()


class Nodes:
    """Stands where scheduler and kubelet stand: makes the pods of StatefulSets, and lets them load their Secrets.

    A pod has a loopback address of its own and answers `/readyz` there with the digests of the shards that it has
    loaded, as bot pods do. It loads when it starts and when it is touched: kubelets look at once then.
    """

    port = 18_081

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._addresses = count(randrange(2**16, 2**23))
        self.frozen = False
        """Whether nothing is loaded any more, as on nodes that hang."""
        self.loaded: dict[str, dict[str, str]] = {}
        self.last_messages: dict[str, int] = {}
        """What pods say of when messages came, by number."""
        self.asked = asyncio.Event()
        """Set whenever a pod was asked of it."""
        self.raw_activity: bytes | None = None
        """What they say instead, as pods of a hostile image may."""
        self._seen: dict[str, str] = {}
        self._stack = AsyncExitStack()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Nodes]:
        task = asyncio.create_task(self._run())
        try:
            yield self
            assert not task.done(), task.exception()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self._stack.aclose()

    async def _run(self) -> None:
        while True:
            with suppress(ApiError):  # nodes outlast an API that is away
                sets = await self._cluster.all(STATEFUL_SETS)
                for stateful in sets:
                    await self._keep(stateful)
                await self._remove_orphans({each["metadata"]["uid"] for each in sets})
            await asyncio.sleep(0.05)

    async def _remove_orphans(self, sets: set[str]) -> None:
        """Remove the pods of StatefulSets that are gone, as the API's garbage collector does."""
        for pod in await self._cluster.all(PODS, labels="comanda.dev/group"):
            metadata = pod["metadata"]
            if metadata.get("annotations", {}).get(_OWNER) not in sets:
                await self._end(metadata["namespace"], metadata["name"])

    async def _keep(self, stateful: Json) -> None:
        namespace, name = stateful["metadata"]["namespace"], stateful["metadata"]["name"]
        labels = stateful["spec"]["template"]["metadata"]["labels"]
        selector = ",".join(f"{key}={value}" for key, value in stateful["spec"]["selector"]["matchLabels"].items())
        pods = {pod["metadata"]["name"]: pod for pod in await self._cluster.all(PODS, namespace, selector)}
        wanted = [f"{name}-{ordinal}" for ordinal in range(stateful["spec"]["replicas"])]
        for pod in pods.keys() - set(wanted):
            await self._end(namespace, pod)
        for pod in wanted:
            if pod not in pods:
                await self._start(stateful, pod)
            elif not self.frozen:
                await self._load(pods[pod], labels)
        uid = stateful["metadata"]["uid"]
        ready = sum(pod["metadata"].get("annotations", {}).get(_OWNER) == uid for pod in pods.values())
        status = {"replicas": len(wanted), "readyReplicas": ready, "observedGeneration": 1}
        if stateful.get("status", {}).get("readyReplicas") != ready:
            body = {"metadata": {"namespace": namespace, "name": name}, "status": status}
            await self._cluster.admin.apply_status(STATEFUL_SETS, body)

    async def _start(self, stateful: Json, name: str) -> None:
        namespace, labels = stateful["metadata"]["namespace"], stateful["spec"]["template"]["metadata"]["labels"]
        address = str(ip_address("127.0.0.0") + next(self._addresses))
        owner = {_OWNER: stateful["metadata"]["uid"]}
        body = {
            "metadata": {"namespace": namespace, "name": name, "labels": labels, "annotations": owner},
            "spec": {**_with_claims(stateful, name), "hostname": name},
        }
        try:
            await self._cluster.admin.create(PODS, body)
        except AlreadyExistsError:
            return
        await self._serve(stateful, f"{namespace}/{name}", address)
        status = {
            "phase": "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "conditions": [{"type": "Ready", "status": "True"}],
        }
        await self._cluster.admin.apply_status(
            PODS, {"metadata": {"namespace": namespace, "name": name}, "status": status}
        )

    async def _end(self, namespace: str, name: str) -> None:
        await self._cluster.admin.delete(PODS, namespace, name)

    async def _serve(self, stateful: Json, key: str, address: str) -> None:
        """Answer as a pod does."""
        namespace, labels = key.partition("/")[0], stateful["spec"]["template"]["metadata"]["labels"]
        self.loaded[key] = {}
        app = web.Application()

        async def readyz(_: web.Request) -> web.Response:
            return web.json_response({"ready": True, "shards": self.loaded[key]})

        async def activity(request: web.Request) -> web.Response:
            group = f"{namespace}/{labels['comanda.dev/group']}"
            key = group_key(MASTER_KEY, group, labels["comanda.dev/group-uid"])
            assert request.headers["Authorization"] == f"Bearer {key}"
            self.asked.set()
            if self.raw_activity is not None:
                return web.Response(body=self.raw_activity)
            assert int(request.query["since"]) >= 0  # what is older is told all the same: twice told is no news
            return web.json_response({"last_messages": self.last_messages})

        async def moves(request: web.Request) -> web.Response:
            """Answer as a pod with an empty database; `bot_pods.py` has real ones."""
            if request.path.endswith("/rest"):
                return web.json_response({"parts": {}})
            if request.method == "POST":
                return web.Response(status=204)
            if "/parts/" in request.path:
                return web.json_response({"rows": []})
            group = f"{namespace}/{labels['comanda.dev/group']}"
            return web.json_response({"left": request.query["move"].startswith(f"{group}>"), "arrived": False})

        routes = [web.get("/readyz", readyz), web.get("/v1/activity", activity)]
        app.add_routes([*routes, web.route("*", "/v1/moves/{number}{rest:.*}", moves)])
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, address, self.port).start()

    async def _load(self, pod: Json, labels: dict[str, str]) -> None:
        metadata = pod["metadata"]
        key = f"{metadata['namespace']}/{metadata['name']}"
        touched = metadata.get("annotations", {}).get("comanda.dev/touched", "")
        if self._seen.get(metadata["uid"]) == touched or key not in self.loaded:
            return
        group = f"{metadata['namespace']}/{labels['comanda.dev/group']}"
        secret = bytes.fromhex(group_key(MASTER_KEY, group, labels["comanda.dev/group-uid"]))
        found = await self._cluster.all(
            SECRETS, metadata["namespace"], f"comanda.dev/shard,comanda.dev/group={labels['comanda.dev/group']}"
        )
        shards = {f"shard-{each['metadata']['labels']['comanda.dev/shard']}": each for each in found}
        self._mount(key, secret, shards)
        self._seen[metadata["uid"]] = touched

    def _mount(self, key: str, _secret: bytes, shards: Mapping[str, Json]) -> None:
        """Give a pod the shards of its group."""
        self.loaded[key] = {name: _digest(_secret, each) for name, each in shards.items()}


_OWNER = "tests/stateful-set"
_CREDENTIAL = "authentication.kubernetes.io/credential-id"


def credential_of(token: str) -> str:
    """Return how the audit log names a ServiceAccount's token."""
    payload = token.split(".")[1]
    return f"JTI={json.loads(base64.urlsafe_b64decode(payload + '=='))['jti']}"


def _with_claims(stateful: Json, pod: str) -> Json:
    """Return a pod's spec with the volumes of its claims, as the StatefulSet's controller adds them."""
    spec = stateful["spec"]["template"]["spec"]
    claims = [each["metadata"]["name"] for each in stateful["spec"].get("volumeClaimTemplates", ())]
    volumes = [{"name": name, "persistentVolumeClaim": {"claimName": f"{name}-{pod}"}} for name in claims]
    return {**spec, "volumes": [*spec["volumes"], *volumes]}


def _digest(key: bytes, secret: Json) -> str:
    files = (base64.b64decode(secret["data"][name]) for name in ("tenants.json", "credentials.json"))
    return shard_digest(key, *(hashlib.sha256(content).digest() for content in files))


@asynccontextmanager
async def cluster(folder: Path, *arguments: str) -> AsyncIterator[Cluster]:
    """Give a cluster with our CRDs, the operator's namespace, and its ServiceAccount with the chart's rights."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(reused_api_server(install, *arguments))
        admin = await stack.enter_async_context(Client(from_kubeconfig([server.kubeconfig()]), "tests"))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        await admin.create(NAMESPACES, {"metadata": {"name": HOME}})
        yield Cluster(server, admin, folder, await service_account(admin), session)


async def service_account(admin: Client) -> str:
    """Make the operator's ServiceAccount with the chart's rules; return a token of it."""
    metadata = {"namespace": HOME, "name": "operator"}
    await admin.create(SERVICE_ACCOUNTS, {"metadata": metadata})
    subject = [{"kind": "ServiceAccount", **metadata}]
    await admin.apply(CLUSTER_ROLES, {"metadata": {"name": "operator"}, "rules": rules("operator")})
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "operator"}
    await admin.apply(BINDINGS, {"metadata": {"name": "operator"}, "roleRef": role, "subjects": subject})
    await admin.apply(ROLES, {"metadata": metadata, "rules": rules("operator-own-namespace")})
    own = {**role, "kind": "Role"}
    await admin.apply(ROLE_BINDINGS, {"metadata": metadata, "roleRef": own, "subjects": subject})
    return await new_token(admin)


async def new_token(admin: Client, account: str = "operator") -> str:
    """Return another token of a ServiceAccount."""
    metadata = {"namespace": HOME, "name": account}
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "metadata": metadata, "spec": {}}
    made = await admin.create(SERVICE_ACCOUNTS, request, subresource="token")
    return str(made["status"]["token"])


def rules(name: str) -> Sequence[Json]:
    found: Sequence[Json] = yaml.safe_load((ROOT / "charts" / "comanda" / "rbac" / f"{name}.yaml").read_text())
    return found
