"""The flow handler: the tenant's flow as data, run by the pure engine."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

import msgspec

from comanda_botpod.handlers.records import HANDOVER_MS, new_order, untouched
from comanda_botpod.tenants import Bot, Tenant
from comanda_contract.cloud.messages_in import parse_contact, parse_message
from comanda_contract.cloud.messages_out import Recipient, render
from comanda_flow import Flow, advance, decode_state, encode_state, load_flow
from comanda_store import Claim, Store, TurnResult


class FlowHandler:
    """Runs a tenant's flow. A conversation that began with one version of it ends with that version."""

    def __init__(self, store: Store, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._store = store
        self._clock = clock

    async def handle(self, tenant: Tenant, claim: Claim) -> TurnResult:
        """Advance the conversation by one message."""
        bot = tenant.bot
        if bot is None:
            message = f"Tenant {tenant.name} has no usable flow."
            raise LookupError(message)
        now = self._clock()
        now_ms = int(now.timestamp() * 1000)
        if claim.handover_until > now_ms:
            # Staff has the conversation: what the customer writes is kept, and the bot does not talk over them.
            return untouched(claim)
        flow, version = await self._pinned(tenant, bot, claim)
        turn = advance(
            flow,
            bot.restaurant,
            decode_state(claim.state) if claim.state else None,
            parse_message(claim.payload.encode()),
            parse_contact(claim.contact.encode()),
            now.astimezone(_zone(tenant.settings.timezone)),
        )
        recipient = Recipient(phone=claim.phone, user_id=claim.user_id)
        return TurnResult(
            state=encode_state(turn.state),
            flow_version="" if turn.order is not None else version,
            handover_until=now_ms + HANDOVER_MS if turn.handover else 0,
            messages=tuple(msgspec.json.encode(render(reply, recipient)).decode() for reply in turn.replies),
            order=new_order(turn.order, bot.menu_version) if turn.order is not None else None,
        )

    async def _pinned(self, tenant: Tenant, bot: Bot, claim: Claim) -> tuple[Flow, str]:
        if claim.flow_version in {"", bot.flow_version}:
            return bot.flow, bot.flow_version
        document = await self._store.flow_document(tenant.scope, claim.flow_version)
        if document is None:
            return bot.flow, bot.flow_version
        return _parsed(document), claim.flow_version


@lru_cache(maxsize=256)
def _parsed(document: str) -> Flow:
    return load_flow(msgspec.json.decode(document))


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
