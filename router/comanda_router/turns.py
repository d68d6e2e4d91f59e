"""Large reads and those of forgers take turns: they wait for others, and nobody waits long for them.

One read is worked on in a turn of the loop, and after it comes a rest of twice as long as it took. So however many
clients send megabytes, their bytes take a third of the loop's time, and others are held up by one read at most.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from time import monotonic

READ_BYTES = 64 * 1024
"""What is larger than this is large: a read, and a body, which then comes in pieces. The server reads up to 256 KB."""
REST = 2.0
"""How many times as long as its work the rest after a turn is."""


class Turns:
    """Calls what asks for a turn, in order. Belongs to one event loop."""

    def __init__(self, rest: float = REST) -> None:
        self.rest = rest
        self._waiting: deque[Callable[[], None]] = deque()
        self._loop = asyncio.get_running_loop()
        self._busy = False
        """Whether a turn is planned, or the rest after one is not over."""

    def ask(self, work: Callable[[], None]) -> None:
        """Call `work` when it has its turn."""
        self._waiting.append(work)
        if not self._busy:
            self._busy = True
            self._loop.call_soon(self._next)

    def _next(self) -> None:
        if not self._waiting:
            self._busy = False
            return
        work, began = self._waiting.popleft(), monotonic()
        try:
            work()
        finally:
            pause = (monotonic() - began) * self.rest
            if pause:
                self._loop.call_later(pause, self._next)
            else:
                self._loop.call_soon(self._next)
