"""PostgreSQL: two connections that commit (deliveries on one, turns and sends on the other) and a small pool beside.

A group of requests becomes one call a kind of request, in one transaction. What belongs to a tenant is done
inside the database's functions (`functions/*.sql`), where row-level security is switched to it for each turn.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from typing import TypeVar

import asyncpg
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from comanda_store import sql
from comanda_store.commits import unexpected
from comanda_store.errors import DatabaseNotReadyError, StorageError
from comanda_store.migrate import revisions
from comanda_store.postgres import calls
from comanda_store.postgres.connect import OUTER_SECONDS, SETTINGS, connect, open_engine
from comanda_store.records import Backlog, PendingSend, Takeover, TenantScope, Waiting
from comanda_store.requests import SWEEP_LIMIT, Outcome, Request, Worker

T = TypeVar("T")
_DAY_MS = 24 * 3600 * 1000
_TRIES = 4
_AGAIN = (
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,
)
"""What another transaction did to ours: nothing was written, and a second try finds the way free."""
_FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)


class PostgresBackend:
    """One process's way to a PostgreSQL database."""

    shares_commits = False

    def __init__(self, url: str, worker: Worker) -> None:
        self._worker = worker
        self._ingests = _Lane(url)
        self._work = _Lane(url)
        self._duties = _Lane(url)
        self._engine = open_engine(
            url, seconds=OUTER_SECONDS, settings=SETTINGS, pool_size=2, max_overflow=2, pool_timeout=OUTER_SECONDS
        )
        self._aliases: dict[tuple[str, str, str], int] = {}

    @classmethod
    async def open(cls, url: str, worker: Worker) -> PostgresBackend:
        """Open a database, check schema and settings. Raises `DatabaseNotReadyError` or `WeakDurabilityError`."""
        backend = cls(url, worker)
        try:
            await backend._duties.run(_check_schema)
        except BaseException as error:
            await backend.close()
            if isinstance(error, StorageError):
                raise DatabaseNotReadyError(error.message, hint=error.hint) from None
            raise
        return backend

    async def commit_ingests(self, group: Sequence[Request]) -> Sequence[Outcome]:
        """See `Backend`."""
        return await self._commit(self._ingests, group, calls.ingest_all)

    async def commit_work(self, group: Sequence[Request]) -> Sequence[Outcome]:
        """See `Backend`."""
        return await self._commit(self._work, group, calls.work_all)

    async def _commit(self, lane: _Lane, group: Sequence[Request], run: calls.Run) -> Sequence[Outcome]:
        learnt: dict[tuple[str, str, str], int] = {}
        call = calls.Call(self._worker, self._aliases, learnt)
        try:
            outcomes = await lane.run(lambda database: run(database, call, group), alone=calls.is_one_statement(group))
        except _Faulty as error:
            if len(group) == 1:
                return [error.told]
        else:
            calls.remember(self._aliases, learnt)
            return outcomes
        # One of them is at fault: each on its own, so that it is nobody else's.
        return [outcome for request in group for outcome in await self._commit(lane, [request], run)]

    async def heartbeat(self) -> None:
        """See `Backend`."""
        worker = self._worker

        async def run(database: asyncpg.Connection) -> None:
            await database.execute(
                "delete from workers where (pod = $1 and incarnation <> $2) or seen_at < comanda_now() - $3",
                worker.pod,
                worker.incarnation,
                100 * worker.timing.lease_ms,
            )
            await database.execute(
                "insert into workers (incarnation, pod, seen_at) values ($2, $1, comanda_now())"
                " on conflict (incarnation) do update set seen_at = excluded.seen_at",
                worker.pod,
                worker.incarnation,
            )

        await self._duty(run)

    async def leave(self) -> None:
        """See `Backend`."""
        incarnation = self._worker.incarnation
        await self._duty(lambda database: database.execute("delete from workers where incarnation = $1", incarnation))

    async def take_over(self) -> Takeover:
        """See `Backend`."""
        owner, timing = self._worker.incarnation, self._worker.timing

        async def run(database: asyncpg.Connection) -> Takeover:
            left = await database.fetch(
                "select * from comanda_take_messages($1, $2, $3, $4)",
                owner,
                timing.lease_ms,
                timing.forgotten_ms,
                SWEEP_LIMIT,
            )
            sends = await database.fetch(
                "select distinct id, tenant from comanda_take_sends($1, $2, $3, $4, $5) order by id",
                owner,
                timing.lease_ms,
                timing.forgotten_ms,
                timing.unknown_ms,
                SWEEP_LIMIT,
            )
            pending = await database.fetch(
                "select * from comanda_pending_sends($1, $2) order by id",
                [row["tenant"] for row in sends],
                [row["id"] for row in sends],
            )
            return Takeover(_waiting(left), tuple(_pending(row) for row in pending))

        return await self._duty(run)

    async def fire_timers(self) -> Sequence[Waiting]:
        """See `Backend`."""
        owner = self._worker.incarnation
        fire = "select * from comanda_fire_timers($1, $2)"
        return _waiting(await self._duty(lambda database: database.fetch(fire, owner, SWEEP_LIMIT)))

    async def backlog(self) -> Backlog:
        """See `Backend`."""
        return Backlog(*await self._duty(lambda database: database.fetchrow("select * from comanda_backlog()")))

    async def purge(self, statuses_days: float, messages_days: float, limit: int) -> int:
        """See `Backend`."""
        ages = (int(statuses_days * _DAY_MS), int(messages_days * _DAY_MS))
        statement = "select comanda_purge(comanda_now() - $1, comanda_now() - $2, $3)"
        return int(await self._duty(lambda database: database.fetchval(statement, *ages, limit)))

    async def call(self, scope: TenantScope | None, operation: Callable[[Connection], T]) -> T:
        """See `Backend`."""

        def run(connection: Connection) -> T:
            if scope is not None:
                sql.enter(connection, scope.tenant)
            return operation(connection)

        async def attempt() -> T:
            try:
                async with asyncio.timeout(2 * OUTER_SECONDS), self._engine.begin() as connection:
                    return await connection.run_sync(run)
            except DBAPIError as error:
                raise _driver_error(error) from None
            except PoolTimeout as error:
                raise unexpected(error) from None

        try:
            return await _with_tries(attempt)
        except _FAILURES as error:
            raise _told(error) from None

    async def forget_customers(self) -> None:
        """See `Backend`."""
        self._aliases.clear()

    def free_bytes(self) -> int | None:
        """See `Backend`; the server's disks cannot be seen from here."""
        return None

    async def close(self) -> None:
        """See `Backend`."""
        for lane in (self._ingests, self._work, self._duties):
            await lane.close()
        await self._engine.dispose()

    async def _duty(self, run: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        try:
            return await self._duties.run(run)
        except _Faulty as error:
            raise error.told from None


class _Faulty(Exception):  # noqa: N818 - it carries the error
    """The database refused what it was asked; the connection is well and nothing was written."""

    def __init__(self, told: StorageError) -> None:
        super().__init__(str(told))
        self.told = told


class _Lane:
    """One connection, one transaction at a time, each within `OUTER_SECONDS` or given up with the connection."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: asyncpg.Connection | None = None
        self._turn = asyncio.Lock()

    async def run(self, work: Callable[[asyncpg.Connection], Awaitable[T]], *, alone: bool = False) -> T:
        """Run work in a transaction. Raises `_Faulty`, or `StorageError` when the database did not answer.

        `alone`: the work is one statement, which is a transaction by itself; beginning and ending one would be two more
        messages to the server and back. It returns when the server is ready for the next, which is after the commit.
        """
        async with self._turn:
            try:
                return await _with_tries(lambda: self._transaction(work, alone=alone))
            except _AGAIN as error:
                raise _Faulty(_told(error)) from None

    async def _transaction(self, work: Callable[[asyncpg.Connection], Awaitable[T]], *, alone: bool) -> T:
        connection = await self._connected()
        try:
            async with asyncio.timeout(OUTER_SECONDS), nullcontext() if alone else connection.transaction():
                return await work(connection)
        except _AGAIN:
            raise
        except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, ValueError) as error:
            raise _Faulty(_told(error)) from None
        except BaseException as error:
            # Whatever else happened, the state of this connection is not known: never wait for a frozen server.
            connection.terminate()
            self._connection = None
            if isinstance(error, _FAILURES):
                raise _told(error) from None
            raise

    async def _connected(self) -> asyncpg.Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(self._url)
        return self._connection

    async def close(self) -> None:
        async with self._turn:
            if self._connection is None:
                return
            try:
                async with asyncio.timeout(OUTER_SECONDS):
                    await self._connection.close()
            except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                self._connection.terminate()
            # Lets the transport notice that it is closed before the loop may end.
            await asyncio.sleep(0)


async def _with_tries(transaction: Callable[[], Awaitable[T]]) -> T:
    """Run a transaction again, a few times, while another one stands in its way."""
    for attempt in range(1, _TRIES):
        try:
            return await transaction()
        except _AGAIN:
            await asyncio.sleep(random.uniform(0.005, 0.02) * 2**attempt)  # noqa: S311 - jitter
    return await transaction()


async def _check_schema(database: asyncpg.Connection) -> None:
    found = await database.fetchval("select to_regclass('public.alembic_version')")
    version = await database.fetchval("select version_num from alembic_version") if found else ""
    known = revisions()
    # One version on: what it added has defaults, and what it took away was not used any more by this one.
    if version in known[:-1] or not version:
        raise StorageError(
            f"The database's schema is {version or 'empty'}, this version needs {known[-1]}.",
            hint="Run: comanda db migrate --url <the owner's URL> --service-role <the pods' role>",
        )


def _driver_error(error: DBAPIError) -> BaseException:
    """Return what asyncpg raised: SQLAlchemy's own classes do not tell a lock that was not free from a full disk."""
    wrapped = error.orig or error
    cause = wrapped.__cause__
    return cause if isinstance(cause, _FAILURES) else unexpected(wrapped)


def _told(error: BaseException) -> StorageError:
    if isinstance(error, asyncpg.PostgresError):
        # The class of what happened and its code; the server's sentence may quote a customer's row.
        failure = StorageError(
            f"The database did not take it ({type(error).__name__}, {error.sqlstate}).", hint="See docs/operations."
        )
        failure.__cause__ = None
        return failure
    return unexpected(error)


def _waiting(rows: Sequence[asyncpg.Record]) -> tuple[Waiting, ...]:
    return tuple(Waiting(TenantScope(row["tenant"], row["phone_number_id"]), row["customer_id"]) for row in rows)


def _pending(row: asyncpg.Record) -> PendingSend:
    return PendingSend(*row.values())
