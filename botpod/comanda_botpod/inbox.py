"""Deliveries into the inbox: read, store, answer; then wake the conversations that have work."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import structlog

from comanda_botpod.metrics import DELIVERIES
from comanda_botpod.tenants import Tenant, Tenants
from comanda_contract import deliveries
from comanda_contract.cloud.messages_in import TURNLESS_TYPES, parse_contact, parse_message
from comanda_contract.cloud.statuses import parse_status
from comanda_contract.deliveries import Answer, Delivery
from comanda_store import EventItem, InboundItem, Ingested, StatusItem, StorageError, Store

_log = structlog.get_logger()

Item = InboundItem | StatusItem | EventItem
CALLBACK_PREFIX = "comanda:"
"""What our sends carry as `biz_opaque_callback_data`, before the outbox id."""


class Inbox:
    """Takes batches in. `wake(customer, number)` is called for each conversation with a new message."""

    def __init__(self, store: Store, tenants: Tenants, wake: Callable[[int, str], None]) -> None:
        self._store = store
        self._tenants = tenants
        self._wake = wake
        self.draining = False

    async def take(self, batch: Sequence[Delivery]) -> list[Answer]:
        """Store a batch and answer each delivery; `stored` and `duplicate` are on disk when this returns."""
        if self.draining:
            return [deliveries.DRAINING] * len(batch)
        read = [self._read(delivery) for delivery in batch]
        items = [item for item in read if not isinstance(item, Answer)]
        try:
            ingested = iter(await self._store.ingest(items) if items else ())
        except StorageError as error:
            _log.error("storage_refused", items=len(items), error=error.message)
            return [item if isinstance(item, Answer) else deliveries.STORAGE for item in read]
        answers = [item if isinstance(item, Answer) else self._stored(item, next(ingested)) for item in read]
        for delivery, answer in zip(batch, answers, strict=True):
            DELIVERIES.labels(kind=delivery.kind, outcome=answer.outcome).inc()
        return answers

    def _stored(self, item: Item, ingested: Ingested) -> Answer:
        if ingested.customer_id:
            self._wake(ingested.customer_id, item.phone_number_id)
        return deliveries.DUPLICATE if ingested.duplicate else deliveries.STORED

    def _read(self, delivery: Delivery) -> Item | Answer:
        tenant = self._tenants.get(delivery.phone_number_id)
        if tenant is None:
            return deliveries.UNKNOWN_TENANT
        try:
            return _READERS[delivery.kind](tenant, delivery)
        except msgspec.MsgspecError:
            return deliveries.MALFORMED


def _read_message(tenant: Tenant, delivery: Delivery) -> Item:
    message = parse_message(delivery.item)
    contact = parse_contact(delivery.contact)
    phone = message.sender or contact.wa_id
    user_id = message.from_user_id or contact.user_id
    # A group's message is no one-to-one conversation, and a sender without any address cannot be answered.
    turnless = message.type in TURNLESS_TYPES or bool(message.group_id) or not (phone or user_id)
    return InboundItem(
        tenant=tenant.name,
        phone_number_id=tenant.number,
        wamid=delivery.key,
        phone=phone,
        user_id=user_id,
        name=contact.name,
        type=message.type,
        payload=bytes(delivery.item).decode(),
        contact=bytes(delivery.contact).decode(),
        sent_at=message.sent_at * 1000,
        silent=turnless or tenant.settings.suspended or delivery.field != "messages",
    )


def _read_status(tenant: Tenant, delivery: Delivery) -> Item:
    status = parse_status(delivery.item)
    tag = status.biz_opaque_callback_data.removeprefix(CALLBACK_PREFIX)
    pricing = status.pricing
    return StatusItem(
        tenant=tenant.name,
        phone_number_id=tenant.number,
        wamid=status.id,
        status=status.status,
        rank=status.rank,
        outbox_id=int(tag) if tag.isascii() and tag.isdigit() and len(tag) < 19 else 0,
        payload=bytes(delivery.item).decode(),
        error_code=status.errors[0].code if status.errors else 0,
        category=pricing.category if pricing is not None else "",
        pricing_type=pricing.type if pricing is not None else "",
        pricing_model=pricing.pricing_model if pricing is not None else "",
    )


def _read_event(tenant: Tenant, delivery: Delivery) -> Item:
    payload = bytes(delivery.item).decode()
    return EventItem(tenant.name, tenant.number, delivery.key, delivery.field, payload)


_READERS: dict[str, Callable[[Tenant, Delivery], Item]] = {
    "message": _read_message,
    "status": _read_status,
    "change": _read_event,
}
