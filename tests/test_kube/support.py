"""What these tests share: ConfigMaps as small records, informers that write down changes, and a busy API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import msgspec

from comanda_kube.client import Client
from comanda_kube.errors import NotFoundError, ThrottledError
from comanda_kube.informer import Informer, Pace
from comanda_kube.kubeconfig import from_kubeconfig
from comanda_kube.resources import CONFIG_MAPS, SERVICE_ACCOUNTS, Json, Resource, Selection
from comanda_kube.store import Change
from tests.cluster import ApiServer
from tests.harness import until

QUICK = Pace(shortest_watch=1, longest_watch=2, grace=0.5, first_delay=0.02, longest_delay=0.5)


def config_map(namespace: str, name: str, value: str = "", **labels: str) -> Json:
    metadata = {"namespace": namespace, "name": name, "labels": labels}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"value": value}}


class _ConfigMap(msgspec.Struct):
    data: dict[str, str]


def value_of(content: bytes) -> str:
    return msgspec.json.decode(content, type=_ConfigMap).data["value"]


class Diary:
    """What an informer told, and a mirror that lives on what it told alone."""

    def __init__(self) -> None:
        self.changes: list[Change[str]] = []
        self.mirror: dict[str, str] = {}

    def __call__(self, change: Change[str]) -> None:
        self.changes.append(change)
        if change.kind == "removed":
            assert self.mirror.pop(change.key) == change.record
        else:
            assert (change.kind == "added") == (change.key not in self.mirror)
            self.mirror[change.key] = change.record

    @property
    def told(self) -> list[tuple[str, str, str]]:
        return [(change.kind, change.key.partition("/")[2], change.record) for change in self.changes]


@asynccontextmanager
async def informing(
    client: Client, selection: Selection | str, *, pace: Pace = QUICK
) -> AsyncIterator[tuple[Informer[str], Diary]]:
    """Run an informer of ConfigMaps, of a namespace or selection, until its first list is complete and then on."""
    diary = Diary()
    chosen = Selection(CONFIG_MAPS, selection) if isinstance(selection, str) else selection
    informer: Informer[str] = Informer(client, chosen, value_of, diary, pace)
    async with running(informer):
        await until(informer.synced.is_set, what="the first list is complete")
        yield informer, diary
        assert dict(informer.store) == diary.mirror


@asynccontextmanager
async def running(informer: Informer[Any]) -> AsyncIterator[None]:
    task = asyncio.create_task(informer.run())
    try:
        yield
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def create_many(client: Client, namespace: str, names: list[str]) -> None:
    async with asyncio.TaskGroup() as group:
        for name in names:
            group.create_task(client.create(CONFIG_MAPS, config_map(namespace, name, name)))


ROLES = Resource("rbac.authorization.k8s.io", "v1", "roles", "Role")
ROLE_BINDINGS = Resource("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding")
ACCESS_REVIEWS = Resource("authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview", namespaced=False)
FLOW_SCHEMAS = Resource("flowcontrol.apiserver.k8s.io", "v1", "flowschemas", "FlowSchema", namespaced=False)
PRIORITY_LEVELS = Resource(
    "flowcontrol.apiserver.k8s.io",
    "v1",
    "prioritylevelconfigurations",
    "PriorityLevelConfiguration",
    namespaced=False,
)


@dataclass(frozen=True)
class Account:
    """A ServiceAccount with a token of its own, as a pod has one."""

    namespace: str
    name: str
    token: str

    def client(self, apiserver: ApiServer, *, timeout_seconds: float = 10.0) -> Client:
        config = from_kubeconfig([apiserver.kubeconfig(token=self.token)])
        return Client(config, self.name, timeout_seconds=timeout_seconds)


async def service_account(client: Client, namespace: str, name: str, verbs: Sequence[str] = ()) -> Account:
    """Make a ServiceAccount that may do this to the namespace's ConfigMaps."""
    metadata = {"namespace": namespace, "name": name}
    await client.create(SERVICE_ACCOUNTS, {"metadata": metadata})
    if verbs:
        rule = {"apiGroups": [""], "resources": ["configmaps"], "verbs": list(verbs)}
        await client.create(ROLES, {"metadata": metadata, "rules": [rule]})
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
        subjects = [{"kind": "ServiceAccount", **metadata}]
        await client.create(ROLE_BINDINGS, {"metadata": metadata, "roleRef": role, "subjects": subjects})
        await until(lambda: _may(client, namespace, name, verbs[0]), what="the API knows the new Role")
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "metadata": metadata, "spec": {}}
    made = await client.create(SERVICE_ACCOUNTS, request, subresource="token")
    return Account(namespace, name, str(made["status"]["token"]))


