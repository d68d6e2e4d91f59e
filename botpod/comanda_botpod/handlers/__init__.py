"""Handlers: what decides a bot's answer. One protocol, two kinds.

    flow     the tenant's flow as data, run by the pure engine        flow.py
    python   a tenant's own code, run contained in a child process    python.py → contained/ ⇄ worker.py → sdk/

Bot developers import `comanda_botpod.handlers.api` and `comanda_botpod.handlers.testing`, and nothing else. So nothing
of the pod is imported here: their code must load without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from comanda_botpod.handlers.errors import HandlerFailed, HandlerInterrupted

if TYPE_CHECKING:
    from comanda_botpod.tenants import Tenant
    from comanda_store import Claim, TurnResult

__all__ = ["Handler", "HandlerFailed", "HandlerInterrupted"]


class Handler(Protocol):
    """Answers one message. It changes nothing itself: what it returns is written in one transaction."""

    async def handle(self, tenant: Tenant, claim: Claim) -> TurnResult:
        """Return what the turn changes.

        An exception means: try again, and park the message after five tries. `HandlerInterrupted` does not count.
        """
        ...
