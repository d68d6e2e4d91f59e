"""The store as the pods use it: few operations, each one transaction, each durable when it returns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from sqlalchemy import Connection

from comanda_contract.moves import Cursor, Page, Row, Standing
from comanda_store import catalog, moves, orders, parked
from comanda_store.backend import Backend
from comanda_store.commits import MAX_GROUP, GroupCommitter
from comanda_store.erase import erase
from comanda_store.errors import StorageError
from comanda_store.postgres.backend import PostgresBackend
from comanda_store.records import (
    Backlog,
    Begun,
    Busy,
    Claim,
    Finished,
    Held,
    Ingested,
    Item,
    OrderRecord,
    Pace,
    ParkedMessage,
    PendingSend,
    PublishedTenant,
    Refused,
    SendResult,
    Takeover,
    TenantScope,
    TurnResult,
    Waiting,
)
from comanda_store.requests import BeginSend, ClaimTurn, EndSend, FinishTurn, Ingest, ReleaseTurn, Timing, Worker
from comanda_store.sqlite.backend import SqliteBackend

T = TypeVar("T")
_PUBLISH_AT_ONCE = 200
"""Tenants in one transaction: a pod that starts with thousands must not hold the others up."""


async def call_once(url: str, scope: TenantScope, operation: Callable[[Connection], T]) -> T:
    """Run one operation inside a tenant, as a command line does that is no pod. Raises `StorageError`."""
    worker = Worker("command-line", "command-line")
    backend: Backend = await _open_backend(url, worker)
    try:
        return await backend.call(scope, operation)
    finally:
        await backend.close()


async def _open_backend(url: str, worker: Worker) -> Backend:
    if url.startswith("sqlite"):
        return await SqliteBackend.open(url, worker)
    if url.startswith("postgresql"):
        return await PostgresBackend.open(url, worker)
    raise StorageError(
        "The database URL names neither SQLite nor PostgreSQL.",
        hint="Use sqlite+pysqlite:////data/comanda.db or postgresql+asyncpg://user:password@host/database.",
    )


class Store:
    """One pod's access to its group's database, SQLite or PostgreSQL by its URL.

    Operations that wait at the same time share a transaction (`commits.py`); what belongs to a tenant is reached with a
    `TenantScope`, or with a record that the store gave out for one.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._work = GroupCommitter(backend.commit_work)
        self._ingests = self._work if backend.shares_commits else GroupCommitter(backend.commit_ingests)

    @classmethod
    async def open(cls, url: str, *, pod: str, incarnation: str, timing: Timing | None = None) -> Store:
        """Open a database, check its schema and that it is durable.

        An embedded database is migrated on the way; a PostgreSQL one by its owner (`comanda db migrate`). Raises
        `StorageError` or `WeakDurabilityError`.
        """
        store = cls(await _open_backend(url, Worker(pod, incarnation, timing or Timing())))
        await store.heartbeat()
        return store

    async def close(self) -> None:
        """Finish what waits, give up what this process owns, and close the database."""
        await self._close_committers()
        try:
            await self._backend.leave()
        finally:
            await self._backend.close()

    async def abandon(self) -> None:
        """Finish what waits and close the database, and leave what is owned to whoever finds it, as a crash does."""
        await self._close_committers()
        await self._backend.close()

    async def _close_committers(self) -> None:
        await self._ingests.close()
        if self._work is not self._ingests:
            await self._work.close()

    def on_commit(self, told: Callable[[int, float], None]) -> None:
        """Let `told(rows, seconds)` be called after each group commit."""
        self._work.on_commit = self._ingests.on_commit = told

    def oldest_wait(self) -> float:
        """Return for how many seconds the oldest delivery has been waiting to become durable."""
        return self._ingests.oldest_wait()

    def free_bytes(self) -> int | None:
        """Return how much room the database has, None when that cannot be seen from here."""
        return self._backend.free_bytes()

    async def ingest(self, items: Sequence[Item]) -> list[Ingested]:
        """Store what was delivered; returns, in order, what is new, when all of it is durable."""
        slices = [tuple(items[start : start + MAX_GROUP]) for start in range(0, len(items), MAX_GROUP)]
        answers = [self._ingests.submit(Ingest(each)) for each in slices]
        done = await asyncio.shield(asyncio.gather(*answers))
        return [ingested for part in done for ingested in part]

    async def claim(self, scope: TenantScope, customer: int) -> Claim | Busy | None:
        """Take a conversation's next message for a turn, and count the try; None when nothing is pending.

        A message that has used up its tries is parked and the next one is taken. A message of another living pod
        answers `Busy`: the conversation stays serial across pods.
        """
        return await self._work.ask(ClaimTurn(scope, customer))  # type: ignore[no-any-return]

    async def finish(self, claimed: Claim, result: TurnResult, pace: Pace | None = None) -> Finished:
        """Write all that a turn changed, or nothing, and take the conversation's next message.

        With a pace the first message's send begins in the same transaction, if it may. Raises `FencedError` when
        another pod has the conversation.
        """
        return await self._work.ask(FinishTurn(claimed, result, pace))  # type: ignore[no-any-return]

    async def release(self, claimed: Claim, problem: str, *, counted: bool = True) -> None:
        """Note why a turn has no result; `counted=False` gives the try back because the fault was another's."""
        await self._work.ask(ReleaseTurn(claimed, problem, counted))

    async def begin_send(self, send: PendingSend, pace: Pace) -> Begun | Held | Refused:
        """Write down that a send begins, if it may leave now: still ours, in the window, within Meta's paces."""
        return await self._work.ask(BeginSend(send, pace))  # type: ignore[no-any-return]

    async def finish_send(self, send: PendingSend, result: SendResult) -> None:
        """Write down how a send ended."""
        await self._work.ask(EndSend(send, result))

    async def heartbeat(self) -> None:
        """Show that this process is alive; due every second."""
        await self._backend.heartbeat()

    async def take_over(self) -> Takeover:
        """Take what dead pods of the group left."""
        return await self._backend.take_over()

    async def fire_timers(self) -> Sequence[Waiting]:
        """Turn timers that are due into messages; returns the conversations that have work by it."""
        return await self._backend.fire_timers()

    async def backlog(self) -> Backlog:
        """Return what waits in the group's database, over all tenants."""
        return await self._backend.backlog()

    async def purge(self, *, statuses_days: float = 9, messages_days: float = 180, limit: int = 500) -> int:
        """Throw away one slice of what is old; returns the rows that went, 0 when nothing is left to throw away.

        Raises `ValueError` below 8 days: Meta repeats a webhook for 7, and what is forgotten would be handled again.
        """
        if min(statuses_days, messages_days) < 8:
            raise ValueError("statuses_days and messages_days must be 8 or more: Meta repeats webhooks for 7 days")
        return await self._backend.purge(statuses_days, messages_days, limit)

    async def erase(self, scope: TenantScope, *, limit: int = 2_000) -> int:
        """Erase one slice of all that is known of a tenant; returns the rows that went, 0 when nothing is left."""
        return await self._changing_ids(scope, lambda c: erase(c, scope, limit))

    async def note_leaving(self, scope: TenantScope, move: str) -> None:
        """Write down that a tenant leaves this database; no pod of the group works on it any more."""
        await self._changing_ids(scope, lambda c: moves.note(c, scope, moves.LEAVING, move))

    async def standing(self, scope: TenantScope, move: str) -> Standing:
        """Return what this database has of a tenant's move."""

        def look(connection: Connection) -> Standing:
            left, arrived = (moves.is_noted(connection, scope, each, move) for each in (moves.LEAVING, moves.ARRIVED))
            return Standing(left, arrived)

        return await self._backend.call(scope, look)

    async def export_page(self, scope: TenantScope, move: str, part: str, after: Cursor | None = None) -> Page:
        """Return some rows of a tenant that has left, of one of the contract's `PARTS`."""
        return await self._backend.call(scope, lambda c: moves.page(c, scope, move, part, after))

    async def take_rest(self, scope: TenantScope, move: str) -> dict[str, list[Row]]:
        """Return what is still to be done for a tenant that has left; it is not done here any more."""
        return await self._backend.call(scope, lambda c: moves.take_rest(c, scope, move))

    async def import_page(self, scope: TenantScope, part: str, rows: Sequence[Row]) -> None:
        """Write some rows of a tenant that comes; what is there already stays as it is."""
        await self._backend.call(scope, lambda c: moves.import_page(c, scope, part, rows))

    async def arrive(self, scope: TenantScope, move: str, rest: Mapping[str, Sequence[Row]]) -> bool:
        """Write what is still to be done for a tenant that comes, all or nothing; False when it was there already."""
        return await self._changing_ids(scope, lambda c: moves.arrive(c, scope, move, rest))

    async def _changing_ids(self, scope: TenantScope, operation: Callable[[Connection], T]) -> T:
        """Run an operation after which a customer's id may be another's; every pod does so before it serves again."""
        try:
            return await self._backend.call(scope, operation)
        finally:
            await self._backend.forget_customers()

    async def publish(self, tenants: Sequence[PublishedTenant], actor: str) -> int:
        """Record tenants' current flow and menu versions; returns how many tenants had a new one."""
        new = 0
        for start in range(0, len(tenants), _PUBLISH_AT_ONCE):
            some = tenants[start : start + _PUBLISH_AT_ONCE]
            new += await self._backend.call(None, partial(catalog.publish_all, tenants=some, actor=actor))
        return new

    async def flow_document(self, scope: TenantScope, version: str) -> str | None:
        """Return a published flow as JSON text, or None."""
        return await self._backend.call(scope, lambda c: catalog.flow_document(c, scope.tenant, version))

    async def list_orders(self, scope: TenantScope, customer: int | None = None) -> list[OrderRecord]:
        """Return a tenant's orders, the oldest first; of one customer if given."""
        return await self._backend.call(scope, lambda c: orders.list_orders(c, scope.tenant, customer))

    async def list_parked(self, scope: TenantScope) -> list[ParkedMessage]:
        """Return the messages that staff has to look at, the oldest first."""
        return await self._backend.call(scope, lambda c: parked.list_parked(c, scope.tenant))

    async def retry_parked(self, scope: TenantScope, inbox_id: int, actor: str) -> bool:
        """Let a parked message be tried again, with an audit entry; False when there is no such one."""
        return await self._backend.call(scope, lambda c: parked.retry(c, scope.tenant, inbox_id, actor))
