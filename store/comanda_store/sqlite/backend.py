"""The embedded database: one connection, one thread that writes, a fair turn among the processes of a group."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from comanda_store.commits import unexpected
from comanda_store.errors import StorageError
from comanda_store.records import Backlog, Takeover, TenantScope, Waiting
from comanda_store.requests import (
    BeginSend,
    ClaimTurn,
    EndSend,
    FinishTurn,
    Ingest,
    Outcome,
    ReleaseTurn,
    Request,
    Worker,
    rows_of,
)
from comanda_store.sqlite import inbox, outbox, turns, workers
from comanda_store.sqlite.checkpoints import Checkpointer
from comanda_store.sqlite.engine import BUSY_SECONDS, check_durability, migrate, open_engine
from comanda_store.sqlite.write_queue import WriteQueue

T = TypeVar("T")
_DAY_MS = 24 * 3600 * 1000
_ALIASES_KEPT = 200_000
"""Customers whose ids are remembered between messages; about 30 MB when full."""

OPEN_SECONDS = 60.0
"""How long a pod that starts waits for others that open the same database."""


class SqliteBackend:
    """One process's way to a SQLite file."""

    shares_commits = True

    def __init__(self, engine: Engine, writes: WriteQueue, worker: Worker) -> None:
        self._engine = engine
        self._path = Path(str(engine.url.database))
        self._writes = writes
        self._worker = worker
        self._thread = ThreadPoolExecutor(1, "sqlite")
        with engine.connect() as connection:
            # The engine has this one connection: what SQLAlchemy runs and what is run here directly share it.
            self._database: sqlite3.Connection = connection.connection.driver_connection  # type: ignore[assignment]
        self._checkpoints = Checkpointer(self._path, BUSY_SECONDS)
        self._aliases: dict[tuple[str, str, str], int] = {}

    @classmethod
    async def open(cls, url: str, worker: Worker) -> SqliteBackend:
        """Open, migrate and check a database file. Raises `StorageError` or `WeakDurabilityError`."""
        engine = open_engine(url)

        def prepare() -> WriteQueue:
            writes = WriteQueue(Path(str(engine.url.database)), BUSY_SECONDS)
            # SQLite refuses to turn on its write-ahead log while another process does the same.
            with writes.turn(OPEN_SECONDS):
                migrate(engine)
                check_durability(engine)
            return writes

        return cls(engine, await asyncio.to_thread(prepare), worker)

    async def commit_ingests(self, group: Sequence[Request]) -> Sequence[Outcome]:
        """See `Backend`; both kinds of requests share one commit here."""
        return await self.commit_work(group)

    async def commit_work(self, group: Sequence[Request]) -> Sequence[Outcome]:
        """See `Backend`."""
        return await self._in_thread(lambda: self._run(group))

    async def heartbeat(self) -> None:
        """See `Backend`."""
        await self._transaction(lambda now: workers.heartbeat(self._database, self._worker, now))

    async def leave(self) -> None:
        """See `Backend`."""
        await self._transaction(lambda _now: workers.leave(self._database, self._worker))

    async def take_over(self) -> Takeover:
        """See `Backend`."""
        return await self._transaction(lambda now: workers.take_over(self._database, self._worker, now))

    async def fire_timers(self) -> Sequence[Waiting]:
        """See `Backend`."""
        return await self._transaction(lambda now: workers.fire_timers(self._database, self._worker, now))

    async def backlog(self) -> Backlog:
        """See `Backend`."""
        return await self._transaction(lambda now: workers.backlog(self._database, now))

    async def purge(self, statuses_days: float, messages_days: float, limit: int) -> int:
        """See `Backend`."""

        def run(now: int) -> int:
            statuses, messages = (now - int(days * _DAY_MS) for days in (statuses_days, messages_days))
            return workers.purge(self._database, statuses, messages, limit)

        return await self._transaction(run)

    async def call(self, scope: TenantScope | None, operation: Callable[[Connection], T]) -> T:
        """See `Backend`; here it is the operation's own statements that keep to the tenant."""
        del scope

        def run() -> T:
            with self._writes.turn(), self._engine.begin() as connection:
                result = operation(connection)
            self._checkpoints.count(1)
            return result

        return await self._in_thread(run)

    async def forget_customers(self) -> None:
        """See `Backend`; SQLite gives the id of a row that went to another one."""
        await self._in_thread(self._aliases.clear)

    def free_bytes(self) -> int:
        """See `Backend`."""
        room = os.statvfs(self._path.parent)
        return room.f_bavail * room.f_frsize

    async def close(self) -> None:
        """See `Backend`."""
        await asyncio.to_thread(self._checkpoints.close)
        await self._in_thread(self._engine.dispose)
        self._thread.shutdown()
        self._writes.close()

    async def _in_thread(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except (sqlite3.Error, SQLAlchemyError) as error:
            raise _storage_error(error) from None

    async def _transaction(self, work: Callable[[int], T]) -> T:
        def run() -> T:
            with self._writes.turn():
                result = self._atomically(lambda: work(_now()))
            self._checkpoints.count(1)
            return result

        return await self._in_thread(run)

    def _run(self, group: Sequence[Request]) -> Sequence[Outcome]:
        with self._writes.turn():
            try:
                now = _now()
                outcomes = self._atomically(lambda: [self._answer(request, now) for request in group])
            except (sqlite3.Error, StorageError) as error:
                self._checkpoints.move()
                if len(group) == 1:
                    return [_storage_error(error)]
            else:
                self._checkpoints.count(sum(map(rows_of, group)))
                if len(self._aliases) > _ALIASES_KEPT:
                    self._aliases.clear()
                return outcomes
        # One of them is at fault, or the disk is: each on its own, so that it is nobody else's.
        return [outcome for request in group for outcome in self._run([request])]

    def _atomically(self, work: Callable[[], T]) -> T:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            result = work()
            self._database.execute("COMMIT")
        except BaseException:
            # What was learnt of customers in it is taken back too: their ids will be somebody else's.
            self._aliases.clear()
            # SQLite has taken the transaction back itself when the disk is full.
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise
        return result

    def _answer(self, request: Request, now: int) -> Outcome:
        database, owner = self._database, self._worker.incarnation
        match request:
            case Ingest(items):
                return inbox.ingest(database, self._aliases, self._worker, items, now)
            case ClaimTurn(scope, customer):
                return turns.claim(database, self._worker, scope, customer, now)
            case FinishTurn():
                return turns.finish(database, self._worker, request, now)
            case ReleaseTurn():
                return turns.release(database, owner, request)
            case BeginSend(send, pace):
                return outbox.begin_send(database, owner, send, pace, now)
            case EndSend(send, result):
                return outbox.end_send(database, owner, send, result, now)


def _now() -> int:
    return int(time.time() * 1000)  # an embedded database has its host's clock


def _storage_error(error: Exception) -> StorageError:
    if isinstance(error, StorageError):
        return error
    cause: BaseException = error
    if isinstance(error, DBAPIError) and error.orig is not None:
        cause = error.orig
    if isinstance(cause, sqlite3.OperationalError | sqlite3.IntegrityError):
        # The driver's own words: they name a setting, a disk or a column, never a value.
        failure = StorageError(f"The database did not take it ({cause}).", hint="See docs/operations.")
        failure.__cause__ = None
        return failure
    return unexpected(cause)
