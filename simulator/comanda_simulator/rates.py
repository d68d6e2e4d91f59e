"""Meta's rate limits: messages a second of one number, and messages to one customer."""

from __future__ import annotations

from collections import deque

from comanda_contract.cloud import limits

_PRUNE_AT = 100_000
"""Pairs kept before those at rest are forgotten; a pair at rest is as good as new."""


class Throughput:
    """Messages of each number within the last second, inbound and outbound together."""

    def __init__(self) -> None:
        self._recent: dict[str, deque[float]] = {}

    def count(self, phone_number_id: str, now: float) -> int:
        """Return how many messages the number had in the second before `now` (unix seconds)."""
        recent = self._recent.get(phone_number_id)
        if recent is None:
            return 0
        while recent and recent[0] <= now - 1:
            recent.popleft()
        return len(recent)

    def add(self, phone_number_id: str, now: float) -> None:
        """Count one message."""
        self._recent.setdefault(phone_number_id, deque(maxlen=2000)).append(now)


class PairLimit:
    """One message per 6 s to each customer of each number, with a burst of 45 borrowed from the future."""

    def __init__(self) -> None:
        self._owed_until: dict[tuple[str, str], float] = {}

    def allows(self, phone_number_id: str, customer: str, now: float) -> bool:
        """Tell whether a message may go now; counts nothing."""
        owed = self._owed_until.get((phone_number_id, customer), now) - now
        return owed <= (limits.PAIR_BURST - 1) * limits.PAIR_SECONDS

    def add(self, phone_number_id: str, customer: str, now: float) -> None:
        """Count one message."""
        pair = (phone_number_id, customer)
        self._owed_until[pair] = max(self._owed_until.get(pair, now), now) + limits.PAIR_SECONDS
        if len(self._owed_until) > _PRUNE_AT:
            self._owed_until = {pair: until for pair, until in self._owed_until.items() if until > now}
