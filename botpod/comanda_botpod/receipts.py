"""Read receipts: a customer sees that the message was read. Best effort: bounded, never repeated.

No typing indicator goes with it: replies leave within milliseconds, and an indicator that arrives after the reply stays
on the customer's screen for 25 s (Meta's typing indicator reference).
"""

from __future__ import annotations

import asyncio

import aiohttp
import structlog

from comanda_botpod.tenants import Tenant

_log = structlog.get_logger()

AT_ONCE = 32
"""Receipts under way at most; beyond that, replies are worth more than receipts, and none is sent."""
_TIMEOUT = aiohttp.ClientTimeout(total=5.0)


class ReadReceipts:
    """Marks messages as read at the Graph API."""

    def __init__(self, session: aiohttp.ClientSession, graph_url: str) -> None:
        self._session = session
        self._graph_url = graph_url.rstrip("/")
        self._tasks: set[asyncio.Task[None]] = set()

    def show(self, tenant: Tenant, wamid: str) -> None:
        """Mark a message, and those before it, as read; returns at once."""
        if tenant.access_token is None or len(self._tasks) >= AT_ONCE:
            return
        task = asyncio.create_task(self._mark(tenant, tenant.access_token, wamid), name="read-receipt")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Give up what is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _mark(self, tenant: Tenant, token: str, wamid: str) -> None:
        url = f"{self._graph_url}/{tenant.settings.graph_version}/{tenant.number}/messages"
        body = {"messaging_product": "whatsapp", "status": "read", "message_id": wamid}
        headers = {"Authorization": f"Bearer {token}"}
        try:
            async with self._session.post(url, json=body, headers=headers, timeout=_TIMEOUT) as response:
                await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            _log.debug("receipt_not_sent", error=type(error).__name__)
