"""Deliveries into the inbox: read, store, answer; then wake the conversations that have work."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import structlog

from comanda_botpod import metrics
from comanda_botpod.read import BACKLOG_MS, Reader
from comanda_botpod.schedule import Lane
from comanda_botpod.tenants import Tenants
from comanda_botpod.turn import Turns
from comanda_contract import deliveries
from comanda_contract.activity import Activity
from comanda_contract.deliveries import Answer, Delivery
from comanda_contract.names import redacted
from comanda_contract.trace import is_sampled, trace_id_of
from comanda_store import InboundItem, Ingested, Item, StorageError, Store, TenantScope

_log = structlog.get_logger()

WAIT_SECONDS = 2.0
"""With a delivery waiting longer than this for its commit, new ones are refused: the router answers 503, Meta comes
again. What is refused costs Meta a retry; what waits too long costs a time-out that nobody learns from."""
STORE_SECONDS = 5.0
"""How long one batch may take to become durable before it is refused. It may be stored all the same; then the repeat is
a duplicate."""


@dataclass(frozen=True, slots=True)
class InboxLimits:
    """What a pod takes in: bytes that must be free, and pending messages that one tenant may have."""

    free_bytes: int = 64 * 1024 * 1024
    pending_per_tenant: int = 20_000


class Inbox:
    """Takes batches in and wakes the conversations with new messages."""

    def __init__(self, store: Store, tenants: Tenants, turns: Turns, reader: Reader, limits: InboxLimits) -> None:
        self._store = store
        self._tenants = tenants
        self._turns = turns
        self._reader = reader
        self._limits = limits
        self.under_way: set[object] = set()
        """Batches that are being stored."""
        self._last_messages: dict[str, int] = {}
        """When the last message of each number was stored, in unix seconds, since this pod started."""
        self.draining = False
        self.full = False

    def look_for_room(self) -> None:
        """Notice whether the disk is nearly full; due every second."""
        free = self._store.free_bytes()
        full = free is not None and free < self._limits.free_bytes
        if full != self.full:
            _log.error("disk_nearly_full" if full else "disk_has_room", free_bytes=free)
        self.full = full

    async def take(self, batch: Sequence[Delivery]) -> list[Answer]:
        """Store a batch and answer each delivery; `stored` and `duplicate` are on disk when this returns."""
        if self.draining:
            return self._refuse_all(batch, deliveries.DRAINING)
        if self.full or self._store.oldest_wait() > WAIT_SECONDS:
            return self._refuse_all(batch, deliveries.OVERLOADED)
        room = self._turns.room
        read = [self._read(delivery, at_once=place < room) for place, delivery in enumerate(batch)]
        items = [item for item in read if not isinstance(item, Answer)]
        batch_under_way = object()
        self.under_way.add(batch_under_way)
        try:
            async with asyncio.timeout(STORE_SECONDS):
                ingested: Sequence[Ingested | Answer] = await self._store.ingest(items) if items else []
        except (StorageError, TimeoutError) as error:
            problem = error.message if isinstance(error, StorageError) else "it took too long"
            _log.error("storage_refused", items=len(items), error=problem)
            ingested = [deliveries.STORAGE] * len(items)
        finally:
            self.under_way.discard(batch_under_way)
        became = iter(ingested)
        return [
            self._count(delivery, item if isinstance(item, Answer) else self._stored(item, next(became)))
            for delivery, item in zip(batch, read, strict=True)
        ]

    def activity(self, since: int) -> Activity:
        """Return when the last message of each number came, of those alone that came since then (unix seconds)."""
        return Activity({number: at for number, at in self._last_messages.items() if at >= since})

    def _refuse_all(self, batch: Sequence[Delivery], answer: Answer) -> list[Answer]:
        return [self._count(delivery, answer) for delivery in batch]

    @staticmethod
    def _count(delivery: Delivery, answer: Answer) -> Answer:
        metrics.DELIVERED[delivery.kind, answer.outcome].inc()
        if is_sampled(delivery.traceparent):
            trace, message = trace_id_of(delivery.traceparent), redacted(delivery.key)
            _log.info("delivery_traced", trace_id=trace, message=message, kind=delivery.kind, outcome=answer.outcome)
        if answer.outcome == "refused":
            metrics.REFUSED.labels(reason=answer.reason).inc()
        return answer

    def _stored(self, item: Item, ingested: Ingested | Answer) -> Answer:
        if isinstance(ingested, Answer):
            return ingested
        if ingested.customer_id and isinstance(item, InboundItem):
            self._turns.pending[item.tenant] += 1
            lane: Lane = "backlog" if item.sent_at < _now() - BACKLOG_MS else "live"
            scope = TenantScope(item.tenant, item.phone_number_id)
            self._turns.wake(scope, ingested.customer_id, lane, ingested.claim)
        if isinstance(item, InboundItem) and not ingested.duplicate:
            self._last_messages[item.phone_number_id] = int(time.time())
        return deliveries.DUPLICATE if ingested.duplicate else deliveries.STORED

    def _read(self, delivery: Delivery, *, at_once: bool) -> Item | Answer:
        tenant = self._tenants.get(delivery.phone_number_id)
        if tenant is None:
            return deliveries.UNKNOWN_TENANT
        if delivery.kind == "message" and self._turns.pending[tenant.name] >= self._limits.pending_per_tenant:
            return deliveries.OVERLOADED
        try:
            item = self._reader.read(tenant, delivery, _now(), at_once=at_once and tenant.documents is not None)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return deliveries.MALFORMED
        if isinstance(item, InboundItem) and item.state == "stale":
            metrics.STALE.inc()
        return item


def _now() -> int:
    return int(time.time() * 1000)
