"""The python handler: a tenant's own code, run contained; what it asks for becomes a turn's result here."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import cast

import msgspec
import structlog

from comanda_botpod.handlers import metrics
from comanda_botpod.handlers.contained import wire
from comanda_botpod.handlers.contained.child import Request, Watch, WorkerPlan
from comanda_botpod.handlers.contained.crew import Crew
from comanda_botpod.handlers.errors import HandlerFailed, HandlerInterrupted
from comanda_botpod.handlers.files import TurnFiles
from comanda_botpod.handlers.records import HANDOVER_MS, new_order, untouched
from comanda_botpod.handlers.sdk.gathered import Effects
from comanda_botpod.handlers.sdk.message import TIMER
from comanda_botpod.handlers.sdk.orders import RECENT, Fulfilment, OrderError, PastLine, PastOrder, draft_of
from comanda_botpod.handlers.sdk.turn import Facts
from comanda_botpod.media import MediaClient
from comanda_botpod.tenants import Bot, Tenant
from comanda_contract.cloud.messages_out import Recipient, render
from comanda_store import Claim, NewTimer, OrderRecord, TurnResult

_log = structlog.get_logger()

PINNED = "python"
"""The flow version of a conversation whose state is a python handler's."""

RecentOrders = Callable[[Claim], Awaitable[list[OrderRecord]]]
"""Reads the orders that the customer of a claim has placed, in any order."""


def _now_ms() -> int:
    return int(time.time() * 1000)


class PythonHandler:
    """Runs tenants' own code, each tenant's in processes of its own."""

    def __init__(
        self,
        recent_orders: RecentOrders,
        media: MediaClient,
        watch: Watch | None = None,
        clock: Callable[[], int] = _now_ms,
    ) -> None:
        self._recent_orders = recent_orders
        self._media = media
        self._watch = watch if watch is not None else Watch()
        self._clock = clock
        self._crews: dict[str, Crew] = {}
        self._closed = False

    @property
    def problems(self) -> dict[str, str]:
        """Why the handlers of tenants cannot run now, a sentence by tenant."""
        return {name: crew.problem for name, crew in self._crews.items() if crew.problem}

    async def handle(self, tenant: Tenant, claim: Claim) -> TurnResult:
        """Run one turn. Raises `HandlerFailed`, or `HandlerInterrupted` when the turn is not to blame."""
        bot = tenant.bot
        if bot is None:
            message = f"Tenant {tenant.name} has no usable restaurant."
            raise LookupError(message)
        now = self._clock()
        if claim.handover_until > now:
            return _while_staff_talks(claim, now)

        async def fetch() -> tuple[PastOrder, ...]:
            return _past_orders(await self._recent_orders(claim))

        menu = wire.Menu(display_name=tenant.settings.display_name, document=bot.menu_document)
        crew = await self._crew(tenant)
        effects = await crew.run(Request(_facts(claim, now), menu, fetch, TurnFiles(self._media, tenant, claim)))
        result = _result(bot, claim, effects, now)
        metrics.TURNS_DONE.inc()
        return result

    async def keep(self, tenants: Iterable[Tenant]) -> None:
        """Start the handlers of these tenants, and end those of all others."""
        if self._closed:
            return
        await self._keep({tenant.name: tenant for tenant in tenants if tenant.settings.handler.type == "python"})

    async def close(self) -> None:
        """End every process. Turns under way are interrupted, and so are those that come later."""
        self._closed = True
        await self._keep({})

    async def _keep(self, wanted: Mapping[str, Tenant]) -> None:
        for name in set(self._crews) - set(wanted):
            await self._crews.pop(name).close()
        for tenant in wanted.values():
            await self._crew(tenant)

    async def _crew(self, tenant: Tenant) -> Crew:
        if self._closed:
            raise HandlerInterrupted(f"Tenant {tenant.name} is not answered: the pod is being stopped.")
        plan = _plan(tenant)
        crew = self._crews.get(tenant.name)
        if crew is None or crew.plan != plan:
            self._crews[tenant.name] = Crew(plan, self._watch)
            if crew is not None:
                _log.info("handler_changed", tenant=tenant.name, entry_point=plan.entry_point)
                await crew.close()
        return self._crews[tenant.name]


def _plan(tenant: Tenant) -> WorkerPlan:
    settings = tenant.settings.handler
    return WorkerPlan(
        tenant=tenant.name,
        entry_point=settings.entry_point,
        timeout_seconds=settings.timeout_seconds,
        memory_mib=settings.memory_mib,
        env=settings.env,
    )


def _facts(claim: Claim, now: int) -> Facts:
    own_state = claim.state if claim.flow_version == PINNED else None
    return Facts(
        message_id=claim.wamid,
        type=claim.type,
        payload=claim.payload,
        contact=claim.contact,
        sent_at_ms=claim.sent_at,
        now_ms=now,
        phone=claim.phone,
        user_id=claim.user_id,
        state=own_state.decode() if own_state else "",
    )


def _while_staff_talks(claim: Claim, now: int) -> TurnResult:
    """Say nothing while staff has the conversation; a timer comes again when they are done."""
    if claim.type != TIMER:
        return untouched(claim)
    return untouched(claim, timers=(NewTimer(max(1000, claim.handover_until - now), claim.payload),))


def _result(bot: Bot, claim: Claim, effects: Effects, now: int) -> TurnResult:
    recipient = Recipient(phone=claim.phone, user_id=claim.user_id)
    order = None
    if effects.order is not None:
        try:
            draft = draft_of(bot.restaurant, effects.order, datetime.fromtimestamp(now / 1000, UTC), claim.wamid)
        except OrderError as error:
            raise HandlerFailed(f"The handler's order cannot be taken. {error}") from error
        order = new_order(draft, bot.menu_version)
    return TurnResult(
        state=bytes(effects.state),
        flow_version=PINNED,
        handover_until=now + HANDOVER_MS if effects.handover else 0,
        messages=tuple(msgspec.json.encode(render(each, recipient)).decode() for each in effects.messages),
        order=order,
        timers=tuple(NewTimer(timer.after_ms, timer.payload) for timer in effects.timers),
    )


def _past_orders(records: Iterable[OrderRecord]) -> tuple[PastOrder, ...]:
    """Return the newest orders as the handler sees them, the newest first."""
    newest = sorted(records, key=lambda record: record.created_at, reverse=True)[:RECENT]
    return tuple(map(_past_order, newest))


def _past_order(record: OrderRecord) -> PastOrder:
    lines = tuple(
        PastLine(
            sku=line.sku,
            name=line.name,
            quantity=line.quantity,
            options=line.options,
            notes=line.notes,
            total_minor=line.total,
        )
        for line in record.lines
    )
    return PastOrder(
        code=record.code,
        status=record.status,
        created_at=datetime.fromtimestamp(record.created_at / 1000, UTC),
        fulfilment=cast("Fulfilment", record.fulfilment),
        lines=lines,
        currency=record.currency,
        total_minor=record.total,
        address=record.address,
        latitude=record.latitude,
        longitude=record.longitude,
    )
