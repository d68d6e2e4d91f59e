from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from comanda_router.breaker import Breaker, BreakerSettings

SETTINGS = BreakerSettings(failures=3, first_pause_seconds=1.0, longest_pause_seconds=4.0)


def breaker(jitter: float = 0.0) -> Breaker:
    return Breaker(lambda: jitter, SETTINGS)


def test_failures_in_a_row_open_it_and_an_answer_between_them_does_not() -> None:
    tested = breaker()
    assert [tested.failed(0), tested.failed(0)] == [False, False]
    tested.answered()
    assert [tested.failed(0), tested.failed(0), tested.failed(0)] == [False, False, True]
    assert tested.is_open


def test_one_stall_opens_it() -> None:
    tested = breaker()
    assert tested.stalled(0)
    assert tested.is_open


def test_after_the_pause_one_probe_is_wanted() -> None:
    tested = breaker()
    tested.stalled(10)
    assert not tested.wants_probe(10.9)
    assert [tested.wants_probe(11), tested.wants_probe(11)] == [True, False]
    assert tested.state == "probing"
    assert tested.is_open


def test_an_answer_closes_it() -> None:
    tested = breaker()
    tested.stalled(0)
    assert tested.wants_probe(1)
    tested.answered()
    assert not tested.is_open
    assert not tested.wants_probe(100)


def test_each_probe_that_fails_doubles_the_pause_up_to_the_longest() -> None:
    tested, now, pauses = breaker(), 0.0, list[float]()
    tested.stalled(now)
    for fails in (tested.failed, tested.stalled) * 2:
        begun = now
        while not tested.wants_probe(now):
            now += 0.5
        pauses.append(now - begun)
        assert not fails(now), "it is open already"
    assert pauses == [1, 2, 4, 4]


def test_jitter_lengthens_the_pause() -> None:
    tested = breaker(jitter=0.5)
    tested.stalled(0)
    assert not tested.wants_probe(1.4)
    assert tested.wants_probe(1.5)


def test_what_fails_while_it_rests_changes_nothing() -> None:
    tested = breaker()
    tested.stalled(0)
    assert not any([tested.failed(0.5), tested.stalled(0.5)])
    assert tested.wants_probe(1)


@given(st.lists(st.sampled_from(["answered", "failed", "stalled", "wait"]), max_size=60), st.floats(0, 0.99))
def test_it_always_comes_to_a_probe_again(events: list[str], jitter: float) -> None:
    tested, now = breaker(jitter), 0.0
    for event in events:
        now += 0.3
        if event == "answered":
            tested.answered()
            assert not tested.is_open
        elif event == "failed":
            tested.failed(now)
        elif event == "stalled":
            tested.stalled(now)
            assert tested.state == "resting"
        else:
            tested.wants_probe(now)
    if tested.state == "resting":
        assert tested.wants_probe(now + 2 * SETTINGS.longest_pause_seconds)
