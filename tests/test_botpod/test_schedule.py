from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from comanda_botpod.schedule import Schedule, Turn


def drain(schedule: Schedule) -> list[Turn]:
    """Run everything, one turn at a time."""
    order = []
    while (turn := schedule.next()) is not None:
        order.append(turn)
        schedule.done(turn.customer)
    return order


def test_a_tenant_with_much_to_do_delays_nobody_elses_next_turn() -> None:
    schedule = Schedule(slots=1)
    for customer in range(10_000):
        schedule.add(customer, "loud")
    schedule.add(10_001, "quiet")
    first = [schedule.next()]
    schedule.done(0)
    first.append(schedule.next())
    assert Turn(10_001, "quiet") in first


def test_live_conversations_go_before_the_backlog() -> None:
    schedule = Schedule(slots=1)
    for customer in range(5):
        schedule.add(customer, "a", "backlog")
    schedule.add(9, "a")
    schedule.add(4, "a")  # of the backlog, and live now
    assert [turn.customer for turn in drain(schedule)] == [9, 4, 0, 1, 2, 3]


def test_one_tenant_never_has_all_the_slots() -> None:
    schedule = Schedule(slots=8)
    for customer in range(100):
        schedule.add(customer, "loud")
    started = [schedule.next() for _ in range(8)]
    assert started.count(None) == 2
    schedule.add(1000, "quiet")
    assert schedule.next() == Turn(1000, "quiet")


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 20), st.sampled_from(["live", "backlog"])),
        st.tuples(st.just("next"), st.just(0), st.just("live")),
        st.tuples(st.just("done"), st.integers(0, 20), st.just("live")),
    ),
    max_size=200,
)


@given(ACTIONS, st.integers(1, 6))
def test_every_conversation_that_waits_runs_once_and_never_twice_at_a_time(
    actions: list[tuple[str, int, str]], slots: int
) -> None:
    schedule = Schedule(slots)
    running: Counter[int] = Counter()
    waiting: set[int] = set()
    for action, customer, lane in actions:
        if action == "add" and not schedule.is_running(customer):
            schedule.add(customer, f"t{customer % 3}", lane)  # type: ignore[arg-type]
            waiting.add(customer)
        elif action == "next" and (turn := schedule.next()) is not None:
            assert turn.customer in waiting
            waiting.remove(turn.customer)
            running[turn.customer] += 1
        elif action == "done" and schedule.is_running(customer):
            schedule.done(customer)
            running[customer] -= 1
        assert max(running.values(), default=0) <= 1
        assert schedule.running == sum(running.values()) <= slots
        assert schedule.waiting == len(waiting)
    for customer in [each for each, count in running.items() if count]:
        schedule.done(customer)
    assert {turn.customer for turn in drain(schedule)} == waiting
