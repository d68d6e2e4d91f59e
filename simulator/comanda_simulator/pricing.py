"""What Meta charges: the rules in force since October 2026.

Every delivered message without template is a service message; the first thousand of a number and month are free.
Templates are utility messages here, billed each. The month turns at 00:00 UTC.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any


def month_of(at: float) -> str:
    """Return the calendar month of a unix time, `YYYY-MM` in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m")


class Meter:
    """Counts the service messages of each number and month and prices the next one."""

    def __init__(self) -> None:
        self._served: Counter[tuple[str, str]] = Counter()

    def price(self, phone_number_id: str, message_type: str, at: float, free: int) -> dict[str, Any] | None:
        """Return the `pricing` object of a message and count it; None for a reaction, which is not billed.

        `free` is how many service messages of the month cost nothing.
        """
        if message_type == "reaction":
            return None
        if message_type == "template":
            return _pricing("regular", "utility")
        key = (phone_number_id, month_of(at))
        self._served[key] += 1
        return _pricing("free_customer_service" if self._served[key] <= free else "regular", "service")

    def served(self, phone_number_id: str, at: float) -> int:
        """Return how many service messages the number has sent in the month of `at`."""
        return self._served[phone_number_id, month_of(at)]


def _pricing(kind: str, category: str) -> dict[str, Any]:
    return {"billable": kind == "regular", "pricing_model": "PMP", "type": kind, "category": category}
