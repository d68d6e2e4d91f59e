"""How far Meta's free service messages will reach this month: a forecast, for people who watch their costs.

What was free is told by each message's `type`; this count of our own only looks ahead.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

FREE_SERVICE_MESSAGES_PER_MONTH = 1000
"""Delivered service messages of one phone number and calendar month that cost nothing, since October 2026."""

_SHORTEST_MEASURE = timedelta(days=1)
"""A pace is measured over a day at least, so that one busy first hour does not foretell a month of such hours."""


class FreeTierForecast(msgspec.Struct, frozen=True):
    """Where a number stands in its month: messages left for nothing, and what the month will bring at this pace."""

    left: int
    expected: int
    """Service messages of the whole month."""
    expected_paid: int
    runs_out: datetime | None
    """When the free ones are used up; None when they last for the month. In the past when they are used up."""


def forecast_free_tier(delivered: int, now: datetime, free: int = FREE_SERVICE_MESSAGES_PER_MONTH) -> FreeTierForecast:
    """Foretell a month from the service messages that one number has delivered in it.

    `now` carries the account's time zone: the month begins at midnight there.
    """
    begin = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    end = (begin + timedelta(days=31)).replace(day=1)
    measured = max(now - begin, _SHORTEST_MEASURE)
    to_come = int(delivered * ((end - now) / measured))
    expected = delivered + to_come
    runs_out = begin + measured * (free / delivered) if delivered else None
    return FreeTierForecast(
        left=max(free - delivered, 0),
        expected=expected,
        expected_paid=max(expected - free, 0),
        runs_out=runs_out if runs_out is not None and runs_out < end else None,
    )
