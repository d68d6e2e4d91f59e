"""From a delivery to what is stored of it: whose it is, whether it gets a turn, what else it says."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from zoneinfo import ZoneInfo

from comanda_botpod.tags import Tags
from comanda_botpod.tenants import Tenant
from comanda_contract.cloud import identity
from comanda_contract.cloud.countries import country_of_phone, country_of_user_id
from comanda_contract.cloud.messages_in import TURNLESS_TYPES, parse_contact, parse_message
from comanda_contract.cloud.pricing import Price, RateTable, billing_day, price
from comanda_contract.cloud.statuses import Status, parse_status
from comanda_contract.deliveries import Delivery
from comanda_store import AliasLink, EventItem, InboundItem, Item, Pause, StatusItem

BACKLOG_MS = 60_000
"""A message that took longer than this to get here goes behind those that did not."""
ECHO_PAUSE_MS = 2 * 3600 * 1000
"""How long the bot is silent after staff, or another app, has written to a customer."""
CONTROL_PAUSE_MS = 24 * 3600 * 1000
"""How long it is silent when somebody else was given the thread; it is given back earlier by an event."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads deliveries. A message older than `stale_ms` is stored and not answered: the customer has gone elsewhere."""

    rates: RateTable
    tags: Tags
    stale_ms: int = 3600 * 1000

    def read(self, tenant: Tenant, delivery: Delivery, now: int, *, at_once: bool = False) -> Item:
        """Return what is to be stored of a delivery; `at_once`: a live message may be claimed with being stored.

        Raises `msgspec.MsgspecError` when it cannot be read.
        """
        match delivery.kind:
            case "message":
                return self._message(tenant, delivery, now, at_once=at_once)
            case "status":
                return self._status(tenant, delivery, now)
            case "change":
                return self._event(tenant, delivery, now)

    def _message(self, tenant: Tenant, delivery: Delivery, now: int, *, at_once: bool) -> InboundItem:
        message = parse_message(delivery.item)
        contact = parse_contact(delivery.contact)
        phone = message.sender or contact.wa_id
        user_id = message.from_user_id or contact.user_id
        # A group's message is no one-to-one conversation, and a sender without any address cannot be answered.
        turnless = message.type in TURNLESS_TYPES or bool(message.group_id) or not (phone or user_id)
        silent = turnless or tenant.settings.suspended or delivery.muted or delivery.field != "messages"
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
            links=_links(delivery) if message.type == "system" else (),
            at_once=at_once and not silent and sent_at >= now - BACKLOG_MS,
        )

    def _status(self, tenant: Tenant, delivery: Delivery, now: int) -> StatusItem:
        status = parse_status(delivery.item)
        pricing = status.pricing
        market, cost = self._price(tenant, status, now)
        return StatusItem(
            tenant=tenant.name,
            phone_number_id=tenant.number,
            wamid=status.id,
            status=status.status,
            rank=status.rank,
            outbox_id=self.tags.read(status.biz_opaque_callback_data),
            payload=bytes(delivery.item).decode(),
            error_code=status.errors[0].code if status.errors else 0,
            category=pricing.category if pricing is not None else "",
            pricing_type=pricing.type if pricing is not None else "",
            pricing_model=pricing.pricing_model if pricing is not None else "",
            market=market,
            price_micros=cost.micros if cost is not None else None,
            price_currency=cost.currency if cost is not None else "",
            price_reason=cost.reason if cost is not None else "",
        )

    def _price(self, tenant: Tenant, status: Status, now: int) -> tuple[str, Price | None]:
        """Return the market and the price of a status that has one; it is due once the message is delivered."""
        pricing = status.pricing
        if pricing is None:
            return "", None
        country = country_of_phone(status.recipient_id) or country_of_user_id(status.recipient_user_id)
        day = billing_day(status.sent_at or now / 1000, _zone(tenant.settings.timezone))
        market = self.rates.market_of(country, day)
        cost = price(
            self.rates,
            category=pricing.category,
            type=pricing.type,
            pricing_model=pricing.pricing_model,
            market=market,
            at=day,
        )
        return market, cost

    @staticmethod
    def _event(tenant: Tenant, delivery: Delivery, now: int) -> EventItem:
        return EventItem(
            tenant=tenant.name,
            phone_number_id=tenant.number,
            key=delivery.key,
            field=delivery.field,
            payload=bytes(delivery.item).decode(),
            links=_links(delivery),
            pauses=_pauses(delivery, tenant.settings.app_id, now),
        )


def _links(delivery: Delivery) -> tuple[AliasLink, ...]:
    found = identity.identity_links(delivery.kind, delivery.field, delivery.item)
    return tuple(
        AliasLink(link.previous.kind, link.previous.value, link.current.kind, link.current.value) for link in found
    )


def _pauses(delivery: Delivery, app_id: str, now: int) -> tuple[Pause, ...]:
    """Return with whom somebody else talks now, by an echo of what was written or by a change of control."""
    echoes = [
        # What another app sent may be what this bot sent; what was typed into the phone never is.
        Pause(alias.kind, alias.value, until, "" if delivery.field == "smb_message_echoes" else echo.wamid)
        for echo in identity.echoes(delivery.field, delivery.item)
        # Counted from when it was written: Meta may repeat an echo hours later.
        if (until := min(echo.sent_at * 1000 or now, now) + ECHO_PAUSE_MS) > now
        for alias in echo.customer
    ]
    controls = [
        Pause(alias.kind, alias.value, 0 if _is_ours(control, app_id) else now + CONTROL_PAUSE_MS)
        for control in identity.controls(delivery.field, delivery.item)
        for alias in control.customer
    ]
    return (*echoes, *controls)


def _is_ours(control: identity.Control, app_id: str) -> bool:
    """Tell whether the thread is the bot's again: by the app's id, or, where the event names none, by its role."""
    if control.app_id and app_id:
        return control.app_id == app_id
    return control.owner == "app"


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
