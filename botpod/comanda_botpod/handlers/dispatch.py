"""Which handler answers: by the tenant's own setting, and the one place where a conversation passes between kinds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from comanda_botpod.handlers import Handler
from comanda_botpod.handlers.contained.child import Watch
from comanda_botpod.handlers.python import PINNED, PythonHandler, RecentOrders
from comanda_botpod.handlers.records import untouched
from comanda_botpod.handlers.sdk.message import TIMER
from comanda_botpod.media import MediaClient
from comanda_botpod.tenants import Tenant
from comanda_store import Claim, TurnResult


class Handlers:
    """All handlers of a pod, behind the one protocol."""

    def __init__(
        self, flow: Handler, recent_orders: RecentOrders, media: MediaClient, watch: Watch | None = None
    ) -> None:
        self._flow = flow
        self._python = PythonHandler(recent_orders, media, watch)

    @property
    def problems(self) -> dict[str, str]:
        """Why the bots of tenants cannot answer now, a sentence by tenant."""
        return self._python.problems

    async def handle(self, tenant: Tenant, claim: Claim) -> TurnResult:
        """Let the tenant's handler answer; see the protocol."""
        if tenant.settings.handler.type == "python":
            return await self._python.handle(tenant, claim)
        if claim.type == TIMER:
            return untouched(claim)  # set by code that answers no longer
        if claim.flow_version == PINNED:
            claim = replace(claim, state=None, flow_version="")
        return await self._flow.handle(tenant, claim)

    async def keep(self, tenants: Iterable[Tenant]) -> None:
        """Start what these tenants need before a customer waits for it, and end what no tenant needs any more.

        Does nothing while nothing has changed; call it with all tenants whenever they were read.
        """
        await self._python.keep(tenants)

    async def close(self) -> None:
        """End every process. Turns under way raise `HandlerInterrupted`."""
        await self._python.close()
