"""How a cluster is, on a page: operator, router, pools, apps, and the tenants that are not well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from rich.console import Console

from comanda_cli.kubectl.doctor import troubles
from comanda_cli.kubectl.snapshot import Snapshot, condition, is_ready
from comanda_cli.output import print_rows_under
from comanda_contract.names import LABEL_GROUP
from comanda_contract.placement import Ring
from comanda_kube.client import Client
from comanda_kube.resources import PODS, Selection
from comanda_operator.records import TenantRecord

POOLS = (("name", "POOL"), ("pods", "PODS"), ("tenants", "TENANTS"), ("ready", "READY"), ("message", "MESSAGE…"))
APPS = (("name", "APP"), ("ready", "READY"), ("webhook", "WEBHOOK"), ("message", "MESSAGE…"))
TENANTS = (("tenant", "TENANT"), ("group", "GROUP"), ("reasons", "REASONS…"), ("message", "MESSAGE…"))
PODS_OF = (("pod", "POD"), ("ready", "READY"), ("node", "NODE"), ("order", "ORDER…"))


def summary(snapshot: Snapshot, *, everything: bool) -> dict[str, Any]:
    """Return what is shown, as JSON has it."""
    spec = (snapshot.lease or {}).get("spec") or {}
    rows = [_tenant(tenant) for tenant in snapshot.tenants if everything or troubles(tenant)]
    return {
        "operator": {"leader": spec.get("holderIdentity") or "", "renewedSecondsAgo": _whole(snapshot.lease_age)},
        "router": {"pods": len(snapshot.router_pods), "ready": sum(map(is_ready, snapshot.router_pods))},
        "pools": [_pool(pool) for pool in snapshot.pools],
        "apps": [_app(app) for app in snapshot.apps],
        "tenants": {
            "all": len(snapshot.tenants),
            "well": sum(not troubles(tenant) for tenant in snapshot.tenants),
            "shown": rows,
        },
    }


def print_status(snapshot: Snapshot, *, everything: bool) -> None:
    """Print it for people."""
    said, console = summary(snapshot, everything=everything), Console(highlight=False)
    operator, router, tenants = said["operator"], said["router"], said["tenants"]
    leader = operator["leader"]
    led = f"{leader} leads, renewed {operator['renewedSecondsAgo']} s ago" if leader else "nobody leads"
    console.print(f"[bold]Operator[/]  {led}")
    console.print(f"[bold]Router[/]    {router['ready']} of {router['pods']} pods ready")
    print_rows_under("", POOLS, said["pools"])
    print_rows_under("", APPS, said["apps"])
    heading = f"\n[bold]Tenants[/]   {tenants['well']:,} of {tenants['all']:,} are well"
    print_rows_under(heading, TENANTS, tenants["shown"])
    if tenants["well"] < tenants["all"]:
        console.print("\nkubectl comanda explain NAME -n NAMESPACE says what to do about one, doctor about all.")


async def pods_of(client: Client, tenant: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the pods of a tenant's group, the one first on which placement wants its number most."""
    namespace, _, group = (tenant.get("status", {}).get("group") or "").partition("/")
    if not group:
        return []
    selection = Selection(PODS, namespace, f"{LABEL_GROUP}={group}")
    pods = [msgspec.json.decode(item) async for page in client.list(selection) for item in page.items]
    order = list(Ring(pod["metadata"]["name"] for pod in pods).order(tenant["spec"]["phoneNumberId"])) if pods else []
    rows = [
        {
            "pod": pod["metadata"]["name"],
            "ready": is_ready(pod),
            "node": pod.get("spec", {}).get("nodeName", ""),
            "order": order.index(pod["metadata"]["name"]) + 1,
        }
        for pod in pods
    ]
    return sorted(rows, key=lambda row: int(row["order"]))


def print_pods(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print the pods of a tenant's group."""
    if rows:
        heading = "\n[bold]Webhooks go[/] to the first of these that is ready; routers pass one that holds its share:"
        print_rows_under(heading, PODS_OF, rows)


def _tenant(tenant: TenantRecord) -> dict[str, Any]:
    reasons = troubles(tenant)
    message = next((each.message for each in tenant.status.conditions if each.reason in reasons), "")
    return {
        "tenant": tenant.key,
        "group": tenant.status.group,
        "reasons": ", ".join(reasons) or "well",
        "message": message,
    }


def _pool(pool: Mapping[str, Any]) -> dict[str, Any]:
    status, ready = pool.get("status") or {}, condition(pool, "Ready")
    return {
        "name": pool["metadata"]["name"],
        "pods": f"{status.get('readyReplicas', 0)}/{pool['spec'].get('replicas', 0)}",
        "tenants": status.get("tenants", 0),
        "ready": ready.get("status", "Unknown"),
        "message": ready.get("message", ""),
    }


def _app(app: Mapping[str, Any]) -> dict[str, Any]:
    ready = condition(app, "Ready")
    return {
        "name": app["metadata"]["name"],
        "ready": ready.get("status", "Unknown"),
        "webhook": (app.get("status") or {}).get("webhookPath", ""),
        "message": ready.get("message", ""),
    }


def _whole(seconds: float) -> int | None:
    return round(seconds) if seconds != float("inf") else None
