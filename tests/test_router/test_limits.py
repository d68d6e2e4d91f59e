from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from comanda_router.limits import Buckets, Limits, give_back, take

BURST = 60
times = st.lists(st.floats(0, 600, allow_nan=False), min_size=1, max_size=300).map(sorted)


@given(times=times, per_minute=st.integers(1, 1000), burst=st.integers(1, 200))
def test_a_bucket_gives_its_burst_and_then_its_rate_and_no_more(
    times: list[float], per_minute: int, burst: int
) -> None:
    buckets: Buckets[str] = {}
    taken = [now for now in times if take(buckets, "k", now, per_minute, burst)]
    for first in range(len(taken)):
        for last in range(first, len(taken)):
            earned = (taken[last] - taken[first]) * per_minute / 60
            assert last - first + 1 <= burst + earned + 1e-6


@given(per_minute=st.integers(1, 1000), burst=st.integers(1, 50), start=st.floats(0, 1e6, allow_nan=False))
def test_a_bucket_never_refuses_who_keeps_to_its_rate(per_minute: int, burst: int, start: float) -> None:
    buckets: Buckets[str] = {}
    # Clocks have no more than doubles' precision: a millionth of slack.
    pace = 60 / per_minute * (1 + 1e-6) + 1e-6
    assert all(take(buckets, "k", start + index * pace, per_minute, burst) for index in range(100))


@given(counts=st.lists(st.integers(1, 1000), min_size=1, max_size=50), burst=st.integers(1, 300))
def test_a_webhook_is_taken_whole_and_what_was_too_much_is_owed(counts: list[int], burst: int) -> None:
    buckets: Buckets[str] = {}
    taken = 0
    for count in counts:
        if take(buckets, "k", 0.0, 60, burst, count):
            assert taken < burst
            taken += count
    # After the time in which it was earned the next one comes in.
    assert take(buckets, "k", float(max(0, taken - burst + 1)) + 1e-6, 60, burst)


@given(per_minute=st.integers(1, 1000), burst=st.integers(1, 50), tries=st.integers(1, 500))
def test_what_is_given_back_can_be_taken_again_however_often(per_minute: int, burst: int, tries: int) -> None:
    buckets: Buckets[str] = {}
    for _ in range(tries):
        charge = take(buckets, "k", 0.0, per_minute, burst)
        assert charge is not None
        give_back(charge)
    assert sum(take(buckets, "k", 0.0, per_minute, burst) is not None for _ in range(burst + 1)) >= burst - 1


def test_a_number_over_its_limit_does_not_touch_another() -> None:
    limits = Limits(60, BURST)
    assert [limits.charge_number("1", 0.0, 60, 2) is not None for _ in range(3)] == [True, True, False]
    assert limits.charge_number("2", 0.0, 60, 2)
    assert limits.charge_number("1", 1.0, 60, 2)


def test_a_customer_is_counted_for_each_number_alone() -> None:
    limits = Limits(60, BURST)
    assert [limits.charge_customer("1", "56", 0.0) is not None for _ in range(BURST + 1)][-2:] == [True, False]
    assert limits.charge_customer("2", "56", 0.0)
    assert limits.charge_customer("1", "57", 0.0)


def test_what_is_remembered_of_customers_is_bounded_and_keeps_who_floods() -> None:
    limits = Limits(60, BURST, customers_kept=100)
    for _ in range(BURST):
        limits.charge_customer("1", "flood", 0.0)
    for index in range(99):
        limits.charge_customer("1", f"{index}", 0.0)
    # All others have earned again what they took; who flooded has not.
    assert limits.charge_customer("1", "new", 2.0)
    assert len(limits._customers) == 2
    assert [limits.charge_customer("1", "flood", 2.0) is not None for _ in range(3)] == [True, True, False]


def test_with_a_flood_of_everybody_the_oldest_are_forgotten() -> None:
    limits = Limits(60, BURST, customers_kept=10)
    for index in range(1000):
        limits.charge_customer("1", f"{index}", 0.0)
    assert len(limits._customers) <= 10


def test_numbers_that_are_gone_are_forgotten() -> None:
    limits = Limits(60, BURST)
    for number in ("1", "2"):
        limits.charge_number(number, 0.0, 60, 1)
    limits.keep_numbers({"2"})
    assert limits.charge_number("1", 0.0, 60, 1)
    assert not limits.charge_number("2", 0.0, 60, 1)
