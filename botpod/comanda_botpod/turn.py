"""Turns: one conversation at a time, many conversations side by side, tenants in turn.

A conversation with work waits for a slot. Its turn claims the oldest message, lets the handler answer, writes all in
one transaction and hands the replies to the outbox; what is pending after that waits for a slot again.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import structlog

from comanda_botpod import metrics
from comanda_botpod.handlers import Handler, HandlerInterrupted
from comanda_botpod.outbox import Outbox
from comanda_botpod.receipts import ReadReceipts
from comanda_botpod.schedule import Lane, Schedule
from comanda_botpod.tenants import Tenant, Tenants
from comanda_contract.errors import ComandaError
from comanda_contract.names import redacted
from comanda_store import Begun, Busy, Claim, FencedError, StorageError, Store, TenantScope, TurnResult

_log = structlog.get_logger()

BUSY_SECONDS = 0.25
"""How soon a conversation that another pod works on is looked at again."""
BUSY_CONVERSATIONS = 8
"""With more conversations at once than this, a pod answers and leaves read receipts out: each costs a reply."""
RETRY_SECONDS = (0.1, 0.5, 2.0, 5.0)
"""Waits after a failed try; the last one repeats while the database is away."""


@dataclass(slots=True)
class _Conversation:
    """What this pod knows of a conversation that has work."""

    scope: TenantScope
    claim: Claim | None = None
    """Its next message: taken with the last turn, or with being stored."""
    failures: int = 0
    again: bool = False
    """Whether something came while its turn was under way."""


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
        self._schedule = Schedule(at_once)
        self._conversations: dict[int, _Conversation] = {}
        self._unusable: dict[str, set[int]] = defaultdict(set)
        self._later: dict[int, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self.pending: Counter[str] = Counter()
        """Messages by tenant that came to this pod and are not done: what its backlog is measured by."""

    @property
    def room(self) -> int:
        """How many more conversations could begin a turn at once."""
        return 0 if self._stopping else self._schedule.free

    def wake(self, scope: TenantScope, customer: int, lane: Lane = "live", claim: Claim | None = None) -> None:
        """Let a conversation run because it has, or may have, a pending message; `claim` if that is taken already."""
        tenant = self._tenants.get(scope.phone_number_id)
        is_usable = tenant is not None and tenant.documents is not None
        if self._stopping or not is_usable:
            if not is_usable:
                self._unusable[scope.phone_number_id].add(customer)
            if claim is not None:
                self._begin(self._give_back(claim), "give-back")
            return
        conversation = self._conversations.setdefault(customer, _Conversation(scope))
        conversation.claim = claim or conversation.claim
        if self._schedule.is_running(customer):
            conversation.again = True
            return
        if customer not in self._later:
            self._schedule.add(customer, scope.tenant, lane)
            self._fill_slots()

    def wake_number(self, scope: TenantScope) -> None:
        """Let conversations run that waited for their tenant to become usable."""
        for customer in self._unusable.pop(scope.phone_number_id, set()):
            self.wake(scope, customer)

    def is_busy(self, scope: TenantScope) -> bool:
        """Tell whether a conversation of a tenant has a turn under way."""
        running = self._schedule.is_running
        return any(each.scope == scope and running(customer) for customer, each in self._conversations.items())

    async def drain(self) -> None:
        """Claim nothing more and let the turns under way end; a message that was taken and not begun is given back."""
        self._stopping = True
        for handle in self._later.values():
            handle.cancel()
        if self._tasks:
            await asyncio.wait(set(self._tasks))
        await asyncio.gather(*(self._give_back(each.claim) for each in self._conversations.values() if each.claim))

    async def _give_back(self, claim: Claim) -> None:
        """Give back a message whose turn does not begin, and its try."""
        # A database that is away learns it later: what a pod that has left still owns is anybody's.
        with suppress(StorageError):
            await self._store.release(claim, "", counted=False)

    def _fill_slots(self) -> None:
        while not self._stopping and (turn := self._schedule.next()) is not None:
            self._begin(self._run(turn.customer), f"conversation-{turn.customer}")
        metrics.CONVERSATIONS_RUNNING.set(self._schedule.running)

    def _begin(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, customer: int) -> None:
        conversation = self._conversations[customer]
        conversation.again = False
        try:
            wait = await self._turn(customer, conversation)
            conversation.failures = 0
        except ComandaError as error:
            _log.warning("turn_postponed", code=error.code, error=error.message)
            wait = RETRY_SECONDS[min(conversation.failures, len(RETRY_SECONDS) - 1)]
            conversation.failures += 1
        except Exception:  # noqa: BLE001 - one broken turn must not end the others
            # Nothing is lost: the message is pending in the database, and this pod's own sweep finds it again.
            _log.exception("turn_broken")
            wait = RETRY_SECONDS[-1]
        finally:
            self._schedule.done(customer)
        self._go_on(customer, conversation, wait)
        self._fill_slots()

    def _go_on(self, customer: int, conversation: _Conversation, wait: float | None) -> None:
        """Let the conversation wait for its next turn: at once, or in so many seconds; None when it has no work."""
        if wait is None and not conversation.again:
            del self._conversations[customer]
        elif wait and not self._stopping:
            loop = asyncio.get_running_loop()
            self._later[customer] = loop.call_later(wait, self._wake_again, customer, conversation.scope)
        else:
            self._schedule.add(customer, conversation.scope.tenant)

    def _wake_again(self, customer: int, scope: TenantScope) -> None:
        del self._later[customer]
        self.wake(scope, customer)

    async def _turn(self, customer: int, conversation: _Conversation) -> float | None:
        """Handle one message. Returns the seconds until the next look, or None when nothing is pending."""
        claim = conversation.claim or await self._store.claim(conversation.scope, customer)
        conversation.claim = None
        if claim is None:
            return None
        if isinstance(claim, Busy):
            return BUSY_SECONDS
        tenant = self._tenants.get(claim.phone_number_id)
        if tenant is None or tenant.documents is None:
            self._unusable[claim.phone_number_id].add(customer)
            await self._store.release(claim, "", counted=False)
            return None
        try:
            result = await self._handler.handle(tenant, claim)
        except Exception as error:  # noqa: BLE001 - whatever a handler does, its conversation and its neighbours go on
            return await self._failed(tenant, claim, error)
        return await self._write(tenant, conversation, claim, result)

    async def _failed(self, tenant: Tenant, claim: Claim, error: Exception) -> float:
        """Note a handler's failure. The try is counted already; after the last one the message is parked."""
        counted = not isinstance(error, HandlerInterrupted)
        problem = error.message if isinstance(error, ComandaError) else type(error).__name__
        _log.error(
            "handler_failed",
            tenant=tenant.name,
            message=redacted(claim.wamid),
            attempt=claim.attempts,
            problem=problem,
            exc_info=error if not isinstance(error, ComandaError) else None,
        )
        metrics.TURN["failed", tenant.settings.plan].inc()
        await self._store.release(claim, problem, counted=counted)
        # An interrupted turn is not counted, so its number of tries says nothing of how long it has been so.
        return RETRY_SECONDS[min(claim.attempts - 1, len(RETRY_SECONDS) - 1) if counted else -1]

    async def _write(
        self, tenant: Tenant, conversation: _Conversation, claim: Claim, result: TurnResult
    ) -> float | None:
        pace = self._outbox.pace(tenant, claim.customer_id)
        try:
            finished = await self._store.finish(claim, result, pace)
        except FencedError:
            metrics.TURN["fenced", tenant.settings.plan].inc()
            return BUSY_SECONDS
        self._outbox.enqueue(finished.sends, finished.first)
        is_answered = isinstance(finished.first, Begun)
        if is_answered and claim.wrote_at and self._schedule.running <= BUSY_CONVERSATIONS:
            # Whoever is answered now was read. What staff is to answer, staff reads; what waits for Meta's pace, waits.
            self._receipts.show(tenant, claim.wamid)
        self._count(tenant, ordered=result.order is not None)
        if isinstance(finished.next, Busy):
            return BUSY_SECONDS
        # Either of the two: nothing is taken with being stored while a message of its conversation is pending.
        conversation.claim = finished.next or conversation.claim
        return 0.0 if conversation.claim is not None else None

    def show_backlog(self) -> None:
        """Set the metrics of what waits in this pod."""
        metrics.BACKLOG_LIVE.set(self._schedule.waiting_in("live"))
        metrics.BACKLOG_OLD.set(self._schedule.waiting_in("backlog"))

    def _count(self, tenant: Tenant, *, ordered: bool) -> None:
        metrics.TURN["done", tenant.settings.plan].inc()
        self.pending[tenant.name] -= 1
        if self.pending[tenant.name] <= 0:
            del self.pending[tenant.name]
        if ordered:
            metrics.ORDER[tenant.settings.plan].inc()
            _log.info("order_placed", tenant=tenant.name)
