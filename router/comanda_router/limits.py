"""How much a tenant, and how much one customer, may send in: token buckets whose whole memory is one time each.

Limits are per router process and kept in memory: they protect neighbours from a flood, they do not bill. What happens
over each is in `webhook.py`: beyond a tenant's, Meta is told to come again (429); beyond a customer's, the message is
stored and starts no turn. Nothing is dropped.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Any, TypeVar

CUSTOMERS_KEPT = 100_000

K = TypeVar("K")
Buckets = dict[K, float]
"""Generic cell rates: for each key when all that was taken will have been earned again, in seconds."""
Charge = tuple[Buckets[Any], Any, float]
"""What was taken: from which buckets, for which key, and the seconds that earn it again."""


def take(buckets: Buckets[K], key: K, now: float, per_minute: int, burst: int, count: int = 1) -> Charge | None:  # noqa: PLR0917
    """Take `count` if there is one: `burst` at once and `per_minute` on average, and what was too much is owed.

    All or nothing, and one is enough: Meta repeats a webhook whole, so one that was taken in part would come again
    and again with what is known already, and never get its rest in. None when there is none.
    """
    each = 60.0 / per_minute
    full_at = max(now, buckets.get(key, 0.0))
    if full_at - now > (burst - 1) * each:
        return None
    buckets[key] = full_at + count * each
    return buckets, key, count * each


def give_back(charge: Charge) -> None:
    """Undo a `take`: what was taken for comes again, and is to be charged then."""
    buckets, key, seconds = charge
    if key in buckets:
        buckets[key] -= seconds


class Limits:
    """The buckets of all numbers, and of the customers that wrote lately. `now` is monotonic, in seconds."""

    def __init__(self, customer_per_minute: int, customer_burst: int, customers_kept: int = CUSTOMERS_KEPT) -> None:
        self._customer_per_minute = customer_per_minute
        self._customer_burst = customer_burst
        self._numbers: Buckets[str] = {}
        self._customers: Buckets[tuple[str, str]] = {}
        self._kept = customers_kept

    def charge_number(
        self, phone_number_id: str, now: float, per_minute: int, burst: int, count: int = 1
    ) -> Charge | None:
        """Let `count` more messages of a number in; None when it is over its rate."""
        return take(self._numbers, phone_number_id, now, per_minute, burst, count)

    def charge_customer(self, phone_number_id: str, customer: str, now: float) -> Charge | None:
        """Let one more message of this customer start a turn; None when they are over their rate."""
        key = phone_number_id, customer
        if len(self._customers) >= self._kept and key not in self._customers:
            self._forget(now)
        return take(self._customers, key, now, self._customer_per_minute, self._customer_burst)

    def keep_numbers(self, known: AbstractSet[str]) -> None:
        """Forget numbers that the directory no longer names."""
        for number in [number for number in self._numbers if number not in known]:
            del self._numbers[number]

    def _forget(self, now: float) -> None:
        """Forget customers whose bucket is full again: it says nothing. When that is nobody, the oldest half go."""
        full = [key for key, full_at in self._customers.items() if full_at <= now]
        for key in full or list(self._customers)[: self._kept // 2]:
            del self._customers[key]
