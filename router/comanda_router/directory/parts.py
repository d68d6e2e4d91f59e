"""One part of the directory (numbers, apps or groups) kept up to date change by change. Pure: no I/O, no clock.

It costs what has changed, not what is there. What vanishes all at once is doubted: an API that comes back from a bad
backup, or answers with an empty list, must not make a router forget its tenants. It is kept until a second list says
the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

from comanda_kube.store import Change

R = TypeVar("R")
V = TypeVar("V")


class Part(Generic[R, V]):
    """Values by key, each made by `combine` from the records that have this key. A record that is None counts nowhere.

    Losing more than half of more than `few` values at once is doubted.
    """

    def __init__(self, key_of: Callable[[R], str], combine: Callable[[Sequence[R]], V], *, few: int = 0) -> None:
        self.values: dict[str, V] = {}
        self.holds = 0
        """How often a loss was doubted."""
        self._key_of = key_of
        self._combine = combine
        self._few = few
        self._records: dict[str, tuple[R, ...]] = {}
        self._touched: set[str] = set()
        self._gone: set[str] = set()
        self._held_at: int | None = None
        self.restored = False
        """Whether it began with what was known before."""
        self._unproven = False

    @property
    def held(self) -> int:
        """How many values are kept though the API shows them no more."""
        return len(self._gone) if self._held_at is not None else 0

    def restore(self, values: Mapping[str, V]) -> None:
        """Begin with what was known before; the first complete list confirms it or not."""
        self.values = dict(values)
        self.restored = self._unproven = True

    def note(self, change: Change[R | None]) -> None:
        """Take a change of one record; `settle` makes it count."""
        before = change.record if change.kind == "removed" else change.previous
        if before is not None:
            self._drop(before)
        if change.kind != "removed" and change.record is not None:
            self._add(change.record)

    def settle(self, lists: int) -> bool:
        """Let what was noted count; True when a value has changed.

        `lists` is how many complete lists the records come from; before the first, nothing is forgotten.
        """
        changed = self._take_over()
        if lists and self._unproven:
            self._gone |= self.values.keys() - self._records.keys()
            self._unproven = False
        return (self._may_forget(lists) and self._forget()) or changed

    def _add(self, record: R) -> None:
        key = self._key_of(record)
        self._records[key] = (*self._records.get(key, ()), record)
        self._touched.add(key)

    def _drop(self, record: R) -> None:
        key = self._key_of(record)
        known = self._records.pop(key)
        place = known.index(record)
        rest = known[:place] + known[place + 1 :]
        if rest:
            self._records[key] = rest
        self._touched.add(key)

    def _take_over(self) -> bool:
        changed = False
        for key in self._touched:
            records = self._records.get(key)
            if records is None:
                self._gone.add(key)
                continue
            self._gone.discard(key)
            value = self._combine(records)
            if self.values.get(key) != value:
                self.values[key] = value
                changed = True
        self._touched.clear()
        self._gone &= self.values.keys()
        return changed

    def _may_forget(self, lists: int) -> bool:
        if not self._gone or not lists:
            self._held_at = None
            return False
        if self._held_at is None and len(self.values) > self._few and 2 * len(self._gone) > len(self.values):
            self._held_at = lists
            self.holds += 1
        return self._held_at is None or lists > self._held_at

    def _forget(self) -> bool:
        for key in self._gone:
            del self.values[key]
        self._gone.clear()
        self._held_at = None
        return True
