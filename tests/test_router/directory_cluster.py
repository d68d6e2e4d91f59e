"""A kube-apiserver with our CRDs, what the operator would write there, and directories that follow it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from comanda_contract.directory import Directory, Group, NumberEntry, PodEndpoint
from comanda_contract.names import API_GROUP
from comanda_kube.client import Client
from comanda_kube.informer import Pace
from comanda_kube.kubeconfig import from_kubeconfig
from comanda_kube.resources import ENDPOINT_SLICES, SERVICE_ACCOUNTS, Json, Resource
from comanda_router.directory.kubernetes import TENANTS, DirectoryPace, KubernetesDirectory
from tests.cluster import ApiServer
from tests.harness import until
from tests.test_router.conftest import appending
from tests.test_router.directory_objects import (
    READY,
    status,
    tenant,
)

CRDS = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False)
CLUSTER_ROLES = Resource("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", namespaced=False)
BINDINGS = Resource("rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False)

QUICK = Pace(shortest_watch=1, longest_watch=2, grace=0.5, first_delay=0.02, longest_delay=0.5)
LONG = Pace(shortest_watch=60, longest_watch=60, first_delay=0.02, longest_delay=0.5)
"""Watches that outlast the test: what ends them is the fault."""

PACE = DirectoryPace(directory=0.02, snapshot=0.05)

MANY = 24
"""Enough numbers for the loss of most of them to be doubted."""

FILES = sorted((Path(__file__).parents[2] / "crds").glob("*.yaml"))


async def install(server: ApiServer) -> list[str]:
    """Make our CRDs, wait until they are served, and return what the API warns of."""
    warnings: list[str] = []
    headers = {"Authorization": f"Bearer {server.token()}", "Content-Type": "application/yaml"}
    url = f"{server.url}/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    async with aiohttp.ClientSession(headers=headers, raise_for_status=True) as session:
        for file in FILES:
            async with session.post(url, data=file.read_bytes(), ssl=server.trust) as answer:
                warnings += answer.headers.getall("Warning", [])
        for file in FILES:
            name = yaml.safe_load(file.read_text())["spec"]["names"]["plural"]
            served = f"{server.url}/apis/{API_GROUP}/v1alpha1/{name}"
            await until(partial(_answers, session, served, server), what="the CRD is served")
    return warnings


async def _answers(session: aiohttp.ClientSession, url: str, server: ApiServer) -> bool:
    async with session.get(url, ssl=server.trust, raise_for_status=False) as answer:
        return answer.status == 200


class Following:
    """A directory that follows, and all that it gave."""

    def __init__(self, client: Client, snapshot: Path | None, pace: Pace) -> None:
        self.given: list[Directory] = []
        self.directory = KubernetesDirectory(
            client,
            appending(self.given),
            snapshot,
            watching=pace,
            pace=PACE,
        )

    @property
    def now(self) -> Directory:
        return self.given[-1] if self.given else Directory(generation=-1)

    def entry(self, number: str) -> NumberEntry | None:
        return next((entry for entry in self.now.numbers if entry.phone_number_id == number), None)

    def numbers(self) -> set[str]:
        return {entry.phone_number_id for entry in self.now.numbers}

    def group(self, name: str) -> Group | None:
        return next((group for group in self.now.groups if group.name == name), None)

    def pods(self, group: str) -> dict[str, bool]:
        found = self.group(group)
        return {pod.name: pod.ready for pod in found.pods} if found is not None else {}


@asynccontextmanager
async def following(client: Client, snapshot: Path | None = None, pace: Pace = LONG) -> AsyncIterator[Following]:
    followed = Following(client, snapshot, pace)
    async with followed.directory.following():
        yield followed


@asynccontextmanager
async def reaching(server: ApiServer, port: int | None = None, token: str | None = None) -> AsyncIterator[Client]:
    config = from_kubeconfig([server.kubeconfig(port, token=token)])
    async with Client(config, "router", timeout_seconds=2) as client:
        yield client


_numbers = count(100_000)


def new_number() -> str:
    return str(next(_numbers))


async def apply_tenant(admin: Client, namespace: str, number: str, said: Json | None, **spec: Any) -> str:
    """Make a tenant and, as the operator would, its status; return its name."""
    name = f"t{number}"
    made = tenant(namespace, name, number, **spec)
    await admin.apply(TENANTS, made)
    if said is not None:
        await admin.apply_status(TENANTS, {"metadata": made["metadata"], "status": said})
    return name


async def apply_many(admin: Client, namespace: str, numbers: list[str], group: str = "pool") -> None:
    said = status(f"{namespace}/{group}", READY)
    async with asyncio.TaskGroup() as tasks:
        for number in numbers:
            tasks.create_task(apply_tenant(admin, namespace, number, said))


async def apply_slice(admin: Client, made: Json) -> None:
    await admin.apply(ENDPOINT_SLICES, made)


def is_ready(followed: Following, number: str) -> bool:
    entry = followed.entry(number)
    return entry is not None and entry.ready


def tenant_of(followed: Following, number: str) -> str:
    entry = followed.entry(number)
    return entry.tenant if entry is not None else ""


def pods_of(followed: Following, group: str) -> tuple[PodEndpoint, ...]:
    found = followed.group(group)
    return found.pods if found is not None else ()


@asynccontextmanager
async def synced(client: Client) -> AsyncIterator[Following]:
    """Follow, from when the first directory is there."""
    async with following(client) as followed:
        await until(lambda: bool(followed.given), what="the first directory is there")
        yield followed


RULES = [
    {"apiGroups": ["comanda.dev"], "resources": ["whatsapptenants", "whatsappapps"], "verbs": ["list", "watch"]},
    {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
]
"""All that a router needs."""


async def service_account(admin: Client, namespace: str) -> str:
    """Make a ServiceAccount and return its token."""
    metadata = {"namespace": namespace, "name": "router"}
    await admin.create(SERVICE_ACCOUNTS, {"metadata": metadata})
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "metadata": metadata, "spec": {}}
    made = await admin.create(SERVICE_ACCOUNTS, request, subresource="token")
    return str(made["status"]["token"])


async def bind(admin: Client, namespace: str) -> None:
    """Let the namespace's ServiceAccount do what a router needs."""
    metadata = {"name": f"router-{namespace}"}
    await admin.apply(CLUSTER_ROLES, {"metadata": metadata, "rules": RULES})
    subject = {"kind": "ServiceAccount", "namespace": namespace, "name": "router"}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", **metadata}
    await admin.apply(BINDINGS, {"metadata": metadata, "roleRef": role, "subjects": [subject]})
