"""Everything that passed between businesses and customers, in order: what tests check and the chat page shows.

A bounded ring: sequence numbers grow by one without a gap, the oldest entries go first.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from itertools import islice
from typing import Generic, Literal, TypeVar

import msgspec

Direction = Literal["in", "out", "status", "mark"]
"""`in`: a customer wrote; `out`: an accepted send; `status`: what became of it; `mark`: the business read or types."""


class Entry(msgspec.Struct, kw_only=True):
    """One event. `payload` is the JSON as it went over the wire; `acked` means that its webhook was answered 200."""

    seq: int
    at: float
    direction: Direction
    phone_number_id: str
    customer: str
    wamid: str
    payload: msgspec.Raw
    acked: bool = False


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries somebody wants; an empty field means all."""

    phone_number_id: str = ""
    customer: str = ""
    direction: str = ""

    def matches(self, entry: Entry) -> bool:
        """Tell whether the entry is wanted."""
        return (
            (not self.customer or entry.customer == self.customer)
            and (not self.phone_number_id or entry.phone_number_id == self.phone_number_id)
            and (not self.direction or entry.direction == self.direction)
        )


T = TypeVar("T")


class Ring(Generic[T]):
    """The newest `size` items of an endless series, each with a position that grows by one from 1."""

    def __init__(self, size: int) -> None:
        self._size = size
        # Dropping the oldest in slices keeps appending cheap: the list moves once in `slack` items.
        self._slack = max(1, size // 8)
        self._items: list[T] = []
        self._first = 1

    @property
    def last(self) -> int:
        """Position of the newest item; 0 when there was none."""
        return self._first + len(self._items) - 1

    def append(self, item: T) -> None:
        """Add an item at position `last + 1`."""
        self._items.append(item)
        if len(self._items) > self._size + self._slack:
            del self._items[: self._slack]
            self._first += self._slack

    def after(self, position: int) -> Iterator[T]:
        """Yield what follows a position, oldest first, without what the ring has dropped."""
        start = max(position + 1 - self._first, len(self._items) - self._size, 0)
        for index in range(start, len(self._items)):
            yield self._items[index]

    def backwards(self) -> Iterator[T]:
        """Yield all items, newest first."""
        return islice(reversed(self._items), self._size)


class Ledger:
    """All entries, and apart from them the order in which customers' messages were acknowledged.

    `run` is new with each start, so that readers notice a restart.
    """

    def __init__(self, size: int) -> None:
        self.run = secrets.token_hex(8)
        self.entries: Ring[Entry] = Ring(size)
        self.acknowledged: Ring[Entry] = Ring(size)
        self._waiters: list[asyncio.Future[None]] = []

    @property
    def last(self) -> int:
        """Sequence number of the newest entry; 0 when there is none."""
        return self.entries.last

    def append(
        self, direction: Direction, *, at: float, phone_number_id: str, customer: str, wamid: str, payload: bytes
    ) -> Entry:
        """Add an entry and wake those who wait."""
        entry = Entry(
            seq=self.last + 1,
            at=at,
            direction=direction,
            phone_number_id=phone_number_id,
            customer=customer,
            wamid=wamid,
            payload=msgspec.Raw(payload),
        )
        self.entries.append(entry)
        self.wake()
        return entry

    def acknowledge(self, entry: Entry) -> None:
        """Note that the entry's webhook was answered 200; a customer's message is told to those who wait."""
        if entry.direction == "in" and not entry.acked:
            self.acknowledged.append(entry)
            self.wake()
        entry.acked = True

    def page(self, seq: int, wanted: Filter, limit: int) -> list[Entry]:
        """Return at most `limit` wanted entries after `seq`, oldest first."""
        found: list[Entry] = []
        for entry in self.entries.after(seq):
            if wanted.matches(entry):
                found.append(entry)
                if len(found) >= limit:
                    break
        return found

    def tail(self, wanted: Filter, count: int) -> list[Entry]:
        """Return the newest `count` wanted entries, oldest first."""
        found: list[Entry] = []
        for entry in self.entries.backwards():
            if len(found) >= count:
                break
            if wanted.matches(entry):
                found.append(entry)
        return found[::-1]

    async def wait(self, timeout_seconds: float) -> None:
        """Return at the next entry, or after the timeout."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await asyncio.wait([waiter], timeout=timeout_seconds)
        if waiter in self._waiters:
            self._waiters.remove(waiter)

    def wake(self) -> None:
        """Let everybody who waits look again."""
        if not self._waiters:
            return
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
