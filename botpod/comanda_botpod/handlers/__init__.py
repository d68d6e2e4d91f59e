"""Handlers: what decides a bot's answer. One protocol; `flow` runs the flow engine."""

from __future__ import annotations

from typing import Protocol

from comanda_botpod.tenants import Tenant
from comanda_contract.errors import ComandaError
from comanda_store import Claim, TurnResult


class HandlerInterrupted(ComandaError):  # noqa: N818 - what happened, and not an error of this turn
    """A turn fell with somebody else's fault: its counted try is given back."""

    code = "handler_interrupted"


class Handler(Protocol):
    """Answers one message. It changes nothing itself: what it returns is written in one transaction."""

    async def handle(self, tenant: Tenant, claim: Claim) -> TurnResult:
        """Return what the turn changes. An exception means: try again, and park the message after five tries."""
        ...
