"""How long to wait before trying again: longer each time, and never at the same moment as everybody else."""

from __future__ import annotations

import random


class Backoff:
    """Delays that double from `first` to `most` (in seconds), each between half of it and all of it."""

    def __init__(self, first: float, most: float) -> None:
        self._first = first
        self._most = most
        self._delay = first

    def next(self) -> float:
        """Return the next delay, in seconds."""
        delay, self._delay = self._delay, min(self._delay * 2, self._most)
        return delay * random.uniform(0.5, 1.0)  # noqa: S311 - it spreads load, it guards nothing

    def reset(self) -> None:
        """Begin again with the first delay: something worked."""
        self._delay = self._first
