"""Group commit: whatever waits shares one transaction, and every answer leaves after it is on disk.

There is no timer. While one commit is being synced, further operations gather; when it returns they go together. At
rest an operation is alone and pays one sync; under load a sync carries up to `MAX_GROUP` of them.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from comanda_store.errors import StorageError

T = TypeVar("T")
Operation = Callable[[Connection], Any]
_Waiting = tuple[Operation, "asyncio.Future[Any]"]
_Outcome = tuple["asyncio.Future[Any]", Any, BaseException | None]

MAX_GROUP = 256
"""Operations in one transaction at most: bounds how long the first of them waits."""


class GroupCommitter:
    """Runs operations on one connection in one thread, many to a transaction, each in a savepoint of its own.

    An operation that raises takes back its own changes alone. When the commit fails, all of them fail. `write_turn` is
    held around each transaction, so that processes which share the database take turns.
    """

    def __init__(self, engine: Engine, write_turn: Callable[[], AbstractContextManager[None]]) -> None:
        self._engine = engine
        self._write_turn = write_turn
        self._loop = asyncio.get_running_loop()
        self._waiting: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="group-commit", daemon=True)
        self._thread.start()

    async def run(self, operation: Callable[[Connection], T]) -> T:
        """Run an operation and return its result once it is durable. Raises `StorageError` when it could not be."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._waiting.put((operation, future))
        # The commit happens whether or not the caller still waits, so a cancelled caller must not cancel the future.
        return await asyncio.shield(future)

    async def close(self) -> None:
        """Finish what waits, then stop."""
        self._waiting.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        while (first := self._waiting.get()) is not None:
            group, closing = [first], False
            try:
                with self._write_turn():
                    # What came while this process waited for its turn to write goes along.
                    closing = self._gather(group)
                    outcomes = self._commit(group)
            except Exception as error:  # noqa: BLE001 - the thread must live, and every caller must be told
                closing = self._gather(group) or closing
                failure = _storage_error(error)
                outcomes = [(future, None, failure) for _, future in group]
            self._loop.call_soon_threadsafe(_resolve, outcomes)
            if closing:
                return

    def _gather(self, group: list[_Waiting]) -> bool:
        """Add to the group what waits; True when the end of all work is among it."""
        while len(group) < MAX_GROUP and not self._waiting.empty():
            waiting = self._waiting.get()
            if waiting is None:
                return True
            group.append(waiting)
        return False

    def _commit(self, group: list[_Waiting]) -> list[_Outcome]:
        with self._engine.begin() as connection:
            return [self._attempt(connection, *waiting) for waiting in group]

    @staticmethod
    def _attempt(connection: Connection, operation: Operation, future: asyncio.Future[Any]) -> _Outcome:
        savepoint = connection.begin_nested()
        try:
            result = operation(connection)
            savepoint.commit()
        except Exception as error:
            if not _in_transaction(connection):
                # SQLite takes the whole transaction back when the disk is full: the neighbours' work is gone as well.
                raise
            # A fault in one operation belongs to its caller, not to its neighbours.
            savepoint.rollback()
            return future, None, _storage_error(error) if isinstance(error, SQLAlchemyError) else error
        return future, result, None


def _in_transaction(connection: Connection) -> bool:
    if connection.invalidated:
        return False
    driver = connection.connection.driver_connection
    return bool(getattr(driver, "in_transaction", True))


def _storage_error(error: BaseException) -> StorageError:
    if isinstance(error, StorageError):
        return error
    cause = error.orig if isinstance(error, DBAPIError) else error
    # The driver's own words alone: SQLAlchemy's text holds the statement's parameters, and those hold customers' data.
    failure = StorageError(
        f"The database did not take it ({type(cause).__name__}: {cause}).", hint="See docs/operations."
    )
    failure.__cause__ = None
    return failure


def _resolve(outcomes: list[_Outcome]) -> None:
    for future, result, error in outcomes:
        if future.done():
            continue
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)
