from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from comanda_botpod.breaker import Breaker, BreakerSettings

SETTINGS = BreakerSettings(failures=3, first_pause_seconds=1.0, longest_pause_seconds=30.0, probe_seconds=20.0)


def opened(jitter: float = 0.0) -> Breaker:
    breaker = Breaker(lambda: jitter, SETTINGS)
    for _ in range(SETTINGS.failures):
        assert breaker.allow(0.0) == 0
        breaker.record(0.0, ok=False)
    return breaker


def test_failures_in_a_row_open_it() -> None:
    assert opened().state == "open"
    assert opened().allow(0.0) == 1.0


def test_a_success_between_failures_keeps_it_closed() -> None:
    breaker = Breaker(lambda: 0.0, SETTINGS)
    for ok in (False, False, True, False, False):
        breaker.record(0.0, ok=ok)
    assert breaker.state == "closed"
    assert breaker.allow(0.0) == 0


def test_after_the_pause_one_probe_goes_and_the_others_wait() -> None:
    breaker = opened()
    assert breaker.allow(1.0) == 0
    assert [breaker.allow(1.0) for _ in range(3)] == [SETTINGS.look_again_seconds] * 3


def test_a_probe_that_succeeds_closes_it() -> None:
    breaker = opened()
    breaker.allow(1.0)
    breaker.record(1.1, ok=True)
    assert [breaker.allow(1.1) for _ in range(3)] == [0, 0, 0]


def test_pauses_double_up_to_the_longest() -> None:
    breaker, now, pauses = opened(), 0.0, []
    for _ in range(7):
        pause = breaker.allow(now)
        pauses.append(pause)
        now += pause
        assert breaker.allow(now) == 0
        breaker.record(now, ok=False)
    assert pauses == [1, 2, 4, 8, 15, 15, 15]


def test_jitter_makes_a_pause_up_to_twice_as_long() -> None:
    assert opened(jitter=0.5).allow(0.0) == 1.5


def test_after_a_recovery_pauses_begin_short_again() -> None:
    breaker = opened()
    breaker.allow(1.0)
    breaker.record(1.0, ok=False)
    breaker.allow(3.0)
    breaker.record(3.0, ok=True)
    for _ in range(SETTINGS.failures):
        breaker.record(4.0, ok=False)
    assert breaker.allow(4.0) == 1.0


def test_a_probe_that_is_never_recorded_is_given_up() -> None:
    breaker = opened()
    breaker.allow(1.0)
    assert breaker.allow(20.9) == pytest.approx(0.1)
    assert breaker.allow(21.0) == 0
    assert breaker.allow(21.0) > 0


def test_late_ends_of_earlier_calls_do_not_move_an_open_breaker() -> None:
    breaker = opened()
    breaker.record(0.5, ok=True)
    breaker.record(0.5, ok=False)
    assert breaker.allow(0.5) == 0.5


@given(st.integers(0, 200), st.floats(0, 1, exclude_max=True))
def test_no_pause_is_longer_than_the_longest(probes: int, jitter: float) -> None:
    breaker, now = opened(jitter), 0.0
    for _ in range(probes):
        now += breaker.allow(now)
        breaker.allow(now)
        breaker.record(now, ok=False)
    assert breaker.allow(now) <= SETTINGS.longest_pause_seconds


class Calls(RuleBasedStateMachine):
    """Callers come and go as they like; the model knows only which calls were let through and not yet recorded."""

    def __init__(self) -> None:
        super().__init__()
        self.jitter = 0.0
        self.breaker = Breaker(lambda: self.jitter, SETTINGS)
        self.now = 0.0
        self.calls = 0
        self.probe_until: float | None = None

    @rule(seconds=st.floats(0, 40), jitter=st.floats(0, 1, exclude_max=True))
    def time_passes(self, seconds: float, jitter: float) -> None:
        self.now += seconds
        self.jitter = jitter

    @rule()
    def somebody_asks(self) -> None:
        before = self.breaker.state
        wait = self.breaker.allow(self.now)
        assert 0 <= wait <= SETTINGS.longest_pause_seconds
        if wait:
            assert before != "closed"
            return
        self.calls += 1
        if before != "closed":
            assert self.probe_until is None or self.now >= self.probe_until, "two probes at a time"
            assert self.breaker.state == "half_open"
            self.probe_until = self.now + SETTINGS.probe_seconds

    @precondition(lambda self: self.calls > 0)
    @rule(ok=st.booleans())
    def a_call_ends(self, *, ok: bool) -> None:
        self.calls -= 1
        before = self.breaker.state
        self.breaker.record(self.now, ok=ok)
        if before == "half_open":
            self.probe_until = None
            assert self.breaker.state == ("closed" if ok else "open")

    @invariant()
    def while_open_nothing_goes_before_the_pause_is_over(self) -> None:
        asked = copy.deepcopy(self.breaker)
        if asked.state == "open" and (wait := asked.allow(self.now)):
            assert asked.allow(self.now) == wait
            assert asked.state == "open"
            assert asked.allow(self.now + wait + 1e-6) == 0

    @precondition(lambda self: self.breaker.state != "closed")
    @rule()
    def meta_is_back(self) -> None:
        """Whatever happened before: once calls succeed, it is closed after at most one pause or one lost probe."""
        asked = self.now
        while wait := self.breaker.allow(self.now):
            self.now += wait
        assert self.now - asked <= max(SETTINGS.longest_pause_seconds, SETTINGS.probe_seconds) + 1e-6
        self.breaker.record(self.now, ok=True)
        self.probe_until = None
        assert self.breaker.state == "closed"
        assert self.breaker.allow(self.now) == 0
        self.calls += 1


TestCalls = Calls.TestCase
