"""Opening hours: weekly ranges in the restaurant's own time, some past midnight, and days off."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

DAY_MINUTES = 24 * 60
_HORIZON_DAYS = 60
"""How far ahead an opening is looked for: longer than any holiday closure that is worth announcing."""


@dataclass(frozen=True)
class Range:
    """One opening, in minutes since midnight; `end` lies beyond 24 h when it crosses midnight."""

    start: int
    end: int

    def __str__(self) -> str:
        return f"{_clock(self.start)}–{_clock(self.end)}"


@dataclass(frozen=True)
class Hours:
    """A week of openings, Monday first; without any range at all the restaurant is always open."""

    zone: ZoneInfo
    week: tuple[tuple[Range, ...], ...] = ((),) * 7
    closed_dates: frozenset[date] = frozenset()

    @property
    def always(self) -> bool:
        """Whether no hours were given, which means open at any time but on closed dates."""
        return not any(self.week)

    def is_open(self, now: datetime) -> bool:
        """Tell whether the restaurant is open at an aware time."""
        local = now.astimezone(self.zone)
        if self.always:
            return local.date() not in self.closed_dates
        minute = local.hour * 60 + local.minute
        yesterday = local.date() - timedelta(days=1)
        return any(r.start <= minute < r.end for r in self._ranges(local.date())) or any(
            r.start <= minute + DAY_MINUTES < r.end for r in self._ranges(yesterday)
        )

    def next_opening(self, now: datetime) -> datetime | None:
        """Return the next opening after an aware time, in local time; None when there is none within 60 days."""
        local = now.astimezone(self.zone)
        return next((opening for opening in self._openings(local) if opening > local), None)

    def _openings(self, local: datetime) -> Iterator[datetime]:
        for offset in range(_HORIZON_DAYS):
            day = local.date() + timedelta(days=offset)
            for opening in self._ranges(day):
                yield datetime(day.year, day.month, day.day, opening.start // 60, opening.start % 60, tzinfo=self.zone)

    def _ranges(self, day: date) -> tuple[Range, ...]:
        if day in self.closed_dates:
            return ()
        return (Range(0, DAY_MINUTES),) if self.always else self.week[day.weekday()]


def parse_range(text: str) -> Range:
    """Read `HH:MM-HH:MM`, where the end may lie after midnight. Raises `ValueError`."""
    start, _, end = text.replace("–", "-").partition("-")
    first, last = _minutes(start), _minutes(end)
    if first >= DAY_MINUTES:
        raise ValueError(f"“{text}” begins after the day has ended")
    return Range(first, last if last > first else last + DAY_MINUTES)


def _minutes(text: str) -> int:
    hour, colon, minute = text.strip().partition(":")
    if not (colon and hour.isascii() and hour.isdigit() and minute.isascii() and minute.isdigit() and len(minute) == 2):
        raise ValueError("is written HH:MM-HH:MM, for example 12:00-23:30")
    total = int(hour) * 60 + int(minute)
    if int(minute) > 59 or total > DAY_MINUTES:
        raise ValueError(f"“{text.strip()}” is no time of day")
    return total


def _clock(minutes: int) -> str:
    """Write minutes since midnight as HH:MM; the end of the day stays 24:00, as people write it."""
    if minutes != DAY_MINUTES:
        minutes %= DAY_MINUTES
    return f"{minutes // 60:02d}:{minutes % 60:02d}"
