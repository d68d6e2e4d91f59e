"""Everything that is asked of a cluster, read once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from comanda_contract.names import LABEL_COMPONENT, LABEL_GROUP
from comanda_kube.client import Client
from comanda_kube.errors import ForbiddenError, NotFoundError
from comanda_kube.resources import LEASES, PODS, SECRETS, Json, Resource, Selection
from comanda_operator.app import LEASE
from comanda_operator.manifests.names import ROUTER_COMPONENT
from comanda_operator.reconcile import APPS, POOLS, TENANTS
from comanda_operator.records import TenantRecord, read_tenant

_MOST_SECRETS = 50
"""Secrets that are looked for by name; where more are missing, one cause explains them all."""


@dataclass(frozen=True)
class Snapshot:
    """A cluster at one moment. `lease` is None when there is none."""

    tenants: Sequence[TenantRecord]
    pools: Sequence[Json]
    apps: Sequence[Json]
    group_pods: Sequence[Json]
    router_pods: Sequence[Json]
    lease: Json | None
    missing_kinds: Sequence[str] = ()
    """Kinds of ours that the API does not know."""
    unlabelled: frozenset[str] = field(default_factory=frozenset)
    """`namespace/name` of Secrets that tenants name and that lack our label."""

    @property
    def lease_age(self) -> float:
        """Seconds since the Lease was renewed, by the clock of this machine; infinite without one."""
        renewed = ((self.lease or {}).get("spec") or {}).get("renewTime")
        if not renewed:
            return float("inf")
        then = datetime.fromisoformat(renewed)
        return (datetime.now(then.tzinfo) - then).total_seconds()


async def take(client: Client, home: str, namespace: str = "") -> Snapshot:
    """Read a cluster: tenants of one namespace, or of all. Raises `ApiError` when it does not answer."""
    missing: list[str] = []

    async def items(resource: Resource, within: str = "", labels: str = "") -> list[bytes]:
        try:
            selection = Selection(resource, within, labels)
            return [bytes(item) async for page in client.list(selection) for item in page.items]
        except NotFoundError:
            missing.append(resource.kind)
            return []

    tenants = [read_tenant(item) for item in await items(TENANTS, namespace)]
    return Snapshot(
        tenants=sorted(tenants, key=lambda tenant: tenant.key),
        pools=[msgspec.json.decode(item) for item in await items(POOLS)],
        apps=[msgspec.json.decode(item) for item in await items(APPS)],
        group_pods=[msgspec.json.decode(item) for item in await items(PODS, "", LABEL_GROUP)],
        router_pods=[
            msgspec.json.decode(item) for item in await items(PODS, home, f"{LABEL_COMPONENT}={ROUTER_COMPONENT}")
        ],
        lease=await _lease(client, home),
        missing_kinds=missing,
        unlabelled=await _unlabelled(client, tenants),
    )


async def _lease(client: Client, home: str) -> Json | None:
    try:
        return await client.get(LEASES, home, LEASE)
    except NotFoundError:
        return None


async def _unlabelled(client: Client, tenants: Sequence[TenantRecord]) -> frozenset[str]:
    """Return the Secrets of which the operator says that there are none, and that are there."""
    named = {tenant.secret for tenant in tenants if _reason(tenant, "CredentialsReady") == "SecretMissing"}
    found: set[str] = set()
    for key in sorted(named)[:_MOST_SECRETS]:
        namespace, _, name = key.partition("/")
        try:
            await client.get(SECRETS, namespace, name)
        except NotFoundError:
            continue
        except ForbiddenError:
            break  # who may not read Secrets is told of the rest all the same
        found.add(key)
    return frozenset(found)


def _reason(tenant: TenantRecord, type_: str) -> str:
    condition = tenant.status.condition(type_)
    return condition.reason if condition is not None else ""


def condition(resource: Mapping[str, Any], type_: str) -> Mapping[str, Any]:
    """Return a condition of an object, {} when it has none of the type."""
    conditions = (resource.get("status") or {}).get("conditions") or ()
    return next((each for each in conditions if each["type"] == type_), {})


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Tell whether a pod is ready."""
    return condition(pod, "Ready").get("status") == "True"
