"""`comanda tenant describe`: what a cluster says of one tenant, with the cure for what is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from rich.console import Console

from comanda_cli.output import print_rows_under
from comanda_contract.errors import InvalidInputError
from comanda_kube.client import Client
from comanda_kube.errors import NotFoundError
from comanda_kube.kubeconfig import load_config
from comanda_kube.resources import EVENTS, Selection
from comanda_operator.reasons import REASONS, Reason
from comanda_operator.reconcile import TENANTS

CONDITIONS = (("mark", ""), ("type", "CONDITION"), ("reason", "REASON"), ("message", "MESSAGE…"))
_FACTS = (
    ("plan", "spec", "plan"),
    ("number", "spec", "phoneNumberId"),
    ("group", "status", "group"),
    ("first pod", "status", "pod"),
    ("shard", "status", "shard"),
    ("webhook", "status", "webhookPath"),
    ("credentials", "status", "credentialsHash"),
    ("token ends", "status", "tokenExpiresAt"),
    ("last message", "status", "lastMessageTime"),
)


async def describe(namespace: str, name: str) -> Mapping[str, Any]:
    """Return a tenant as the cluster has it, and its Events under `events`.

    Raises `InvalidInputError` when there is none of the name, or another `ComandaError` when the API does not answer.
    """
    config = load_config()
    namespace = namespace or config.namespace
    async with Client(config, "comanda") as client:
        try:
            tenant = await client.get(TENANTS, namespace, name)
        except NotFoundError:
            hint = "See kubectl get wat --all-namespaces."
            raise InvalidInputError("NAME", f"there is no WhatsAppTenant {name} in {namespace}.", hint=hint) from None
        selection = Selection(EVENTS, namespace, fields=f"regarding.uid={tenant['metadata']['uid']}")
        events = [msgspec.json.decode(item) async for page in client.list(selection) for item in page.items]
    return {**tenant, "events": sorted(events, key=lambda event: str(event["eventTime"]))}


def cures(conditions: Sequence[Mapping[str, Any]]) -> Mapping[str, Reason]:
    """Return the reasons of conditions about which something is to be done; one that holds may be such, too."""
    found = {each["reason"]: REASONS.get(each["reason"]) for each in conditions}
    return {name: reason for name, reason in found.items() if reason is not None and reason.cure}


def print_tenant(tenant: Mapping[str, Any]) -> None:
    """Print what serves a tenant, its conditions, and what to do about those that do not hold."""
    console = Console(highlight=False)
    metadata, status = tenant["metadata"], tenant.get("status", {})
    console.print(f"[bold]{metadata['namespace']}/{metadata['name']}[/]   {tenant['spec']['displayName']}")
    for label, part, field in _FACTS:
        value = tenant.get(part, {}).get(field)
        if value is not None:
            console.print(f"  {label:<12} {value}", markup=False)
    if quality := status.get("quality"):
        words = " ".join(quality[name] for name in ("rating", "limit") if name in quality)
        console.print(f"  {'quality':<12} {words}", markup=False)
    conditions = status.get("conditions", [])
    if not conditions:
        console.print("Nothing is known of it yet: is the operator running?", style="yellow")
        return
    rows = [{**each, "mark": "✓" if each["status"] == "True" else "✗"} for each in conditions]
    print_rows_under("", CONDITIONS, rows)
    if status.get("observedGeneration") != metadata["generation"]:
        console.print(
            "This speaks of an earlier edition; the operator has not come to the present one.", style="yellow"
        )
    for name, reason in cures(conditions).items():
        console.print(f"\n[bold]{name}[/]: {reason.meaning}")
        console.print(f"What to do: {reason.cure}", markup=False)
    for event in tenant["events"]:
        console.print(f"{event['eventTime'][:19]}  {event['type']}  {event['reason']}: {event['note']}", markup=False)
