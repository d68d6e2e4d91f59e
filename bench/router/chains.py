"""Routers with what stores behind them, each fed the form of webhook that it understands.

HAProxy cannot stand before our pods with Meta's webhooks: they read batches of deliveries, and it cannot split. To be
compared at all, it gets what our router would have made of each webhook, signed: it checks and routes as much, and
splits nothing. Beside it stands what is usual behind it: FastAPI, an insert and a commit a request.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from bench.router.bodies import batch_form, insert_form, webhook_form, write_bodies
from bench.router.databases import Database
from bench.router.load import ClosedLoop
from bench.router.systems import HAPROXY, OURS, TENANTS, Router, System, Upstreams, start_router

INBOX = "select count(*) from inbox"


@dataclass(frozen=True)
class Chain:
    """A router with what stores behind it; `number` is where in a body the phone number is."""

    name: str
    router: System
    form: Callable[[], bytes]
    number: str
    stored: str
    """Counts what is on disk."""

    async def start(self, folder: Path, upstreams: Upstreams) -> Router:
        """Start the router before its pods. Raises `MissingError` or `RuntimeError`."""
        return await start_router(self.router, folder / self.router.name, replace(upstreams, number=self.number))


WHOLE = Chain(OURS.name, OURS, webhook_form, "", INBOX)
SAME_PODS = Chain("HAProxy + the same pods", HAPROXY, batch_form, "$.deliveries[0].phone_number_id", INBOX)
INSERTS = Chain(
    "HAProxy + FastAPI, one insert a request",
    HAPROXY,
    insert_form,
    "$.phone_number_id",
    "select count(*) from message",
)


async def let_all_write(database: Database, pods: Upstreams) -> int:
    """Let each tenant's customer write once: the first message makes a customer and a conversation.

    Returns the first index of bodies that is still free.
    """
    bodies, answers = database.folder / "first", 0
    write_bodies(bodies, webhook_form(), range(TENANTS))
    router = await WHOLE.start(database.folder, pods)
    load = ClosedLoop(bodies)
    try:
        while answers < TENANTS:
            answers += (await load.run(router.port, 1)).answers
    finally:
        await router.stop()
    return TENANTS
