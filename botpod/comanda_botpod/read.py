"""From a delivery to what is stored of it: whose it is, whether it gets a turn, what else it says."""

from __future__ import annotations

from dataclasses import dataclass

from comanda_botpod.tenants import Tenant
from comanda_contract.cloud.messages_in import TURNLESS_TYPES, parse_contact, parse_message
from comanda_contract.cloud.statuses import parse_status
from comanda_contract.deliveries import Delivery
from comanda_store import EventItem, InboundItem, Item, StatusItem

CALLBACK_PREFIX = "comanda:"
"""What our sends carry as `biz_opaque_callback_data`, before the outbox id."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads deliveries. A message older than `stale_ms` is stored and not answered: the customer has gone elsewhere."""

    stale_ms: int = 3600 * 1000

    def read(self, tenant: Tenant, delivery: Delivery, now: int) -> Item:
        """Return what is to be stored of a delivery. Raises `msgspec.MsgspecError` when it cannot be read."""
        match delivery.kind:
            case "message":
                return self._message(tenant, delivery, now)
            case "status":
                return self._status(tenant, delivery)
            case "change":
                return self._event(tenant, delivery)

    def _message(self, tenant: Tenant, delivery: Delivery, now: int) -> InboundItem:
        message = parse_message(delivery.item)
        contact = parse_contact(delivery.contact)
        phone = message.sender or contact.wa_id
        user_id = message.from_user_id or contact.user_id
        # A group's message is no one-to-one conversation, and a sender without any address cannot be answered.
        turnless = message.type in TURNLESS_TYPES or bool(message.group_id) or not (phone or user_id)
        silent = turnless or tenant.settings.suspended or delivery.field != "messages"
        # A clock ahead of ours must not hold the window open or a message back.
        sent_at = min(message.sent_at * 1000 or now, now)
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
            sent_at=sent_at,
            state="silent" if silent else "stale" if sent_at < now - self.stale_ms else "pending",
        )

    @staticmethod
    def _status(tenant: Tenant, delivery: Delivery) -> StatusItem:
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

    @staticmethod
    def _event(tenant: Tenant, delivery: Delivery) -> EventItem:
        payload = bytes(delivery.item).decode()
        return EventItem(tenant.name, tenant.number, delivery.key, delivery.field, payload)