async def _may(client: Client, namespace: str, name: str, verb: str) -> bool:
    attributes = {"namespace": namespace, "verb": verb, "resource": "configmaps"}
    spec = {"user": f"system:serviceaccount:{namespace}:{name}", "resourceAttributes": attributes}
    review = await client.create(ACCESS_REVIEWS, {"metadata": {}, "spec": spec})
    return bool(review["status"]["allowed"])


@asynccontextmanager
async def throttled(client: Client, apiserver: ApiServer, account: Account) -> AsyncIterator[None]:
    """Let the API answer 429 to all that a ServiceAccount asks: it may have one call at a time, and has one."""
    metadata = {"name": f"{account.namespace}-{account.name}"}
    limited = {"nominalConcurrencyShares": 0, "lendablePercent": 0, "borrowingLimitPercent": 0}
    level = {"type": "Limited", "limited": {**limited, "limitResponse": {"type": "Reject"}}}
    everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": True}
    subject = {
        "kind": "ServiceAccount",
        "serviceAccount": {"namespace": account.namespace, "name": account.name},
    }
    flow = {
        "priorityLevelConfiguration": metadata,
        "matchingPrecedence": 2,  # 1 is the exempt one
        "rules": [{"subjects": [subject], "resourceRules": [everything]}],
    }
    await client.create(PRIORITY_LEVELS, {"metadata": metadata, "spec": level})
    await client.create(FLOW_SCHEMAS, {"metadata": metadata, "spec": flow})
    try:
        await until(lambda: _is_in_force(client, metadata["name"]), what="the API knows the new flow")
        async with _unfinished_call(apiserver, account), account.client(apiserver, timeout_seconds=1) as impatient:
            await until(lambda: _is_throttled(impatient, account.namespace), what="the API throttles the account")
            yield
    finally:
        await client.delete(FLOW_SCHEMAS, "", metadata["name"])
        await client.delete(PRIORITY_LEVELS, "", metadata["name"])


@asynccontextmanager
async def _unfinished_call(apiserver: ApiServer, account: Account) -> AsyncIterator[None]:
    """Have a call under way whose body never ends."""
    _, writer = await asyncio.open_connection("127.0.0.1", apiserver.port, ssl=apiserver.trust)
    head = (
        f"POST /api/v1/namespaces/{account.namespace}/configmaps HTTP/1.1",
        f"Host: api\r\nAuthorization: Bearer {account.token}",
        "Content-Type: application/json\r\nContent-Length: 99\r\n\r\n{",
    )
    writer.write("\r\n".join(head).encode())
    try:
        yield
    finally:
        writer.transport.abort()


async def _is_in_force(client: Client, flow: str) -> bool:
    status = (await client.get(FLOW_SCHEMAS, "", flow)).get("status", {})
    return any(condition["status"] == "False" for condition in status.get("conditions", ()))


async def _is_throttled(client: Client, namespace: str) -> bool:
    try:
        await client.get(CONFIG_MAPS, namespace, "any")
    except ThrottledError:
        return True
    except NotFoundError:
        return False
    return False
