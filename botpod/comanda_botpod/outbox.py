"""Sends in order: one lane a conversation, each message ended before the next one begins."""

from __future__ import annotations

import asyncio
from bisect import insort
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TypeGuard

import structlog

from comanda_botpod import metrics
from comanda_botpod.gate import Gate
from comanda_botpod.sender import Attempt, Sender
from comanda_botpod.tenants import Tenant, Tenants
from comanda_contract.errors import ComandaError
from comanda_store import Begun, Held, Pace, PendingSend, Refused, SendResult, Store

_log = structlog.get_logger()

STOPPED_SECONDS = 1.0
"""How often a tenant whose sends are stopped is looked at for a new token."""
LONGEST_WAIT_SECONDS = 300.0
ASKING = 8
"""Sends of one number that ask for their place at a time: what others ask meanwhile waits for these at most."""
Start = Begun | Held | Refused


@dataclass(slots=True, eq=False)
class _Waiting:
    """A message in its lane; `start` is how its send began, when that was written with its turn."""

    send: PendingSend
    start: Start | None = None
    is_under_way: bool = False
    """Whether its beginning or its end is being written down, or it is with Meta."""


class Outbox:
    """Hands messages to the sender and writes down how each ended. What is unsent at a crash is in the database."""

    def __init__(self, store: Store, sender: Sender, tenants: Tenants) -> None:
        self._store = store
        self._sender = sender
        self._tenants = tenants
        self._lanes: dict[int, list[_Waiting]] = {}
        """By conversation, in the order in which its turns wrote them."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped_tokens: dict[str, str] = {}
        self._gates: dict[str, Gate] = defaultdict(lambda: Gate(ASKING))
        """By number: before it wait those that ask for a place in the number's pace."""
        self._stop = asyncio.Event()

    def pace(self, tenant: Tenant, customer: int) -> Pace | None:
        """Return the pace with which this customer's next message may begin with its turn; None: it queues."""
        stopped = tenant.access_token is None or self._stopped_tokens.get(tenant.number) == tenant.access_token
        is_behind = customer in self._lanes or not self._gates[tenant.number].is_clear
        if stopped or self._stop.is_set() or is_behind or not self._sender.is_free:
            return None
        return Pace(tenant.settings.outbound_per_second)

    def enqueue(self, sends: Iterable[PendingSend], first: Start | None = None) -> None:
        """Send these, each after those of the same conversation that came before; `first` is how the first began."""
        for send in sends:
            waiting = _Waiting(send, first)
            first = None
            lane = self._lanes.get(send.customer_id)
            if lane is not None:
                # What another pod left is found when later ones of its conversation may wait here already: for it.
                if all(each.send.outbox_id != send.outbox_id for each in lane):
                    insort(lane, waiting, key=lambda each: each.send.outbox_id)
                continue
            self._lanes[send.customer_id] = [waiting]
            task = asyncio.create_task(self._run(send.customer_id), name=f"lane-{send.customer_id}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def is_busy(self, phone_number_id: str) -> bool:
        """Tell whether a send of a number has begun here, or may be beginning."""
        lanes = (lane for lane in self._lanes.values() if lane and lane[0].send.phone_number_id == phone_number_id)
        return any(each.is_under_way or isinstance(each.start, Begun) for lane in lanes for each in lane)

    async def drain(self) -> None:
        """Let sends under way end; what is queued stays in the database for the next process."""
        self._stop.set()
        for gate in self._gates.values():
            gate.open()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _run(self, customer: int) -> None:
        lane = self._lanes[customer]
        try:
            while lane:
                # What has begun is ended, also by a pod that is stopping.
                waiting = next((each for each in lane if isinstance(each.start, Begun)), lane[0])
                if self._stop.is_set() and not isinstance(waiting.start, Begun):
                    break
                wait = await self._attempt(waiting)
                if wait is None:
                    lane.remove(waiting)
                else:
                    await self._pause(wait)
        finally:
            del self._lanes[customer]

    async def _attempt(self, waiting: _Waiting) -> float | None:
        """Try one message; None when it has ended, else the seconds to wait before the next try."""
        send = waiting.send
        tenant = self._tenants.get(send.phone_number_id)
        if tenant is None and self._tenants.is_leaving(send.phone_number_id):
            # What has begun is ended; all else is sent from where the tenant moves to.
            tenant = self._tenants.departing(send.phone_number_id) if isinstance(waiting.start, Begun) else None
            if tenant is None:
                return None
        token = tenant.access_token if tenant is not None else None
        if tenant is None or token is None or self._stopped_tokens.get(send.phone_number_id) == token:
            return STOPPED_SECONDS
        try:
            start = await self._begin(tenant, waiting)
            waiting.is_under_way = isinstance(start, Begun)
            if isinstance(start, Refused):
                return self._refused(send, start)
            if isinstance(start, Held):
                metrics.SENDS_HELD.inc()
                return start.wait_ms / 1000
            attempt = await self._sender.send(tenant, token, send, start)
            waiting.send = replace(send, attempts=send.attempts + attempt.made)
            await self._store.finish_send(send, _result(attempt))
        except ComandaError as error:
            _log.warning("send_not_recorded", code=error.code, error=error.message)
            return STOPPED_SECONDS
        finally:
            waiting.is_under_way = False
        return self._ended(tenant, token, attempt)

    async def _begin(self, tenant: Tenant, waiting: _Waiting) -> Start:
        """Return how the send begins, when it is its turn in its number's pace.

        Of a number beyond its pace only so many ask at a time, the oldest; the others wait and cost nothing.
        """
        start, waiting.start = waiting.start, None
        if isinstance(start, Held) and start.by == "place":
            start = await self._take_place(tenant, waiting, start)
        gate = self._gates[tenant.number]
        while (start is None or _is_full(start)) and self._goes_on(tenant):
            async with gate.place(waiting.send.outbox_id):
                start = await self._ask(tenant, waiting)
                if _is_full(start) and self._goes_on(tenant):
                    gate.shut(min(start.wait_ms / 1000, LONGEST_WAIT_SECONDS))
            start = await self._take_place(tenant, waiting, start)
        return start or Held(0, "number")

    async def _take_place(self, tenant: Tenant, waiting: _Waiting, start: Start) -> Start:
        """Wait for the place that a send has in its number's pace, if it has one, and take it."""
        while isinstance(start, Held) and start.by == "place":
            metrics.SENDS_HELD.inc()
            await self._pause(start.wait_ms / 1000)
            start = await self._ask(tenant, waiting)
        return start

    async def _ask(self, tenant: Tenant, waiting: _Waiting) -> Start:
        # Nothing begins any more here: this pod may have let the tenant go while the send waited.
        if not self._goes_on(tenant):
            return Held(0, "number")
        waiting.is_under_way = True
        start = await self._store.begin_send(waiting.send, Pace(tenant.settings.outbound_per_second))
        waiting.is_under_way = isinstance(start, Begun)
        return start

    def _goes_on(self, tenant: Tenant) -> bool:
        return not self._stop.is_set() and not self._tenants.is_leaving(tenant.number)

    async def _pause(self, seconds: float) -> None:
        """Wait, but not for longer than the pod lives."""
        with suppress(TimeoutError):
            async with asyncio.timeout(min(seconds, LONGEST_WAIT_SECONDS)):
                await self._stop.wait()

    def _ended(self, tenant: Tenant, token: str, attempt: Attempt) -> float | None:
        if attempt.outcome == "sent":
            metrics.SENT.inc()
            return None
        metrics.SENDS.labels(outcome=attempt.outcome).inc()
        if attempt.outcome == "stop_tenant":
            self._stopped_tokens[tenant.number] = token
            _log.error("tenant_sends_stopped", tenant=tenant.name, error_code=attempt.error_code)
            return STOPPED_SECONDS
        return attempt.wait_seconds if attempt.outcome == "retry" else None

    @staticmethod
    def _refused(send: PendingSend, start: Refused) -> None:
        metrics.SENDS.labels(outcome=start.reason).inc()
        if start.reason == "closed":
            _log.warning("window_closed", tenant=send.tenant, outbox_id=send.outbox_id)


def _is_full(start: Start) -> TypeGuard[Held]:
    """Tell whether all places ahead in the number's pace are taken."""
    return isinstance(start, Held) and start.by == "number"


def _result(attempt: Attempt) -> SendResult:
    match attempt.outcome:
        case "sent":
            return SendResult("sent", wamid=attempt.wamid, unreachable=attempt.unreachable, sends_to=attempt.sends_to)
        case "retry" | "stop_tenant":
            return SendResult("queued", error_code=attempt.error_code, pause_ms=attempt.pause_ms, made=attempt.made)
        case "unknown":
            return SendResult("unknown")
        case "failed":
            return SendResult("failed", error_code=attempt.error_code, unreachable=attempt.unreachable)
