"""One key at a time: read what is known, decide what should be, write the difference. Level-triggered.

| key | what is done |
|---|---|
| tenant, pool, app | its place is looked at, its status is written where it differs |
| group | the objects of a group are made, mended or, once nobody needs them, removed |
| shard | the Secret with settings and credentials of a part of a group's tenants |
| pods | pods are touched, so that their nodes look at the Secrets now |
| apps | the Secret with the secrets of all Meta apps, which the router mounts |

Nothing is remembered between two looks that could not be read again; what is decided follows from the state alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from time import monotonic
from typing import Any

import structlog

from comanda_contract.names import API_GROUP, API_VERSION, group_key, shard_name
from comanda_contract.resources import BotPool, WhatsAppApp, WhatsAppTenant
from comanda_kube.events import Recorder, Said
from comanda_kube.resources import PODS, SECRETS, Json, Resource
from comanda_operator.acknowledge import Acknowledger
from comanda_operator.activity import time_of
from comanda_operator.apply import Writer
from comanda_operator.checking import Checker
from comanda_operator.checks import CONNECTED, Finding, finding_before
from comanda_operator.contents import Gathering, Going
from comanda_operator.live import Described, is_fixed
from comanda_operator.manifests.apps import APPS_SECRET, app_values, apps_secret
from comanda_operator.manifests.group import KINDS, Wanted, group_objects, stamped
from comanda_operator.manifests.names import (
    ANNOTATION_CONTENT,
    ANNOTATION_NOTES,
    ANNOTATION_TOUCHED,
)
from comanda_operator.manifests.shards import (
    STOP_BYTES,
    Notes,
    read_notes,
    sources_digest,
)
from comanda_operator.metrics import MOVE_SECONDS
from comanda_operator.mover import Mover
from comanda_operator.moves import Move, move_of, next_move, waiting_message
from comanda_operator.plan import GroupPlan, judge_app, judge_pool, plan_apps, webhook_path
from comanda_operator.queue import KeyedQueue, Priority
from comanda_operator.records import ConditionRecord, TenantRecord, TenantStatus
from comanda_operator.removal import Removal
from comanda_operator.shard_secrets import ShardSecrets, ShardTooLargeError
from comanda_operator.state import Key, Settled, ShardKey, State, said_of_documents
from comanda_operator.status import (
    NOT_LOADED,
    READY,
    UPDATING,
    Stamp,
    conditions_json,
    news,
    pool_ready,
    status_json,
    tenant_status,
    timed_conditions,
    with_times,
)

_log = structlog.get_logger()

TENANTS = Resource(API_GROUP, API_VERSION, WhatsAppTenant.definition.plural, "WhatsAppTenant")
POOLS = Resource(API_GROUP, API_VERSION, BotPool.definition.plural, "BotPool")
APPS = Resource(API_GROUP, API_VERSION, WhatsAppApp.definition.plural, "WhatsAppApp")

DEBOUNCE_SECONDS, DEBOUNCE_MOST = 0.15, 1.0
"""A shard is written when nothing was added to it for so long, and after so long all the same."""
RUSH_PER_SECOND, RUSH_MOST = 20.0, 5.0
"""When more new tenants come in a second, their shards may wait so long: else each would be written for a few."""
TOUCH_EVERY_SECONDS = 2.0
"""A pod is touched at most so often."""
AWAITED_SECONDS = 8.0
"""A status may wait so long for pods to say that they have loaded what it would call outstanding."""
_SLOWLY = 1.0
"""Counts in the status of a pool may be so late."""


class Reconciler:
    """Works on keys. Raises `ApiError` and `NotLeadingError`; the key is then tried again."""

    def __init__(
        self,
        state: State,
        shards: ShardSecrets,
        writer: Writer,
        queue: KeyedQueue[Key],
        recorder: Recorder,
        *,
        pod_port: int,
        checker: Checker | None,
        mover: Mover,
    ) -> None:
        self._state = state
        self.shards = shards
        self._writer = writer
        self._queue = queue
        self._recorder = recorder
        self._checker = checker
        self._mover = mover
        self._touched: dict[str, tuple[str, float]] = {}
        self._awaited: dict[str, float] = {}
        """Since when pods are about to say that they have a tenant."""
        self._rush = 0.0
        """When the new tenants that came would have come at the pace that is no rush."""
        self.acknowledger = Acknowledger(state.pods_of, self._on_loaded, self._on_stale, port=pod_port)
        self._removal = Removal(state, shards, writer, queue, self.enqueue)

    def enqueue(self, keys: set[Key], priority: Priority) -> None:
        """Have keys looked at, those that gather changes a moment later."""
        now = monotonic()
        if priority is Priority.NEW and any(key.kind == "tenant" for key in keys):
            self._rush = max(now, self._rush) + 1 / RUSH_PER_SECOND
        for key in keys:
            if key.kind == "shard" and priority is Priority.NEW and self._rush - now > 1.0:
                self._queue.add(key, priority, delay=DEBOUNCE_MOST, most=RUSH_MOST)
            elif key.kind == "shard":
                self._queue.add(key, priority, delay=DEBOUNCE_SECONDS, most=DEBOUNCE_MOST)
            elif key.kind == "group":
                self._queue.add(key, priority, delay=DEBOUNCE_SECONDS, most=_SLOWLY)
            else:
                self._queue.add(key, priority)

    async def reconcile(self, key: Key) -> None:
        """Work on one key."""
        match key.kind:
            case "tenant":
                await self._tenant(key.name)
            case "pool":
                await self._pool(key.name)
            case "app":
                await self._app(key.name)
            case "group":
                await self._group(key.name)
            case "shard":
                await self._shard(ShardKey(key.name, key.shard))
            case "pods":
                await self._pods(key.name)
            case "apps":
                await self._apps()

    # Resources

    async def _tenant(self, key: str) -> None:
        state = self._state
        self.enqueue(state.place(key) - {Key("tenant", key)}, Priority.NEW)
        tenant = state.world.tenants.get(key)
        if tenant is None:
            self._awaited.pop(key, None)
            return
        verdict = state.verdict(tenant)
        move = self._next_move(tenant, verdict.group)
        waiting = self._why_it_waits(move, verdict.group) if state.waits(tenant) else ""
        verdict = replace(verdict, group=move.group)
        place = state.placed.get(key)
        wanted = state.stamp(tenant, place.group) if place is not None else None
        acknowledged = state.acknowledged.get(key)
        acknowledged = acknowledged if acknowledged is not None and acknowledged.group else None
        group = state.groups.get(verdict.group)
        finding = self._finding(tenant, wanted)
        heard = state.heard.get(key)
        last_message = time_of(heard) if heard is not None else tenant.status.last_message_time
        planned = tenant_status(
            tenant,
            verdict,
            wanted,
            acknowledged,
            group,
            move=move,
            waiting=waiting,
            finding=finding,
            last_message=last_message,
        )
        status = with_times(planned, tenant.status, _now())
        if status != tenant.status and self._is_soon_over(tenant, status):
            return
        if status != tenant.status:
            await self._writer.put_status(TENANTS, key, tenant.metadata.uid, status_json(status))
            for type_ in (READY, CONNECTED):
                self._tell(TENANTS, tenant.metadata, tenant.status.condition(type_), status.condition(type_))
        if state.findings.get(key) is finding:
            state.findings.pop(key, None)
        if state.heard.get(key) == heard:
            state.heard.pop(key, None)

    def _why_it_waits(self, move: Move, wanted: str) -> str:
        return waiting_message(move, wanted, shares_database=self._state.share_database(move.group, wanted))

    def _next_move(self, tenant: TenantRecord, wanted: str) -> Move:
        """Return where a tenant is to be that is to have the group `wanted`, and the step of its move if it moves."""
        state = self._state
        if tenant.key not in state.moving:
            return Move(wanted)
        before = move_of(tenant)
        facts = state.facts(tenant, wanted)
        if before.phase == "Copying" or (before.phase == "Pausing" and facts.left):
            self._mover.go_on(tenant.key, before)
        move = next_move(before, wanted or before.group, facts, _now())
        if move.phase != before.phase:
            _log.info("tenant_moves", tenant=tenant.key, origin=before.origin or before.group, phase=move.phase)
        if before.phase == "Loading" and move.phase == "Erasing":
            MOVE_SECONDS.observe((datetime.now(UTC) - datetime.fromisoformat(before.since)).total_seconds())
        return move

    def _is_soon_over(self, tenant: TenantRecord, status: TenantStatus) -> bool:
        """Tell whether pods are about to say that they have a tenant as it is now: what is true in between is not told.

        Its observedGeneration says meanwhile that the status is of an earlier edition. Else each change would be two
        writes, and two pieces of news for everybody who watches. What comes meanwhile for a tenant without a status
        is held back by routers, and comes again. A move is told of at once: routers must not go on as before.
        """
        ready = status.condition(READY)
        key, now = tenant.key, monotonic()
        is_on_its_way = ready is not None and ready.reason in {NOT_LOADED, UPDATING}
        is_moving = tenant.status.group not in {"", status.group}
        if not is_on_its_way or is_moving or not self._state.has_ready_pods(status.group):
            self._awaited.pop(key, None)
            return False
        left = self._awaited.setdefault(key, now) + AWAITED_SECONDS - now
        if left > 0:
            self._queue.add(Key("tenant", key), Priority.RESYNC, delay=left)
        return left > 0

    def _finding(self, tenant: TenantRecord, wanted: Stamp | None) -> Finding | None:
        """Return what Meta said of a tenant last, and have it asked again if the tenant is another by now."""
        if self._checker is None:
            return None
        self._checker.consider(tenant, wanted)
        return self._state.findings.get(tenant.key) or finding_before(tenant)

    async def _pool(self, key: str) -> None:
        state = self._state
        pool = state.world.pools.get(key)
        if pool is None:
            return
        group = state.groups.get(self._group_of(pool) or "")
        live = state.objects["StatefulSet"].get(group.key) if group is not None else None
        there, ready = (live.status.replicas, live.status.ready_replicas) if live is not None else (0, 0)
        before = pool.status.conditions if pool.status is not None else ()
        verdict = judge_pool(state.world, pool)
        conditions = timed_conditions((*verdict.conditions, pool_ready(pool, group, ready)), before, _now())
        status: Json = {
            "observedGeneration": pool.metadata.generation,
            "replicas": there,
            "readyReplicas": ready,
            "tenants": self._count(group),
            "selector": f"comanda.dev/group={group.name}" if group is not None else "",
            "conditions": conditions_json(conditions),
        }
        if pool.status is None or status != pool.status.model_dump(mode="json", by_alias=True, exclude_none=True):
            await self._writer.put_status(POOLS, key, pool.metadata.uid, status)

    async def _app(self, key: str) -> None:
        state = self._state
        app = state.world.apps.get(key)
        self._queue.add(Key("apps", ""), Priority.ROTATION)
        if app is None:
            return
        verdict = judge_app(state.world, app)
        before = app.status.conditions if app.status is not None else ()
        refused = verdict.refused
        ready = verdict.conditions[-1].model_copy(
            update={"type": READY, "reason": refused.reason if refused is not None else "Answered"}
        )
        conditions = timed_conditions((*verdict.conditions, ready), before, _now())
        status: Json = {
            "observedGeneration": app.metadata.generation,
            "webhookPath": webhook_path(app.metadata.name) if refused is None else "",
            "conditions": conditions_json(conditions),
        }
        if app.status is None or status != app.status.model_dump(mode="json", by_alias=True, exclude_none=True):
            await self._writer.put_status(APPS, key, app.metadata.uid, status)

    # What is made of them

    async def _group(self, key: str) -> None:
        state = self._state
        group = state.groups.get(key)
        if group is None:
            if await self._removal.is_due(key):
                self.acknowledger.forget(key)
                await self._removal.remove(key)
            return
        pool = state.pool_of(group) if not group.tenant else None
        secret = group_key(state.master_key, group.key, group.uid)
        objects = group_objects(group, state.site, secret, pool.spec.autoscaling if pool is not None else None)
        for wanted in objects:
            live = state.objects[wanted.resource.kind].get(f"{group.namespace}/{wanted.name}")
            if live is not None and live.metadata.deletion_timestamp:
                continue  # it is made anew when it is gone
            if live is not None and is_fixed(live, wanted.body):
                _log.info("made_anew", kind=wanted.resource.kind, group=key)
                await self._writer.release(wanted.resource, live)
            else:
                await self._writer.make(wanted, live)
        named = {(wanted.resource.kind, wanted.name) for wanted in objects}
        for kind, live in list(state.children_of(key)):
            if (kind, live.metadata.name) not in named:
                await self._writer.remove(KINDS[kind], live)
        if pool is not None:
            self._queue.add(Key("pool", pool.metadata.key), Priority.DRIFT)

    async def _shard(self, key: ShardKey) -> None:
        state = self._state
        group = state.group_of(key.group)
        if group is None or not (key.group in state.groups or self._is_in_use(key, group)):
            return
        tenants = [state.world.tenants[name] for name in sorted(state.members[key]) if name in state.world.tenants]
        live = state.shards.get(f"{group.namespace}/{shard_name(group.name, key.number)}")
        if not (tenants or live or state.departures.get(key) or state.stranded.get(key)):
            if key.group not in state.groups:
                self.enqueue({Key("group", key.group)}, Priority.DRIFT)  # it may have waited for this shard alone
            return
        sources = {tenant.key: state.source(tenant) for tenant in tenants}
        stamps = {tenant.key: state.stamp(tenant, group.key) for tenant in tenants}
        notes = read_notes(live.annotations.get(ANNOTATION_NOTES, "")) if live is not None else Notes()
        going = self._going(key, live, notes)
        is_doubted = bool(state.deletions.held)
        digest = sources_digest(group.uid, sources.values(), state.deletions.held, going.to_erase, going.leaving)
        if live is not None and await self.shards.is_current(group, live, digest):
            content = live.annotations[ANNOTATION_CONTENT]
        else:
            before = state.settled.get(key)
            has_lost = before is None or before.is_doubted or bool(before.sources.keys() - sources.keys())
            gathering = Gathering.of(state, tenants, going, has_lost=has_lost)
            try:
                shard = await self.shards.write(group, key, gathering, live, sources.values())
            except ShardTooLargeError as error:
                self._say_too_large(group, key, error.size)
                raise
            self._queue.add(Key("pods", group.key), Priority.ROTATION)
            content, notes = shard.content, shard.notes
        told = {name: stamp for name, stamp in stamps.items() if name not in notes.left_out}
        state.settled[key] = Settled(content, sources, told, notes, is_doubted=is_doubted)
        if not group.tenant and state.pool_of(group) is None:
            self.enqueue(state.drop_group(group.key), Priority.DRIFT)  # it may have waited for pods to erase data
        self.acknowledger.want(key, content)
        said = {tenant.key: said_of_documents(tenant) for tenant in tenants}
        judged_otherwise = {name for name, problem in said.items() if problem != notes.broken.get(name, "")}
        self.enqueue({Key("tenant", name) for name in judged_otherwise}, Priority.EDIT)

    def _is_in_use(self, key: ShardKey, former: GroupPlan) -> bool:
        """Tell whether a shard of a group that is planned no more is still to be written."""
        state = self._state
        is_to_be_cleared = not former.tenant and not state.is_cleared(key)
        return bool(state.members.get(key) or state.departures.get(key)) or is_to_be_cleared

    def _going(self, key: ShardKey, live: Described | None, notes: Notes) -> Going:
        """Return the tenants that a shard serves no more."""
        state = self._state
        known = state.world.tenants.keys()
        departing = state.departures.get(key, {})
        leaving = {name: each.leaving for name, each in departing.items() if each.leaving is not None}
        moved = {name: each.phone_number_id for name, each in departing.items() if each.leaving is None}
        erasing = dict(self._still_erasing(key, live, notes))
        for name, each in notes.leaving.items():
            if name in state.deletions.held:
                leaving[name] = each
            elif name not in known and each.deletion_policy == "Delete":
                erasing[name] = each.phone_number_id
                self.enqueue(state.strand(name, each), Priority.ROTATION)
        erasing |= {name: number for name, number in state.stranded.get(key, {}).items() if name not in known}
        return Going(erasing, moved, leaving)

    def _still_erasing(self, key: ShardKey, live: Described | None, notes: Notes) -> Mapping[str, str]:
        """Return whose data pods are still to erase; who came back keeps them."""
        if live is not None and self._state.erased.get(key) == live.annotations.get(ANNOTATION_CONTENT):
            return {}
        return {name: number for name, number in notes.erasing.items() if name not in self._state.world.tenants}

    async def _pods(self, group: str) -> None:
        """Touch the pods of a group that were not touched for what they should have now."""
        state, now = self._state, monotonic()
        contents = sorted(settled.content for key, settled in state.settled.items() if key.group == group)
        value = hashlib.sha256("".join(contents).encode()).hexdigest()[:16]
        for pod in state.pods_of(group):
            said, at = self._touched.get(pod.uid, ("", -TOUCH_EVERY_SECONDS))
            if now - at < TOUCH_EVERY_SECONDS:
                self._queue.add(Key("pods", group), Priority.ROTATION, delay=TOUCH_EVERY_SECONDS - (now - at))
            elif said != value:
                await self._writer.touch(PODS, pod.key, pod.uid, {ANNOTATION_TOUCHED: value})
                self._touched[pod.uid] = (value, now)
        known = {pod.uid for pod in state.pods.values()}
        self._touched = {uid: touch for uid, touch in self._touched.items() if uid in known}

    async def _apps(self) -> None:
        state = self._state
        live = state.objects["Secret"].get(f"{state.site.namespace}/{APPS_SECRET}")
        values = {app.name: state.world.secrets[app.secret].values for app in plan_apps(state.world)}
        for app in state.world.apps.values():
            # One whose Secret is broken keeps what it had: its webhooks must not be refused meanwhile.
            if app.metadata.name not in values and live is not None:
                values[app.metadata.name] = app_values(app.metadata.name, live.content.get("data") or {})
        await self._writer.make(stamped(Wanted(SECRETS, apps_secret(state.site, values))), live)

    # What pods say

    def _on_loaded(self, key: ShardKey, content: str) -> None:
        """Note that all ready pods of a group have a shard; tell of it in the status of those that it is news for."""
        state = self._state
        settled = state.settled.get(key)
        if settled is None or settled.content != content:
            return
        if settled.notes.erasing:
            _log.info("tenants_erased", group=key.group, tenants=sorted(settled.notes.erasing))
            state.erased[key] = content
            stranded = state.stranded.get(key, {})
            for name in settled.notes.erasing.keys() & stranded.keys():
                del stranded[name]
            self.enqueue({Key("shard", *key)}, Priority.ROTATION)
        departing = state.departures.get(key, {})
        state.left |= {(name, each.move) for name, each in settled.notes.leaving.items()}
        state.moved_out |= {
            (name, key.group) for name in settled.notes.erasing if name in departing and departing[name].leaving is None
        }
        for tenant in departing:
            self._queue.add(Key("tenant", tenant), Priority.ROTATION)
        for tenant, stamp in settled.stamps.items():
            if state.acknowledged.get(tenant) != stamp and state.placed.get(tenant) == key:
                state.acknowledged[tenant] = stamp
                self._queue.add(Key("tenant", tenant), Priority.ROTATION)

    def _on_stale(self, group: str) -> None:
        """Have the pods of a group touched once more."""
        for pod in self._state.pods_of(group):
            self._touched.pop(pod.uid, None)
        self._queue.add(Key("pods", group), Priority.ROTATION)

    # Small things

    def _group_of(self, pool: BotPool) -> str | None:
        return next((group.key for group in self._state.groups.values() if group.uid == pool.metadata.uid), None)

    def _count(self, group: GroupPlan | None) -> int:
        if group is None:
            return 0
        return sum(len(self._state.members[ShardKey(group.key, number)]) for number in range(group.shards))

    def _tell(
        self, resource: Resource, metadata: Any, before: ConditionRecord | None, now: ConditionRecord | None
    ) -> None:
        """Say it in an Event when a resource became ready, or why it did not."""
        type_ = news(before, now)
        if now is None or type_ is None:
            return
        regarding = {
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "namespace": metadata.namespace,
            "name": metadata.name,
            "uid": metadata.uid,
        }
        self._recorder.say(Said(regarding, now.reason, now.message, type_))

    def _say_too_large(self, group: GroupPlan, key: ShardKey, size: int) -> None:
        _log.error("shard_too_large", group=group.key, shard=key.number, bytes=size, limit=STOP_BYTES)
        pool = self._state.pool_of(group)
        if pool is not None:
            note = (
                f"Shard {key.number} would be {size // 1024} KiB, more than the {STOP_BYTES // 1024} KiB that are"
                " safe in a Secret; it stays as it was. Move tenants with large menus to another pool."
            )
            regarding = {"apiVersion": POOLS.api_version, "kind": "BotPool", "uid": pool.metadata.uid}
            names = {"namespace": pool.metadata.namespace, "name": pool.metadata.name}
            self._recorder.say(Said({**regarding, **names}, "ShardTooLarge", note, "Warning"))


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
