"""Group commit: whatever waits shares one transaction, and every answer leaves after it is on disk.

There is no timer. While one commit is being synced, further requests gather; when it returns they go together. At
rest a request is alone and pays one sync; under load a sync carries up to `MAX_GROUP` rows of them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from comanda_store.errors import StorageError
from comanda_store.requests import Outcome, Request, rows_of

MAX_GROUP = 256
"""Rows in one transaction at most: bounds how long the first of them waits."""

Run = Callable[[Sequence[Request]], Awaitable[Sequence[Outcome]]]
_Waiting = tuple[float, Request, "asyncio.Future[Any]"]


class GroupCommitter:
    """Gathers requests and hands them to `run`, one group after the other.

    `run` answers each request with its outcome, durable, or with the exception that its caller gets. When `run` itself
    raises, nothing of the group was written.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[_Waiting] = deque()
        self._under_way_since = 0.0
        self._arrived = asyncio.Event()
        self._closing = False
        self._task = asyncio.create_task(self._work(), name="group-commit")
        self.on_commit: Callable[[int, float], None] = lambda _rows, _seconds: None
        """Called after each commit with its rows and seconds, for metrics."""

    def submit(self, request: Request) -> asyncio.Future[Any]:
        """Queue a request; the future has its outcome once it is durable. Raises `StorageError` when closed."""
        if self._closing:
            raise StorageError("The store is closed.")
        future: asyncio.Future[Any] = self._loop.create_future()
        self._waiting.append((self._loop.time(), request, future))
        self._arrived.set()
        return future

    async def ask(self, request: Request) -> Any:
        """Return a request's outcome once it is durable. Raises what it raised, or `StorageError`."""
        # The commit happens whether or not the caller still waits, so a cancelled caller must not cancel the future.
        return await asyncio.shield(self.submit(request))

    def oldest_wait(self) -> float:
        """Return for how many seconds the oldest request that is not durable yet has been waiting."""
        oldest = self._under_way_since or (self._waiting[0][0] if self._waiting else 0.0)
        return self._loop.time() - oldest if oldest else 0.0

    async def close(self) -> None:
        """Finish what waits, then stop."""
        self._closing = True
        self._arrived.set()
        await self._task

    async def _work(self) -> None:
        while True:
            if not self._waiting:
                if self._closing:
                    return
                self._arrived.clear()
                await self._arrived.wait()
                continue
            group, rows = self._gather()
            started = self._loop.time()
            self._under_way_since = group[0][0]
            try:
                outcomes = await self._run([request for _, request, _ in group])
            except Exception as error:  # noqa: BLE001 - the loop must live, and every caller must be told
                outcomes = [error if isinstance(error, StorageError) else unexpected(error)] * len(group)
            self._under_way_since = 0.0
            self.on_commit(rows, self._loop.time() - started)
            for (_, _, future), outcome in zip(group, outcomes, strict=True):
                _resolve(future, outcome)

    def _gather(self) -> tuple[list[_Waiting], int]:
        group: list[_Waiting] = []
        rows = 0
        while self._waiting and rows < MAX_GROUP:
            size = rows_of(self._waiting[0][1])
            if group and rows + size > MAX_GROUP:
                break
            group.append(self._waiting.popleft())
            rows += size
        return group, rows


def unexpected(error: BaseException) -> StorageError:
    """Return a storage error that names an exception's type and nothing that it may hold of a customer."""
    failure = StorageError(f"The database did not take it ({type(error).__name__}).", hint="See docs/operations.")
    failure.__cause__ = None
    return failure


def _resolve(future: asyncio.Future[Any], outcome: Outcome) -> None:
    if future.done():
        return
    if isinstance(outcome, BaseException):
        future.set_exception(outcome)
        future.exception()  # a caller that is gone must not leave a warning behind
    else:
        future.set_result(outcome)
