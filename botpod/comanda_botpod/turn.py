"""Turns: one conversation at a time, many conversations side by side.

A conversation with work has one task. It claims the oldest message, lets the handler answer, writes everything in one
transaction, hands the replies to the outbox, and goes on until nothing is pending.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict

import structlog

from comanda_botpod.handlers import Handler
from comanda_botpod.metrics import ACTIVE_TURNS, ORDERS, TURNS
from comanda_botpod.outbox import Outbox
from comanda_botpod.receipts import ReadReceipts
from comanda_botpod.tenants import Tenants
from comanda_contract.errors import ComandaError
from comanda_store import Busy, Claim, FencedError, Store

_log = structlog.get_logger()

BUSY_SECONDS = 0.25
"""How soon a conversation that another pod works on is looked at again."""
BUSY_CONVERSATIONS = 8
"""With more conversations at once than this, a pod answers and leaves read receipts out: each costs a reply."""
RETRY_SECONDS = (0.1, 0.5, 2.0, 5.0)
"""Waits after a failed try; the last one repeats while the database is away."""


class Turns:
    """Runs the turns of this pod's conversations."""

    def __init__(
        self, store: Store, tenants: Tenants, handler: Handler, outbox: Outbox, receipts: ReadReceipts, *, at_once: int
    ) -> None:
        self._store = store
        self._tenants = tenants
        self._handler = handler
        self._outbox = outbox
        self._receipts = receipts
        self._slots = asyncio.Semaphore(at_once)
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._again: set[int] = set()
        self._waiting: dict[str, set[int]] = defaultdict(set)
        self._stopping = False

    def wake(self, customer: int, number: str) -> None:
        """Let a conversation run because it has, or may have, a pending message."""
        if self._stopping:
            return
        if customer in self._tasks:
            self._again.add(customer)
            return
        tenant = self._tenants.get(number)
        if tenant is None or tenant.bot is None:
            self._waiting[number].add(customer)
            return
        self._tasks[customer] = asyncio.create_task(self._run(customer), name=f"conversation-{customer}")
        ACTIVE_TURNS.set(len(self._tasks))

    def wake_number(self, number: str) -> None:
        """Let conversations run that waited for their tenant to become usable."""
        for customer in self._waiting.pop(number, set()):
            self.wake(customer, number)

    async def drain(self) -> None:
        """Claim nothing more and let the turns under way end."""
        self._stopping = True
        if self._tasks:
            await asyncio.wait(list(self._tasks.values()))

    async def _run(self, customer: int) -> None:
        failures = 0
        try:
            while not self._stopping:
                self._again.discard(customer)
                try:
                    async with self._slots:
                        wait = await self._turn(customer)
                    failures = 0
                except ComandaError as error:
                    _log.warning("turn_postponed", code=error.code, error=error.message)
                    wait = RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)]
                    failures += 1
                if wait is None and customer not in self._again:
                    return
                if wait:
                    await asyncio.sleep(wait)
        finally:
            del self._tasks[customer]
            ACTIVE_TURNS.set(len(self._tasks))

    async def _turn(self, customer: int) -> float | None:
        """Handle one message. Returns the seconds until the next look, or None when nothing is pending."""
        claim = await self._store.claim(customer)
        if claim is None:
            return None
        if isinstance(claim, Busy):
            return BUSY_SECONDS
        tenant = self._tenants.get(claim.phone_number_id)
        if tenant is None or tenant.bot is None:
            self._waiting[claim.phone_number_id].add(customer)
            return None
        try:
            result = await self._handler.handle(tenant, claim)
        except Exception:  # noqa: BLE001 - whatever a handler does, its conversation and its neighbours go on
            # The try is counted already; after the last one the message is parked.
            _log.exception("handler_failed", tenant=tenant.name, attempt=claim.attempts)
            TURNS.labels(outcome="failed").inc()
            return RETRY_SECONDS[min(claim.attempts - 1, len(RETRY_SECONDS) - 1)]
        try:
            sends = await self._store.finish(claim, result)
        except FencedError:
            TURNS.labels(outcome="fenced").inc()
            return BUSY_SECONDS
        if sends and len(self._tasks) <= BUSY_CONVERSATIONS:
            # Whoever is answered was read. What staff is to answer, staff reads.
            self._receipts.show(tenant, claim.wamid)
        self._outbox.enqueue(sends)
        _count(claim, ordered=result.order is not None)
        return 0.0


def _count(claim: Claim, *, ordered: bool) -> None:
    TURNS.labels(outcome="done").inc()
    if ordered:
        ORDERS.inc()
        _log.info("order_placed", tenant=claim.tenant)
