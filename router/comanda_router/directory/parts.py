"""One part of the directory (numbers, apps or groups) kept up to date change by change. Pure: no I/O, no clock.

It costs what has changed, not what is there. What vanishes all at once is doubted: an API that comes back from a bad
backup, or answers with an empty list, must not make a router forget its tenants. It is kept until a second list says
the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

from comanda_kube.store import Change

AT_ONCE = 500
"""Values that are worked on before others may run: two or three milliseconds of processor time."""

R = TypeVar("R")
V = TypeVar("V")


class Part(Generic[R, V]):
    """Values by key, each made by `combine` from the records that have this key. A record that is None counts nowhere.

    Losing more than half of more than `few` values at once is doubted. One call of `settle` works on at most `at_once`
    values, since there may be 100,000.
    """

    def __init__(
        self,
        key_of: Callable[[R], str],
        combine: Callable[[Sequence[R]], V],
        *,
        few: int = 0,
        at_once: int = AT_ONCE,
    ) -> None:
        self.values: dict[str, V] = {}
        self.holds = 0
        """How often a loss was doubted."""
        self._key_of = key_of
        self._combine = combine
        self._few = few
        self._at_once = at_once
        self._records: dict[str, tuple[R, ...]] = {}
        self._touched: set[str] = set()
        self._gone: set[str] = set()
        """Without a record, and not yet forgotten."""
        self._forgotten: set[str] = set()
        """Whose values are to go: that is decided."""
        self._held_at: int | None = None
        self.restored = False
        """Whether it began with what was known before."""
        self._unproven = False

    @property
    def held(self) -> int:
        """How many values are kept though the API shows them no more."""
        return len(self._gone) if self._held_at is not None else 0

    @property
    def unsettled(self) -> bool:
        """Whether `settle` has more to do."""
        return bool(self._touched or self._forgotten)

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
        """Let what was noted count, or a part of it while it is `unsettled`; True when a value has changed.

        `lists` is how many complete lists the records come from; before the first, nothing is forgotten. Whether what
        has gone is doubted is decided when nothing else is left to do, so that it is judged together.
        """
        changed = self._take_over()
        if not self.unsettled:
            if lists and self._unproven:
                self._gone.update(key for key in self.values if key not in self._records)
                self._unproven = False
            if self._may_forget(lists):
                self._forgotten, self._gone, self._held_at = self._gone, set(), None
        return self._forget() or changed

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
        for key in _taken(self._touched, self._at_once):
            records = self._records.get(key)
            if records is None:
                if key in self.values:
                    self._gone.add(key)
                continue
            self._gone.discard(key)
            value = self._combine(records)
            if self.values.get(key) != value:
                self.values[key] = value
                changed = True
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
        changed = False
        for key in _taken(self._forgotten, self._at_once):
            if key not in self._records:  # else it has come again meanwhile
                del self.values[key]
                self._gone.discard(key)
                changed = True
        return changed


def _taken(keys: set[str], most: int) -> list[str]:
    """Take at most so many out of a set."""
    return [keys.pop() for _ in range(min(most, len(keys)))]
