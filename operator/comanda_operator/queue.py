"""What is to be looked at next: keys, each once however often it is added, the urgent ones first.

A key is never worked on twice at a time; what is added meanwhile waits until that is over. A key that failed comes back
later each time. Keys may be held back for a moment, so that what changes together is done together.
"""

from __future__ import annotations

import asyncio
import heapq
import random
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import count
from time import monotonic
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

FIRST_DELAY, LONGEST_DELAY = 0.1, 300.0
"""Between the tries of a key that fails, in seconds."""
_HOPELESS_DELAY = 5.0
"""From this delay on a key is no longer as urgent as what it was added for."""


class Priority(IntEnum):
    """How urgent a key is; the smaller, the sooner."""

    EDIT = 0
    """Somebody waits for it."""
    ROTATION = 1
    """Credentials changed."""
    NEW = 2
    """A resource that was not there before: of ten thousand that come at once each can wait for its turn."""
    DRIFT = 3
    """An object is not as it should be."""
    RESYNC = 4
    """A look at everything, to be sure."""


@dataclass(slots=True)
class _Held:
    due: float
    since: float
    priority: Priority


@dataclass
class Schedule(Generic[K]):
    """The rules of the queue. Pure: `now` is monotonic, in seconds."""

    working: dict[K, Priority] = field(default_factory=dict)
    added: int = 0
    _ready: dict[K, tuple[Priority, float]] = field(default_factory=dict)
    _heap: list[tuple[Priority, int, K]] = field(default_factory=list)
    _held: dict[K, _Held] = field(default_factory=dict)
    _due: list[tuple[float, int, K]] = field(default_factory=list)
    _again: dict[K, Priority] = field(default_factory=dict)
    _order: count[int] = field(default_factory=count)

    def __len__(self) -> int:
        return len(self._ready) + len(self._held) + len(self._again)

    def add(self, key: K, priority: Priority, now: float, delay: float = 0.0, most: float = 0.0) -> None:
        """Have a key looked at: at once, or when nothing was added to it for `delay`, but after `most` all the same."""
        self.added += 1
        if delay > 0 and key not in self._ready:
            self._hold(key, priority, now, delay, max(delay, most))
        elif key in self.working:
            self._again[key] = min(priority, self._again.get(key, priority))
        else:
            self._make_ready(key, priority, now)

    def pop(self, now: float) -> tuple[K, float] | None:
        """Take the most urgent key, and how long it was ready; the caller works on it and then calls `done`."""
        self._release(now)
        while self._heap:
            priority, _, key = heapq.heappop(self._heap)
            ready = self._ready.get(key)
            if ready is not None and ready[0] == priority:
                del self._ready[key]
                self.working[key] = priority
                return key, now - ready[1]
        return None

    def done(self, key: K, now: float) -> None:
        """Note that the work on a key is over; what was added meanwhile is ready now."""
        self.working.pop(key, None)
        again = self._again.pop(key, None)
        if again is not None:
            self._make_ready(key, again, now)

    def next_due(self) -> float | None:
        """Return when the next key that is held back becomes ready."""
        while self._due:
            due, _, key = self._due[0]
            held = self._held.get(key)
            if held is not None and held.due == due:
                return due
            heapq.heappop(self._due)
        return None

    def _hold(self, key: K, priority: Priority, now: float, delay: float, most: float) -> None:
        held = self._held.get(key)
        since = held.since if held is not None else now
        due = min(now + delay, since + most)
        if held is not None and held.priority < priority:
            due = min(due, held.due)  # what is less urgent must not hold it back any longer
        best = min(priority, held.priority) if held is not None else priority
        self._held[key] = _Held(due, since, best)
        heapq.heappush(self._due, (due, next(self._order), key))

    def _release(self, now: float) -> None:
        while (due := self.next_due()) is not None and due <= now:
            _, _, key = heapq.heappop(self._due)
            held = self._held.pop(key)
            if key in self.working:
                self._again[key] = min(held.priority, self._again.get(key, held.priority))
            else:
                self._make_ready(key, held.priority, now)

    def _make_ready(self, key: K, priority: Priority, now: float) -> None:
        held = self._held.pop(key, None)
        if held is not None:
            priority = min(priority, held.priority)
        known = self._ready.get(key)
        if known is None or priority < known[0]:
            self._ready[key] = (priority, known[1] if known is not None else now)
            heapq.heappush(self._heap, (priority, next(self._order), key))


class KeyedQueue(Generic[K]):
    """The queue of one event loop."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._schedule: Schedule[K] = Schedule()
        self._delays: dict[K, float] = {}
        self._changed = asyncio.Event()
        self.retries = 0

    def __len__(self) -> int:
        """How many keys wait."""
        return len(self._schedule)

    @property
    def working(self) -> int:
        """How many keys are worked on."""
        return len(self._schedule.working)

    def is_urgent(self, key: K) -> bool:
        """Tell whether somebody waits for the key that is worked on."""
        return self._schedule.working.get(key) == Priority.EDIT

    def add(self, key: K, priority: Priority = Priority.EDIT, *, delay: float = 0.0, most: float = 0.0) -> None:
        """Have a key looked at; see `Schedule.add`."""
        self._schedule.add(key, priority, self._clock(), delay, most)
        self._changed.set()

    async def get(self) -> tuple[K, float]:
        """Wait for the most urgent key; returns it and for how long it was ready."""
        while True:
            self._changed.clear()
            found = self._schedule.pop(self._clock())
            if found is not None:
                return found
            due = self._schedule.next_due()
            try:
                async with asyncio.timeout(None if due is None else max(0.0, due - self._clock())):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def done(self, key: K) -> None:
        """Note that a key was worked on and went well."""
        self._delays.pop(key, None)
        self._finish(key)

    def failed(self, key: K, at_least: float = 0.0) -> float:
        """Note that the work on a key failed: it comes back later each time. Returns in how many seconds."""
        delay = self._delays.get(key, FIRST_DELAY)
        self._delays[key] = min(2 * delay, LONGEST_DELAY)
        pause = max(at_least, delay * random.uniform(0.5, 1.0))  # noqa: S311 - it spreads load, it guards nothing
        self.retries += 1
        # What goes wrong once keeps its place before ten thousand others; what goes wrong always does not.
        again = self._schedule.working.get(key, Priority.RESYNC) if delay < _HOPELESS_DELAY else Priority.RESYNC
        self._finish(key)
        self._schedule.add(key, again, self._clock(), pause, pause)
        self._changed.set()
        return pause

    def _finish(self, key: K) -> None:
        self._schedule.done(key, self._clock())
        self._changed.set()
