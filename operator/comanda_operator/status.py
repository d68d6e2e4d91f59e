"""What is to be written as the status of a tenant, a pool or an app. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import msgspec

from comanda_contract.names import shard_of
from comanda_contract.placement import Ring
from comanda_contract.resources import BotPool, Condition
from comanda_operator.checks import META_UNAVAILABLE, TOKEN_EXPIRING, Finding
from comanda_operator.moves import Move, paused_message
from comanda_operator.plan import MESSAGE_CHARACTERS, GroupPlan, Verdict, webhook_path
from comanda_operator.records import ConditionRecord, QualityRecord, TenantRecord, TenantStatus

READY = "Ready"
_AN_EARLIER_ONE = -1
"""A generation that pods have, and that is not the present one."""
NOT_LOADED, UPDATING, ACKNOWLEDGED, MOVING = "NotLoaded", "Updating", "Acknowledged", "Moving"
_ON_ITS_WAY = frozenset({NOT_LOADED, UPDATING, MOVING, META_UNAVAILABLE})


_ring = lru_cache(256)(Ring)


@dataclass(frozen=True, slots=True)
class Stamp:
    """What of a tenant pods have: the group, the edition of its spec, and the digest of its token."""

    group: str
    generation: int
    credentials: str


def acknowledged_before(tenant: TenantRecord) -> Stamp | None:
    """Return what a tenant's status says that pods have acknowledged."""
    status = tenant.status
    ready = status.condition(READY)
    if ready is not None and ready.status == "True":
        return Stamp(status.group, ready.observed_generation, status.credentials_hash)
    if ready is not None and ready.reason == UPDATING:
        return Stamp(status.group, _AN_EARLIER_ONE, status.credentials_hash)
    return None


def tenant_status(
    tenant: TenantRecord,
    verdict: Verdict,
    wanted: Stamp | None,
    acknowledged: Stamp | None,
    group: GroupPlan | None,
    *,
    move: Move | None = None,
    waiting: str = "",
    finding: Finding | None = None,
    last_message: str = "",
) -> TenantStatus:
    """Return the status of a tenant, its conditions without times.

    `wanted` is what pods should have of it, None while it has no place; `acknowledged` is what they say they have;
    `move` is the step that its move is at, None while it is not moving; `waiting` is why it has not begun to;
    `finding` is what Meta said of it last, None while it was not asked; `last_message` is when its last message came.
    """
    move = move or Move(verdict.group)
    conditions = [_record(condition) for condition in verdict.conditions]
    conditions.append(_ready(tenant, verdict, wanted, acknowledged, move, waiting=waiting))
    finding = finding if verdict.group else None
    if finding is not None:
        conditions.append(finding.condition)
    shared = group is not None and not group.tenant
    return TenantStatus(
        observed_generation=tenant.metadata.generation,
        group=verdict.group,
        pod=next(_ring(group.pods).order(tenant.spec.phone_number_id), "") if group is not None else "",
        shard=shard_of(tenant.spec.phone_number_id) if shared else None,
        webhook_path=webhook_path(tenant.spec.app_ref) if verdict.group else "",
        credentials_hash=acknowledged.credentials if acknowledged is not None and verdict.group else "",
        quality=QualityRecord(finding.rating, finding.limit) if finding is not None else QualityRecord(),
        token_expires_at=finding.token_expires_at if finding is not None else "",
        last_message_time=last_message,
        moving_from=move.origin,
        move_phase=move.phase,
        paused_since=move.since,
        conditions=tuple(conditions),
    )


def with_times(status: TenantStatus, before: TenantStatus, now: str) -> TenantStatus:
    """Give conditions the time at which their status last changed: as before, or `now`."""
    conditions = tuple(_timed(each, before.condition(each.type), now) for each in status.conditions)
    return msgspec.structs.replace(status, conditions=conditions)


def status_json(status: TenantStatus) -> dict[str, Any]:
    """Return a tenant's status as the API takes it; what is empty is left out, and so given up."""
    facts: dict[str, Any] = {
        "group": status.group,
        "pod": status.pod,
        "webhookPath": status.webhook_path,
        "credentialsHash": status.credentials_hash,
        "tokenExpiresAt": status.token_expires_at,
        "lastMessageTime": status.last_message_time,
        "movingFrom": status.moving_from,
        "movePhase": status.move_phase,
        "pausedSince": status.paused_since,
        "quality": {name: word for name, word in msgspec.structs.asdict(status.quality).items() if word},
    }
    return {
        "observedGeneration": status.observed_generation,
        **{name: value for name, value in facts.items() if value},
        **({"shard": status.shard} if status.shard is not None else {}),
        "conditions": conditions_json(status.conditions),
    }


