from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comanda_flow.hours import Hours, Range, parse_range
from tests.test_flow.chat import SANTIAGO, restaurant

HOURS = restaurant().hours


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=SANTIAGO)


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("2026-11-24T11:59", False),
        ("2026-11-24T12:00", True),
        ("2026-11-24T22:59", True),
        ("2026-11-24T23:00", False),
        ("2026-11-28T01:29", True),
        ("2026-11-28T01:30", False),
        ("2026-11-29T01:00", True),
        ("2026-11-29T13:00", False),
        ("2026-12-25T13:00", False),
        ("2026-12-26T00:30", False),
        ("2026-12-26T13:00", True),
    ],
)
def test_open_by_weekday_midnight_and_days_off(when: str, *, expected: bool) -> None:
    assert HOURS.is_open(at(when)) is expected


def test_hours_are_local_whatever_the_zone_of_now() -> None:
    assert HOURS.is_open(datetime(2026, 11, 24, 15, 30, tzinfo=UTC))
    assert not HOURS.is_open(datetime(2026, 11, 24, 12, 30, tzinfo=UTC))


@pytest.mark.parametrize(
    ("when", "opening"),
    [
        ("2026-11-24T09:00", "2026-11-24T12:00"),
        ("2026-11-24T23:30", "2026-11-25T12:00"),
        ("2026-11-28T20:00", "2026-11-30T12:00"),
        ("2026-12-25T10:00", "2026-12-26T12:00"),
    ],
)
def test_next_opening(when: str, opening: str) -> None:
    assert HOURS.next_opening(at(when)) == at(opening)


def test_no_hours_mean_always_open_except_on_days_off() -> None:
    hours = Hours(SANTIAGO, closed_dates=frozenset({date(2026, 12, 25)}))
    assert hours.is_open(at("2026-12-24T03:00"))
    assert not hours.is_open(at("2026-12-25T12:00"))
    assert hours.next_opening(at("2026-12-25T12:00")) == at("2026-12-26T00:00")


def test_closure_without_end_has_no_next_opening() -> None:
    closed = frozenset(date(2026, 11, 1) + timedelta(days=number) for number in range(200))
    assert Hours(SANTIAGO, HOURS.week, closed).next_opening(at("2026-11-24T12:00")) is None


def test_range_may_end_after_midnight_or_with_the_day() -> None:
    assert parse_range("19:00-02:00") == Range(19 * 60, 26 * 60)
    assert parse_range("00:00-24:00") == Range(0, 24 * 60)
    assert str(parse_range("19:00-02:00")) == "19:00–02:00"


@pytest.mark.parametrize("text", ["", "12", "12:00", "12:00-", "12:60-13:00", "24:00-25:00", "a:b-c:d", "１:00-3:00"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"HH:MM|no time|begins"):
        parse_range(text)


_MINUTES_OF_A_YEAR = st.integers(0, 365 * 24 * 60)


@given(_MINUTES_OF_A_YEAR.map(lambda minutes: at("2026-01-01T00:00") + timedelta(minutes=minutes)))
def test_restaurant_is_open_at_its_next_opening(now: datetime) -> None:
    opening = HOURS.next_opening(now)
    assert opening is not None
    assert opening > now
    assert HOURS.is_open(opening)
