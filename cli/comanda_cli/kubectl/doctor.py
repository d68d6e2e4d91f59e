"""What is wrong in a cluster, and what to do about it. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from comanda_cli.findings import Finding, Level
from comanda_cli.kubectl.snapshot import Snapshot, condition, is_ready
from comanda_operator.reasons import REASONS
from comanda_operator.records import TenantRecord
from comanda_operator.status import READY

NAMED = 5
"""Objects that are named of many with the same fault."""


def examine(snapshot: Snapshot) -> list[Finding]:
    """Look at everything; what a fault makes impossible to judge comes after it."""
    checks: list[Callable[[Snapshot], Iterator[Finding]]] = [_kinds, _operator, _router, _apps, _pools, _pods, _tenants]
    return [finding for check in checks for finding in check(snapshot)]


def _kinds(snapshot: Snapshot) -> Iterator[Finding]:
    if snapshot.missing_kinds:
        kinds = ", ".join(sorted(set(snapshot.missing_kinds)))
        yield Finding(
            "error", "CRDs", f"the API knows no {kinds}", "Install them: kubectl apply --server-side -f crds/"
        )
    else:
        yield Finding("ok", "CRDs", "are installed")


def _operator(snapshot: Snapshot) -> Iterator[Finding]:
    spec = (snapshot.lease or {}).get("spec") or {}
    holder, age = spec.get("holderIdentity"), snapshot.lease_age
    if not snapshot.lease:
        hint = "Is it installed, and in this namespace (--home)?"
        yield Finding("error", "Operator", "none has ever led here: there is no Lease comanda-operator", hint)
    elif not holder or age > 2 * float(spec.get("leaseDurationSeconds") or 15):
        hint = "New and changed tenants wait; those that are served go on. See the logs of its pods."
        yield Finding("error", "Operator", f"nobody leads; the Lease was renewed {age:.0f} s ago", hint)
    else:
        yield Finding("ok", "Operator", f"{holder} leads")
    late = [
        tenant.key for tenant in snapshot.tenants if tenant.status.observed_generation != tenant.metadata.generation
    ]
    if late:
        hint = "Seconds after a change that is usual; else see comanda_operator_queue_depth."
        yield Finding("warning", "Operator", f"has not come to {_some(late)}", hint)


def _router(snapshot: Snapshot) -> Iterator[Finding]:
    pods = snapshot.router_pods
    ready = sum(map(is_ready, pods))
    if not ready:
        found = f"none of {len(pods)} pods is ready" if pods else "has no pods in this namespace"
        hint = "Meta reaches nobody. Is it this namespace (--home)? kubectl describe its pods, and see their logs."
        yield Finding("error", "Router", found, hint)
    else:
        yield Finding("ok" if ready == len(pods) else "warning", "Router", f"{ready} of {len(pods)} pods are ready")


def _apps(snapshot: Snapshot) -> Iterator[Finding]:
    if not snapshot.apps and "WhatsAppApp" not in snapshot.missing_kinds:
        yield Finding("error", "Apps", "there is no WhatsAppApp", "Create one, named default, with its Secret.")
    yield from _resources("WhatsAppApp", snapshot.apps)


def _pools(snapshot: Snapshot) -> Iterator[Finding]:
    yield from _resources("BotPool", snapshot.pools)


def _resources(kind: str, resources: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    for resource in resources:
        ready, name = condition(resource, READY), resource["metadata"]["name"]
        if ready.get("status") == "True":
            yield Finding("ok", f"{kind} {name}", ready.get("message") or ready["reason"])
        elif not ready:
            yield Finding("warning", f"{kind} {name}", "has no status yet", "Does an operator lead?")
        else:
            yield Finding(
                "error", f"{kind} {name}", _said(ready["reason"], ready.get("message", "")), _cure(ready["reason"])
            )


def _pods(snapshot: Snapshot) -> Iterator[Finding]:
    unready = [pod for pod in snapshot.group_pods if not is_ready(pod)]
    by_cause: dict[str, list[str]] = defaultdict(list)
    for pod in unready:
        by_cause[_cause(pod)].append(f"{pod['metadata']['namespace']}/{pod['metadata']['name']}")
    for cause, names in sorted(by_cause.items()):
        hint = "kubectl logs and kubectl describe pod say more. What they would serve waits."
        yield Finding("error", "Bot pods", f"{cause}: {_some(names)}", hint)
    if snapshot.group_pods and not unready:
        yield Finding("ok", "Bot pods", f"all {len(snapshot.group_pods)} are ready")


def _cause(pod: Mapping[str, Any]) -> str:
    """Return why a pod is not ready, in Kubernetes' word for it."""
    status = pod.get("status") or {}
    states = [each.get("state") or {} for each in status.get("containerStatuses") or ()]
    waiting = [state["waiting"].get("reason", "") for state in states if "waiting" in state]
    scheduled = condition(pod, "PodScheduled")
    unscheduled = scheduled.get("reason", "") if scheduled.get("status") == "False" else ""
    return next(filter(None, (*waiting, unscheduled)), "not ready")


def _tenants(snapshot: Snapshot) -> Iterator[Finding]:
    if not snapshot.tenants:
        yield Finding("warning", "Tenants", "there are none", "Apply a WhatsAppTenant and its Secret.")
        return
    for key in sorted(snapshot.unlabelled):
        namespace, _, name = key.partition("/")
        hint = f"kubectl -n {namespace} label secret {name} comanda.dev/source=true"
        yield Finding("error", "Secrets", f"{key} is there, and lacks the label by which the operator sees it", hint)
    by_reason: dict[str, list[TenantRecord]] = defaultdict(list)
    for tenant in snapshot.tenants:
        for reason in troubles(tenant):
            by_reason[reason].append(tenant)
    for reason, tenants in sorted(by_reason.items()):
        names = _some([tenant.key for tenant in tenants])
        level: Level = "warning" if reason == "TokenExpiring" else "error"
        yield Finding(level, "Tenants", f"{reason}: {names}", _cure(reason))
    well = sum(not troubles(tenant) for tenant in snapshot.tenants)
    yield Finding("ok", "Tenants", f"{well} of {len(snapshot.tenants)} are well")


def troubles(tenant: TenantRecord) -> tuple[str, ...]:
    """Return the reasons of a tenant's conditions about which something is to be done.

    Ready repeats what another condition says, and is left out then.
    """
    conditions = [each for each in tenant.status.conditions if _cure(each.reason)]
    reasons = dict.fromkeys(each.reason for each in conditions)
    if not tenant.status.conditions:
        return ("NoStatus",)
    return tuple(reasons)


def _cure(reason: str) -> str:
    known = REASONS.get(reason)
    return known.cure if known is not None else ""


def _said(reason: str, message: str) -> str:
    return f"{reason}: {message}" if message else reason


def _some(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
