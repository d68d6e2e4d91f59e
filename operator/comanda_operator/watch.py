"""What the API tells, as changes of the state and keys to look at. Every kind that matters has its informer.

Both replicas watch, so that the one which follows is warm when it has to lead.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import msgspec
import structlog

from comanda_contract.names import LABEL_GROUP, LABEL_MANAGED_BY, LABEL_SOURCE
from comanda_contract.resources import BotPool, WhatsAppApp
from comanda_kube.backoff import Backoff
from comanda_kube.client import Client
from comanda_kube.errors import ApiError
from comanda_kube.informer import Informer, Pace
from comanda_kube.resources import CONFIG_MAPS, PODS, SECRETS, Resource, Selection
from comanda_kube.store import Change
from comanda_operator.deletions import CONFIRM_KEY, CONFIRM_NAME
from comanda_operator.live import Described, LiveObject, PodRecord, read_object, read_pod
from comanda_operator.manifests.group import KINDS
from comanda_operator.manifests.names import LABEL_SHARD, MANAGER
from comanda_operator.metrics import DELETIONS_HELD, WATCH_AGE, WATCH_FAILURES
from comanda_operator.queue import Priority
from comanda_operator.reconcile import APPS, POOLS, TENANTS, Reconciler
from comanda_operator.records import TenantRecord, read_tenant
from comanda_operator.state import Key, State, group_label, shard_key
from comanda_operator.world import DocumentRecord, SecretRecord

R = TypeVar("R")

_log = structlog.get_logger()

GRACE_SECONDS = 0.5
"""Deletions wait so long for others: many at once are doubted."""
_CONFIRM_HINT = f"If they were meant, apply a ConfigMap {CONFIRM_NAME} with the key {CONFIRM_KEY}: their number."

PACE = Pace(shortest_watch=60, longest_watch=120)
"""Fourteen kinds are watched: shorter watches would be most of what an idle operator asks."""

MANY = 200
"""More tenants than this are not placed at once when something that concerns them changes, but each in its turn."""


class _Metadata(msgspec.Struct, rename="camel"):
    resource_version: str


class _Data(msgspec.Struct):
    metadata: _Metadata
    data: dict[str, str] = {}


class _Meta(msgspec.Struct):
    metadata: Described


_read_data = msgspec.json.Decoder(_Data).decode
_read_meta = msgspec.json.Decoder(_Meta).decode


class Watches:
    """The informers, and what they know."""

    def __init__(
        self,
        client: Client,
        state: State,
        reconciler: Reconciler,
        pace: Pace | None = None,
    ) -> None:
        self._client = client
        self._state = state
        self._reconciler = reconciler
        self._pace = pace or PACE
        self.began = False
        """Whether every tenant has its place: what is heard from now on has something done."""
        self._settling: asyncio.TimerHandle | None = None
        self.informers: dict[str, Informer[Any]] = {}
        ours = f"{LABEL_MANAGED_BY}={MANAGER}"
        self._add("tenants", TENANTS, read_tenant, self._on_tenant)
        self._add("pools", POOLS, BotPool.model_validate_json, self._on_pool)
        self._add("apps", APPS, WhatsAppApp.model_validate_json, self._on_app)
        self._add("sources", SECRETS, read_secret, self._on_secret, labels=LABEL_SOURCE)
        self._add("documents", CONFIG_MAPS, read_document, self._on_document, labels=LABEL_SOURCE)
        self._add("pods", PODS, lambda content: read_pod(content, LABEL_GROUP), self._on_group_pod, labels=LABEL_GROUP)
        self._add(
            "shards", SECRETS, _read_described, self._on_shard, labels=f"{ours},{LABEL_SHARD}", metadata_only=True
        )
        objects: dict[str, Mapping[str, LiveObject]] = {}
        for kind, resource in KINDS.items():
            labels = f"{ours},!{LABEL_SHARD}" if kind == "Secret" else ours
            self._add(kind, resource, read_object, self._on_child, labels=labels)
            objects[kind] = self.informers[kind].store
        state.objects, state.shards = objects, self.informers["shards"].store
        state.pods = self.informers["pods"].store

    @asynccontextmanager
    async def running(self) -> AsyncIterator[list[asyncio.Task[Any]]]:
        """Watch meanwhile; gives the tasks, which end only when something is broken."""
        tasks = [asyncio.create_task(each.run(), name=f"watch {name}") for name, each in self.informers.items()]
        try:
            yield tasks
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def synced(self) -> None:
        """Wait until everything is known, then give every tenant its place, before anything is written.

        A shard that was made while a part of its tenants was not yet known would take them away from their pods.
        """
        for informer in self.informers.values():
            await informer.synced.wait()
        state, keys, unseen = self._state, set[Key](), set[Key]()
        keys |= state.put_pools()
        for number, (tenant, record) in enumerate(list(state.world.tenants.items())):
            placed = state.place(tenant)
            keys |= placed
            if record.status.observed_generation != record.metadata.generation:
                unseen |= placed
            if number % MANY == 0:
                await asyncio.sleep(0)
        lost = await self._find_lost()
        self.began = True
        if lost:
            self._state.deletions.vanished(lost)
            self._settle_deletions()
        self._reconciler.enqueue(keys | self.all_keys(), Priority.RESYNC)
        # What came while nobody led has waited already: it is not to wait for all that come from now on.
        self._reconciler.enqueue(unseen, Priority.NEW)

    async def _find_lost(self) -> set[str]:
        """Return tenants that vanished while nobody watched; nothing is written before that is known."""
        backoff = Backoff(0.2, 10.0)
        while True:
            try:
                return await self._reconciler.shards.find_lost()
            except ApiError as error:
                _log.warning("shards_not_read", call=error.call, code=error.code)
                await asyncio.sleep(backoff.next())

    def all_keys(self) -> set[Key]:
        """Return every key that there is to look at."""
        state = self._state
        children = (live.metadata for objects in state.objects.values() for live in objects.values())
        described = (*children, *state.shards.values())
        orphans = {f"{each.namespace}/{group_label(each)}" for each in described if group_label(each)}
        return {
            *(Key("tenant", key) for key in state.world.tenants),
            *(Key("pool", key) for key in state.world.pools),
            *(Key("app", key) for key in state.world.apps),
            *(Key("group", key) for key in {*state.groups, *orphans}),
            *(Key("shard", *key) for key, members in list(state.members.items()) if members),
            *(Key("shard", *key) for key, departing in list(state.departures.items()) if departing),
            *(Key("shard", *key) for described in state.shards.values() if (key := shard_key(described)) is not None),
            Key("apps", ""),
        }

    def measure(self) -> None:
        """Set the metrics of what was heard when."""
        for name, informer in self.informers.items():
            WATCH_AGE.labels(kind=name).set(informer.age_seconds)
            WATCH_FAILURES.labels(kind=name).set(informer.failures)

    def _add(
        self,
        name: str,
        resource: Resource,
        read: Callable[[bytes], R],
        heard: Callable[[Change[R]], None],
        *,
        labels: str = "",
        metadata_only: bool = False,
    ) -> None:
        selection = Selection(resource, labels=labels, metadata_only=metadata_only)
        self.informers[name] = Informer(self._client, selection, read, heard, self._pace)

    # What is heard

    def _on_tenant(self, change: Change[TenantRecord]) -> None:
        gone = change.kind == "removed" or bool(change.record.metadata.deletion_timestamp)
        if self._is_echo(change):
            self._state.world.tenants[change.key] = change.record
            if self.began:  # if it is not what we wrote, it is not to stay
                self._reconciler.enqueue({Key("tenant", change.key)}, Priority.DRIFT)
            return
        if gone and self.began:
            self._vanished({change.key})
            return
        self._state.deletions.came_back(change.key)
        concerned = self._state.world.put_tenant(change.key, None if gone else change.record)
        self._look_at(concerned, Priority.NEW if change.kind == "added" else Priority.EDIT)

    def _vanished(self, tenants: set[str]) -> None:
        """Note tenants that are no more, and decide on them when no more follow."""
        self._state.deletions.vanished(tenants)
        if self._settling is not None:
            self._settling.cancel()
        self._settling = asyncio.get_running_loop().call_later(GRACE_SECONDS, self._settle_deletions)

    def _settle_deletions(self) -> None:
        deletions = self._state.deletions
        waiting = deletions.pending - self._state.world.tenants.keys()
        gone = deletions.settle(len(self._state.world.tenants) + len(waiting))
        DELETIONS_HELD.set(len(deletions.held))
        if deletions.held:
            _log.error("deletions_held", tenants=len(deletions.held), hint=_CONFIRM_HINT)
        self._forget(gone)

    def _confirm_deletions(self, text: str) -> None:
        confirmed = self._state.deletions.confirm(int(text) if text.isdecimal() else 0)
        DELETIONS_HELD.set(len(self._state.deletions.held))
        if confirmed:
            _log.warning("deletions_confirmed", tenants=len(confirmed))
            self._forget(confirmed)
            self._reconciler.enqueue(self.all_keys(), Priority.DRIFT)

    def _forget(self, tenants: set[str]) -> None:
        for tenant in tenants:
            self._look_at(self._state.world.put_tenant(tenant, None), Priority.EDIT)

    @staticmethod
    def _is_echo(change: Change[TenantRecord]) -> bool:
        """Tell whether nothing but the status of a tenant changed, which is what we wrote."""
        before, now = change.previous, change.record
        return (
            change.kind == "changed"
            and before is not None
            and before.spec == now.spec
            and before.metadata == now.metadata
            and before.status != now.status
        )

    def _on_pool(self, change: Change[BotPool]) -> None:
        gone = change.kind == "removed"
        before = change.previous
        concerned = self._state.world.put_pool(change.key, None if gone else change.record)
        if change.kind == "changed" and before is not None and before.spec == change.record.spec:
            return  # our own status
        if self.began:
            named = _named(self._state.world.pools, change)
            self._reconciler.enqueue(self._state.put_pools() | {Key("pool", key) for key in named}, Priority.EDIT)
        self._look_at(concerned, Priority.EDIT)

    def _on_app(self, change: Change[WhatsAppApp]) -> None:
        gone = change.kind == "removed"
        concerned = self._state.world.put_app(change.key, None if gone else change.record)
        before = change.previous
        if change.kind == "changed" and before is not None and before.spec == change.record.spec:
            return  # our own status
        if self.began:
            named = _named(self._state.world.apps, change)
            self._reconciler.enqueue({*(Key("app", key) for key in named), Key("apps", "")}, Priority.EDIT)
        self._look_at(concerned, Priority.RESYNC)

    def _on_secret(self, change: Change[SecretRecord]) -> None:
        gone = change.kind == "removed"
        concerned = self._state.world.put_secret(change.key, None if gone else change.record)
        apps = {Key("app", app.metadata.key) for app in self._state.world.apps_with(change.key)}
        if self.began and apps:
            self._reconciler.enqueue(apps, Priority.ROTATION)
        self._look_at(concerned, Priority.ROTATION)

    def _on_document(self, change: Change[DocumentRecord]) -> None:
        gone = change.kind == "removed"
        if change.key == f"{self._state.site.namespace}/{CONFIRM_NAME}":
            if self.began and not gone:
                self._confirm_deletions(change.record.texts.get(CONFIRM_KEY, ""))
            return
        self._look_at(self._state.world.put_document(change.key, None if gone else change.record), Priority.EDIT)

    def _on_group_pod(self, change: Change[PodRecord]) -> None:
        if self.began:
            self._reconciler.acknowledger.look_again(change.record.group)
            self._look_at_moves()

    def _on_shard(self, change: Change[Described]) -> None:
        key = shard_key(change.record)
        if self.began and key is not None:
            self._reconciler.enqueue({Key("shard", *key)}, Priority.DRIFT)

    def _on_child(self, change: Change[LiveObject]) -> None:
        described = change.record.metadata
        if not self.began:
            return
        if group_label(described):
            self._reconciler.enqueue({Key("group", f"{described.namespace}/{group_label(described)}")}, Priority.DRIFT)
            self._look_at_moves()
        else:
            self._reconciler.enqueue({Key("apps", "")}, Priority.DRIFT)

    def _look_at_moves(self) -> None:
        """Look at tenants that move: with pods that came one that waits may begin, or go on."""
        self._reconciler.enqueue({Key("tenant", key) for key in self._state.moving}, Priority.DRIFT)

    def _look_at(self, tenants: set[str], priority: Priority) -> None:
        if not self.began:
            return
        if len(tenants) > MANY:
            self._reconciler.enqueue({Key("tenant", key) for key in tenants}, Priority.RESYNC)
            return
        for key in tenants:
            self._reconciler.enqueue(self._state.place(key), priority)


def read_secret(content: bytes) -> SecretRecord:
    """Read a Secret that a resource names; values that are no text are left out. Raises `msgspec.DecodeError`."""
    secret = _read_data(content)
    return SecretRecord(
        secret.metadata.resource_version,
        {name: text for name, value in secret.data.items() if (text := _text(value)) is not None},
    )


def read_document(content: bytes) -> DocumentRecord:
    """Read a ConfigMap with flow and menu. Raises `msgspec.DecodeError`."""
    config = _read_data(content)
    return DocumentRecord(config.metadata.resource_version, config.data)


def _read_described(content: bytes) -> Described:
    return _read_meta(content).metadata


def _named(known: Mapping[str, BotPool | WhatsAppApp], change: Change[Any]) -> set[str]:
    """Return the resource that changed and all of its name: of them the oldest counts, which may be another now."""
    name = change.record.metadata.name
    return {change.key, *(key for key, each in known.items() if each.metadata.name == name)}


def _text(value: str) -> str | None:
    try:
        return base64.b64decode(value).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
