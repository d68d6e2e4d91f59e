"""What becomes of a send: `sent`, `delivered`, `read` or `failed`, as signed webhooks with the price once a message."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Any

import msgspec

from comanda_simulator.config import NumberConfig, SimulatorConfig
from comanda_simulator.customers import Customer
from comanda_simulator.errors import TITLES
from comanda_simulator.ledger import Entry, Ledger
from comanda_simulator.payloads import Update, customer_contact, encode, statuses_value
from comanda_simulator.pricing import Meter
from comanda_simulator.sender import Shipment, WebhookSender

_BATCH_SECONDS = 0.01
"""Statuses of one number that fall due within this time count as produced at the same moment."""
_STATUSES_PER_UPDATE = 500
_UNREAD_PER_CUSTOMER = 200
"""Delivered messages of a conversation that are kept for a later `read`."""


class Sent(msgspec.Struct, kw_only=True):
    """One accepted send on its way to the customer."""

    number: NumberConfig
    customer: Customer
    wamid: str
    type: str
    callback_data: str = ""
    fails_with: int | None = None
    delivered: bool = False
    read: bool = False


class Receipts:
    """Turns accepted sends into statuses, in time."""

    def __init__(
        self, config: SimulatorConfig, ledger: Ledger, sender: WebhookSender, clock: Callable[[], float]
    ) -> None:
        self.config = config
        self.meter = Meter()
        self._ledger = ledger
        self._sender = sender
        self._clock = clock
        self._coming: deque[tuple[float, Sent]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._due: dict[str, list[tuple[Sent, Entry]]] = {}
        self._flusher: asyncio.TimerHandle | None = None
        self._unread: dict[tuple[str, str], deque[Sent]] = {}

    def stop(self) -> None:
        """Drop what is still to come."""
        for handle in (self._timer, self._flusher):
            if handle is not None:
                handle.cancel()

    def accepted(self, sent: Sent) -> None:
        """Let the statuses of a send begin."""
        if not self.config.settings.statuses:
            return
        if sent.fails_with is None:
            self._emit(sent, "sent")
        self._deliver_later(sent)

    async def accepted_status_first(self, sent: Sent) -> None:
        """Let the statuses begin, and return when the webhook of the first was posted."""
        if not self.config.settings.statuses or sent.fails_with is not None:
            self.accepted(sent)
            return
        entry = self._record(sent, "sent")
        self._deliver_later(sent)
        await self._sender.deliver_now(self._shipment(sent.number, [(sent, entry)]))

    def read_all(self, phone_number_id: str, customer: str) -> int:
        """Mark as read what was delivered to a customer; returns how many messages that were."""
        unread = self._unread.pop((phone_number_id, customer), deque())
        for sent in unread:
            self._read(sent)
        return len(unread)

    def _deliver_later(self, sent: Sent) -> None:
        # A reaction ends with `sent`.
        if sent.type == "reaction" and sent.fails_with is None:
            return
        loop = asyncio.get_running_loop()
        self._coming.append((loop.time() + self.config.settings.delivered_after_seconds, sent))
        if self._timer is None:
            self._timer = loop.call_at(self._coming[0][0], self._arrive)

    def _arrive(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        while self._coming and self._coming[0][0] <= loop.time():
            self._reach(self._coming.popleft()[1])
        if self._coming:
            self._timer = loop.call_at(self._coming[0][0], self._arrive)

    def _reach(self, sent: Sent) -> None:
        if sent.fails_with is not None:
            self._emit(sent, "failed")
            return
        sent.delivered = True
        self._emit(sent, "delivered")
        if self.config.settings.read_receipts == "always":
            self._read(sent)
        elif self.config.settings.read_receipts == "chat_open":
            pair = (sent.number.phone_number_id, sent.customer.key)
            self._unread.setdefault(pair, deque(maxlen=_UNREAD_PER_CUSTOMER)).append(sent)

    def _read(self, sent: Sent) -> None:
        if not sent.read:
            sent.read = True
            self._emit(sent, "read")

    def _emit(self, sent: Sent, status: str) -> None:
        entry = self._record(sent, status)
        if not self.config.settings.batch_statuses:
            self._sender.submit(self._shipment(sent.number, [(sent, entry)]))
            return
        self._due.setdefault(sent.number.phone_number_id, []).append((sent, entry))
        if self._flusher is None:
            self._flusher = asyncio.get_running_loop().call_later(_BATCH_SECONDS, self._flush)

    def _flush(self) -> None:
        self._flusher = None
        due, self._due = self._due, {}
        for statuses in due.values():
            remaining = iter(statuses)
            while chunk := list(islice(remaining, _STATUSES_PER_UPDATE)):
                self._sender.submit(self._shipment(chunk[0][0].number, chunk))

    def _record(self, sent: Sent, status: str) -> Entry:
        now = self._clock()
        item = self._build_status(sent, status, now)
        return self._ledger.append(
            "status",
            at=now,
            phone_number_id=sent.number.phone_number_id,
            customer=sent.customer.key,
            wamid=sent.wamid,
            payload=encode(item),
        )

    def _build_status(self, sent: Sent, status: str, now: float) -> dict[str, Any]:
        item: dict[str, Any] = {"id": sent.wamid, "status": status, "timestamp": str(int(now))}
        if sent.customer.phone:
            item["recipient_id"] = sent.customer.phone
        if sent.customer.user_id:
            item["recipient_user_id"] = sent.customer.user_id
        if sent.callback_data:
            item["biz_opaque_callback_data"] = sent.callback_data
        if status == self.config.settings.pricing_status:
            free = self.config.settings.free_service_messages
            pricing = self.meter.price(sent.number.phone_number_id, sent.type, now, free)
            if pricing is not None:
                item["pricing"] = pricing
        if status == "failed" and sent.fails_with is not None:
            item["errors"] = [_status_error(sent.fails_with)]
        return item

    def _shipment(self, number: NumberConfig, statuses: list[tuple[Sent, Entry]]) -> Shipment:
        known = {sent.customer.key: sent.customer for sent, _ in statuses if sent.fails_with is None}
        contacts = [customer_contact(person.phone, person.user_id, person.name) for person in known.values()]
        value = statuses_value(number, contacts, [bytes(entry.payload) for _, entry in statuses])
        return Shipment(
            app=number.app,
            update=Update(waba_id=number.waba_id, value=value),
            entries=[entry for _, entry in statuses],
        )


def _status_error(code: int) -> dict[str, Any]:
    title = TITLES.get(code, "API error")
    return {
        "code": code,
        "title": title,
        "message": title,
        "error_data": {"details": f"{title}: the message was accepted and could not be delivered."},
        "href": "https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes/",
    }
