"""How much a tenant, and how much one customer, may send in: token buckets whose whole memory is one time each.

Limits are per router process and kept in memory: they protect neighbours from a flood, they do not bill. What happens
over each is in `webhook.py`: beyond a tenant's, Meta is told to come again (429); beyond a customer's, the message is
stored and starts no turn. Nothing is dropped.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass

CUSTOMERS_KEPT = 100_000


@dataclass(slots=True)
class Bucket:
    """A generic cell rate: `full_at` is when all that was taken will have been earned again, in seconds."""

    full_at: float = 0.0

    def take(self, now: float, per_minute: float, burst: int, count: int = 1) -> bool:
        """Take `count` if there is one: `burst` at once and `per_minute` on average, and what was too much is owed.

        All or nothing, and one is enough: Meta repeats a webhook whole, so one that was taken in part would come again
        and again with what is known already, and never get its rest in.
        """
        cost = 60.0 / per_minute
        full_at = max(now, self.full_at)
        if full_at - now > (burst - 1) * cost:
            return False
        self.full_at = full_at + cost * count
        return True

    def give_back(self, per_minute: float, count: int = 1) -> None:
        """Undo a `take`: what was taken for comes again, and is to be charged then."""
        self.full_at -= count * 60.0 / per_minute


Charge = tuple[Bucket, int, int]
"""What was taken: the bucket, its rate a minute, and how many."""


class Limits:
    """The buckets of all numbers, and of the customers that wrote lately."""

    def __init__(self, customer_per_minute: int, customer_burst: int, customers_kept: int = CUSTOMERS_KEPT) -> None:
        self._customer_per_minute = customer_per_minute
        self._customer_burst = customer_burst
        self._numbers: dict[str, Bucket] = {}
        self._customers: dict[tuple[str, str], Bucket] = {}
        self._kept = customers_kept

    def charge_number(
        self, phone_number_id: str, now: float, per_minute: int, burst: int, count: int = 1
    ) -> Charge | None:
        """Let `count` more messages of a number in (`now` is monotonic, in seconds); None when it is over its rate."""
        bucket = self._numbers.get(phone_number_id)
        if bucket is None:
            bucket = self._numbers[phone_number_id] = Bucket()
        return (bucket, per_minute, count) if bucket.take(now, per_minute, burst, count) else None

    def charge_customer(self, phone_number_id: str, customer: str, now: float) -> Charge | None:
        """Let one more message of this customer start a turn; None when they are over their rate."""
        key = (phone_number_id, customer)
        bucket = self._customers.get(key)
        if bucket is None:
            if len(self._customers) >= self._kept:
                self._forget(now)
            bucket = self._customers[key] = Bucket()
        per_minute = self._customer_per_minute
        return (bucket, per_minute, 1) if bucket.take(now, per_minute, self._customer_burst) else None

    def keep_numbers(self, known: AbstractSet[str]) -> None:
        """Forget numbers that the directory no longer names."""
        for number in self._numbers.keys() - known:
            del self._numbers[number]

    def _forget(self, now: float) -> None:
        """Forget customers whose bucket is full again: it says nothing. When that is nobody, the oldest half go."""
        self._customers = {key: bucket for key, bucket in self._customers.items() if bucket.full_at > now}
        if len(self._customers) >= self._kept:
            for key in list(self._customers)[: self._kept // 2]:
                del self._customers[key]
