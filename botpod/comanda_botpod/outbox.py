"""Sends in order: one lane a conversation, each message ended before the next one begins."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import replace

import structlog

from comanda_botpod.metrics import SENDS
from comanda_botpod.sender import Attempt, Sender
from comanda_botpod.tenants import Tenants
from comanda_contract.errors import ComandaError
from comanda_store import PendingSend, SendResult, Store

_log = structlog.get_logger()

STOPPED_SECONDS = 1.0
"""How often a tenant whose sends are stopped is looked at for a new token."""
LONGEST_WAIT_SECONDS = 60.0


class Outbox:
    """Hands messages to the sender and writes down how each ended. What is unsent at a crash is in the database."""

    def __init__(self, store: Store, sender: Sender, tenants: Tenants) -> None:
        self._store = store
        self._sender = sender
        self._tenants = tenants
        self._lanes: dict[int, deque[PendingSend]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped_tokens: dict[str, str] = {}
        self._stopping = False

    def enqueue(self, sends: Iterable[PendingSend]) -> None:
        """Send these, each after those of the same conversation that came before."""
        for send in sends:
            lane = self._lanes.get(send.customer_id)
            if lane is not None:
                if all(waiting.outbox_id != send.outbox_id for waiting in lane):
                    lane.append(send)
                continue
            self._lanes[send.customer_id] = deque([send])
            task = asyncio.create_task(self._run(send.customer_id), name=f"lane-{send.customer_id}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def drain(self) -> None:
        """Let sends under way end; what is queued stays in the database for the next process."""
        self._stopping = True
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _run(self, customer: int) -> None:
        lane = self._lanes[customer]
        try:
            while lane and not self._stopping:
                wait = await self._attempt(lane[0])
                if wait is None:
                    lane.popleft()
                    continue
                lane[0] = replace(lane[0], attempts=lane[0].attempts + 1)
                if not self._stopping:
                    await asyncio.sleep(min(wait, LONGEST_WAIT_SECONDS))
        finally:
            del self._lanes[customer]

    async def _attempt(self, send: PendingSend) -> float | None:
        """Try one message; None when it has ended, else the seconds to wait before the next try."""
        tenant = self._tenants.get(send.phone_number_id)
        token = tenant.access_token if tenant is not None else None
        if tenant is None or token is None or self._stopped_tokens.get(send.phone_number_id) == token:
            return STOPPED_SECONDS
        try:
            if not await self._store.begin_send(send):
                return None
            attempt = await self._sender.send(tenant, token, send)
            await self._store.finish_send(send, _result(attempt))
        except ComandaError as error:
            _log.warning("send_not_recorded", code=error.code, error=error.message)
            return STOPPED_SECONDS
        SENDS.labels(outcome=attempt.outcome).inc()
        if attempt.outcome == "stop_tenant":
            self._stopped_tokens[send.phone_number_id] = token
            _log.error("tenant_sends_stopped", tenant=tenant.name, error_code=attempt.error_code)
            return STOPPED_SECONDS
        return attempt.wait_seconds if attempt.outcome == "retry" else None


def _result(attempt: Attempt) -> SendResult:
    match attempt.outcome:
        case "sent":
            return SendResult("sent", wamid=attempt.wamid)
        case "retry" | "stop_tenant":
            return SendResult("queued", error_code=attempt.error_code)
        case "unknown":
            return SendResult("unknown")
        case "failed":
            return SendResult("failed", error_code=attempt.error_code)