def conditions_json(conditions: Iterable[ConditionRecord]) -> list[dict[str, Any]]:
    """Return conditions as the API takes them."""
    return [
        {
            "type": each.type,
            "status": each.status,
            "reason": each.reason,
            "message": each.message[:MESSAGE_CHARACTERS],
            "observedGeneration": each.observed_generation,
            "lastTransitionTime": each.last_transition_time,
        }
        for each in conditions
    ]


def timed_conditions(
    conditions: Iterable[Condition], before: Iterable[Condition], now: str
) -> tuple[ConditionRecord, ...]:
    """Return a verdict's conditions with times, given those that are there."""
    known = {each.type: _record(each) for each in before}
    return tuple(_timed(_record(each), known.get(each.type), now) for each in conditions)


def news(before: ConditionRecord | None, now: ConditionRecord | None) -> Literal["Normal", "Warning"] | None:
    """Tell whether what became of a condition is worth an Event, and of which type.

    That something is on its way is in the status: ten thousand new tenants are not to be ten thousand Events.
    """
    if now is None or (before is not None and (before.status, before.reason) == (now.status, now.reason)):
        return None
    if now.reason == TOKEN_EXPIRING:
        return "Warning"
    if now.status == "True":
        return "Normal" if before is not None else None
    return None if now.reason in _ON_ITS_WAY else "Warning"


def pool_ready(pool: BotPool, group: GroupPlan | None, ready: int) -> Condition:
    """Return the condition Ready of a pool with so many ready pods; `group` is what it stands for, if it does."""
    status: Literal["True", "False"] = "False"
    if group is None:
        reason, message = "NotAccepted", "It has no pods; the condition Accepted says why."
    elif pool.spec.database is None and pool.spec.replicas > 1:
        reason = "DatabaseMissing"
        message = "Without spec.database it has one pod, however many are wanted: its data are on that pod's volume."
    elif ready < 1 <= group.replicas:
        reason, message = "PodsNotReady", f"None of {group.replicas} pods is ready."
    else:
        status, reason, message = "True", "Available", f"{ready} of {group.replicas} pods are ready."
    generation = pool.metadata.generation
    return Condition(type=READY, status=status, reason=reason, message=message, observed_generation=generation)


def _ready(
    tenant: TenantRecord,
    verdict: Verdict,
    wanted: Stamp | None,
    acknowledged: Stamp | None,
    move: Move,
    *,
    waiting: str,
) -> ConditionRecord:
    generation = tenant.metadata.generation

    def ready(status: Literal["True", "False"], reason: str, message: str) -> ConditionRecord:
        return ConditionRecord(READY, status, reason, message, generation)

    if move.since:
        return ready("False", MOVING, paused_message(move))
    if wanted is None:
        refused = verdict.refused
        reason, message = (refused.reason, refused.message) if refused is not None else (NOT_LOADED, "")
        return ready("False", reason, message)
    if acknowledged is None or acknowledged.group != wanted.group:
        return ready("False", NOT_LOADED, f"No pod of {wanted.group} has loaded it yet.")
    if acknowledged != wanted:
        return ready("False", UPDATING, f"Pods of {wanted.group} serve it as it was before, and load what is new.")
    return ready("True", ACKNOWLEDGED, waiting or f"The pods of {wanted.group} have loaded it.")


def _record(condition: Condition) -> ConditionRecord:
    return ConditionRecord(
        condition.type,
        condition.status,
        condition.reason,
        condition.message,
        condition.observed_generation,
        condition.last_transition_time or "",
    )


def _timed(condition: ConditionRecord, before: ConditionRecord | None, now: str) -> ConditionRecord:
    time = before.last_transition_time if before is not None and before.status == condition.status else ""
    return ConditionRecord(
        condition.type,
        condition.status,
        condition.reason,
        condition.message,
        condition.observed_generation,
        time or now,
    )
