"""A gate that lets in so many at a time, the oldest first whenever it came, and can be shut for a while."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Gate:
    """Who is let in holds a place until it leaves; all others wait outside by age."""

    def __init__(self, places: int) -> None:
        self._free = places
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._opens: asyncio.TimerHandle | None = None

    @property
    def is_clear(self) -> bool:
        """Whether nobody waits outside and the gate is not shut: who comes now passes by nobody."""
        return self._opens is None and not self._waiting

    @asynccontextmanager
    async def place(self, age: int) -> AsyncIterator[None]:
        """Hold a place. Ages are of one series that grows, each here once at a time; the lowest is the oldest."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (age, turn))
        self._let_in()
        try:
            await turn
        except asyncio.CancelledError:
            # It may have been given its place a moment ago.
            if turn.done() and not turn.cancelled():
                self._leave()
            raise
        try:
            yield
        finally:
            self._leave()

    def shut(self, seconds: float) -> None:
        """Let nobody in for so long; a gate that is shut already opens when it would have."""
        if self._opens is None:
            self._opens = asyncio.get_running_loop().call_later(seconds, self.open)

    def open(self) -> None:
        """Let in whoever has room."""
        if self._opens is not None:
            self._opens.cancel()
            self._opens = None
        self._let_in()

    def _leave(self) -> None:
        self._free += 1
        self._let_in()

    def _let_in(self) -> None:
        while self._opens is None and self._free and self._waiting:
            _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                self._free -= 1
                turn.set_result(None)
