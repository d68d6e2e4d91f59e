"""The store as the pods use it: few operations, each one transaction, each durable when it returns."""

from __future__ import annotations

import asyncio
from collections import ChainMap
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import Engine

from comanda_store import catalog, inbox, orders, outbox, turns, workers
from comanda_store.commits import GroupCommitter
from comanda_store.engine import BUSY_SECONDS, check_durability, migrate, open_engine
from comanda_store.records import (
    Busy,
    Claim,
    EventItem,
    InboundItem,
    Ingested,
    OrderRecord,
    PendingSend,
    PublishedTenant,
    SendResult,
    StatusItem,
    Takeover,
    TurnResult,
)
from comanda_store.write_queue import WriteQueue

_ALIASES_KEPT = 200_000
"""Customers whose ids are remembered between messages; about 30 MB when full."""

OPEN_SECONDS = 60.0
"""How long a pod that starts waits for others that open the same database."""


class Store:
    """One pod's access to its group's database. `incarnation` is this process's own: it owns what it works on."""

    def __init__(self, engine: Engine, writes: WriteQueue, pod: str, incarnation: str) -> None:
        self._engine = engine
        self._writes = writes
        self._committer = GroupCommitter(engine, writes.turn)
        self._aliases: dict[tuple[str, str, str], int] = {}
        self.pod = pod
        self.incarnation = incarnation

    @classmethod
    async def open(cls, url: str, *, pod: str, incarnation: str) -> Store:
        """Open, migrate and check a database. Raises `StorageError` or `WeakDurabilityError`."""
        engine = open_engine(url)

        def prepare() -> WriteQueue:
            writes = WriteQueue(Path(str(engine.url.database)), BUSY_SECONDS)
            # SQLite refuses to turn on its write-ahead log while another process does the same.
            with writes.turn(OPEN_SECONDS):
                migrate(engine)
                check_durability(engine)
            return writes

        store = cls(engine, await asyncio.to_thread(prepare), pod, incarnation)
        await store.heartbeat()
        return store

    async def close(self) -> None:
        """Give up what this process owns, finish what waits, and close the database."""
        await self._committer.run(lambda connection: workers.leave(connection, self.incarnation))
        await self.abandon()

    async def abandon(self) -> None:
        """Finish what waits and close the database, and leave what is owned to whoever finds it, as a crash does."""
        await self._committer.close()
        self._engine.dispose()
        self._writes.close()

    async def ingest(self, items: Sequence[InboundItem | StatusItem | EventItem]) -> list[Ingested]:
        """Store what was delivered; returns, in order, what is new, when all of it is durable."""
        # What the operation learns is kept apart until its commit: a rolled-back customer must not be remembered.
        aliases = ChainMap[tuple[str, str, str], int]({}, self._aliases)
        answers = await self._committer.run(
            lambda connection: inbox.ingest(connection, aliases, self.incarnation, items)
        )
        if len(self._aliases) > _ALIASES_KEPT:
            self._aliases.clear()
        self._aliases.update(aliases.maps[0])
        return answers

    async def claim(self, customer: int) -> Claim | Busy | None:
        """Take a conversation's next message for a turn; see `turns.claim`."""
        return await self._committer.run(lambda connection: turns.claim(connection, self.incarnation, customer))

    async def finish(self, claimed: Claim, result: TurnResult) -> list[PendingSend]:
        """Write all that a turn changed, or nothing. Raises `FencedError`; see `turns.finish`."""
        return await self._committer.run(lambda connection: turns.finish(connection, self.incarnation, claimed, result))

    async def begin_send(self, send: PendingSend) -> bool:
        """Write down that a send begins; False when it is no longer ours."""
        return await self._committer.run(
            lambda connection: outbox.begin_send(connection, self.incarnation, send.outbox_id)
        )

    async def finish_send(self, send: PendingSend, result: SendResult) -> None:
        """Write down how a send ended."""
        await self._committer.run(lambda connection: outbox.finish_send(connection, self.incarnation, send, result))

    async def heartbeat(self) -> None:
        """Show that this process is alive; due every second."""
        await self._committer.run(lambda connection: workers.heartbeat(connection, self.pod, self.incarnation))

    async def take_over(self) -> Takeover:
        """Take what dead pods of the group left."""
        return await self._committer.run(lambda connection: workers.take_over(connection, self.incarnation))

    async def publish(self, tenant: PublishedTenant, actor: str) -> bool:
        """Record a tenant's current flow and menu versions; True when one is new."""
        return await self._committer.run(lambda connection: catalog.publish(connection, tenant, actor))

    async def flow_document(self, tenant: str, version: str) -> str | None:
        """Return a published flow as JSON text, or None."""
        return await self._committer.run(lambda connection: catalog.flow_document(connection, tenant, version))

    async def list_orders(self, tenant: str | None = None) -> list[OrderRecord]:
        """Return orders, the oldest first."""
        return await self._committer.run(lambda connection: orders.list_orders(connection, tenant))
