"""Asks Meta about each tenant: soon when its token or its resource changed, and again every few hours.

What is found is in the tenant's status, so that a new leader goes on where the last one stood.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import structlog

from comanda_operator.checks import CONNECTED, NOT_SUBSCRIBED, Finding, finding_before, judge, unknown
from comanda_operator.graph import GraphReader, MetaUnavailableError
from comanda_operator.metrics import META_CHECKS
from comanda_operator.queue import KeyedQueue, Priority
from comanda_operator.records import TenantRecord
from comanda_operator.state import State
from comanda_operator.status import Stamp

_log = structlog.get_logger()

SOON_SECONDS = 1.0
"""After a change: Secret and resource are often applied one after the other."""
_AT_ONCE = 8
"""Tenants of which Meta is asked at the same time."""


class Checker:
    """Checks tenants against Meta. `on_found` is told of those of which there is something to say."""

    def __init__(
        self, state: State, graph: GraphReader, on_found: Callable[[str], None], *, every: timedelta, per_second: float
    ) -> None:
        self._state = state
        self._graph = graph
        self._on_found = on_found
        self._every = every.total_seconds()
        self._pause = 1.0 / per_second
        self._queue: KeyedQueue[str] = KeyedQueue()
        self._subjects: dict[str, tuple[int, str]] = {}
        """What of each tenant was looked at: its generation, and the digest of its token."""

    def consider(self, tenant: TenantRecord, wanted: Stamp | None) -> None:
        """Note a tenant as it is now; `wanted` is what pods should have of it, None while it has no place."""
        if wanted is None:
            self._subjects.pop(tenant.key, None)
            return
        subject = (wanted.generation, wanted.credentials)
        known = self._subjects.get(tenant.key)
        if known == subject:
            return
        self._subjects[tenant.key] = subject
        if known is None and _was_checked(tenant, wanted):
            self._queue.add(tenant.key, Priority.RESYNC, delay=random.uniform(0.0, self._every))  # noqa: S311 - spread
        else:
            self._queue.add(tenant.key, Priority.EDIT, delay=SOON_SECONDS)

    async def run(self) -> None:
        """Check until cancelled."""
        async with self._graph, asyncio.TaskGroup() as group:
            for _ in range(_AT_ONCE):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            key, _ = await self._queue.get()
            try:
                outcome = await self._check(key)
            except MetaUnavailableError as error:
                outcome = "unavailable"
                again = self._queue.failed(key)
                _log.info("meta_unavailable", code=error.code, again=round(again))
            else:
                self._queue.done(key)
                if key in self._subjects:
                    later = self._every * random.uniform(0.9, 1.1)  # noqa: S311 - it spreads load, it guards nothing
                    self._queue.add(key, Priority.RESYNC, delay=later)
            META_CHECKS.labels(outcome=outcome).inc()
            await asyncio.sleep(self._pause * _AT_ONCE)

    async def _check(self, key: str) -> str:
        tenant = self._state.world.tenants.get(key)
        app = self._state.world.app(tenant.spec.app_ref) if tenant is not None else None
        token = self._state.token(tenant) if tenant is not None else ""
        if tenant is None or app is None or not token:
            self._subjects.pop(key, None)  # its conditions say so; it comes back when that is mended
            return "skipped"
        spec, app_id = tenant.spec, app.spec.app_id
        asked = (app.spec.graph_version, token, spec.phone_number_id, spec.waba_id)
        try:
            finding = judge(tenant, app_id, await self._graph.ask(*asked), datetime.now(UTC))
            if spec.subscribe and finding.condition.reason == NOT_SUBSCRIBED:
                await self._graph.subscribe(app.spec.graph_version, token, spec.waba_id)
                _log.info("app_subscribed", app=app.metadata.name, tenant=key)
                finding = judge(tenant, app_id, await self._graph.ask(*asked), datetime.now(UTC))
        except MetaUnavailableError as error:
            if finding_before(tenant) is None:
                self._find(key, unknown(tenant, error.code))
            raise
        self._find(key, finding)
        return finding.condition.reason

    def _find(self, key: str, finding: Finding) -> None:
        self._state.findings[key] = finding
        self._on_found(key)


def _was_checked(tenant: TenantRecord, wanted: Stamp) -> bool:
    """Tell whether Meta was asked of a tenant as it is now, by this leader or another."""
    condition = tenant.status.condition(CONNECTED)
    is_same = tenant.status.credentials_hash == wanted.credentials
    return is_same and condition is not None and condition.observed_generation == wanted.generation
