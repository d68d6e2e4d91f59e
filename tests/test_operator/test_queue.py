from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comanda_operator.queue import FIRST_DELAY, LONGEST_DELAY, KeyedQueue, Priority, Schedule

keys = st.sampled_from("abcde")
steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), keys, st.sampled_from(list(Priority)), st.sampled_from([0.0, 0.0, 0.15, 2.0])),
        st.tuples(st.just("pop")),
        st.tuples(st.just("done"), keys),
        st.tuples(st.just("wait"), st.sampled_from([0.01, 0.1, 1.0, 5.0])),
    ),
    max_size=60,
)


@given(steps)
def test_no_key_is_worked_on_twice_at_once_and_none_that_was_added_is_forgotten(steps: list[tuple]) -> None:  # type: ignore[type-arg]
    schedule: Schedule[str] = Schedule()
    now, owed, working = 0.0, set[str](), set[str]()
    for step, *rest in steps:
        if step == "add":
            key, priority, delay = rest
            schedule.add(key, priority, now, delay, 1.0)
            owed.add(key)
        elif step == "pop":
            found = schedule.pop(now)
            if found is not None:
                assert found[0] not in working
                assert found[0] in owed
                working.add(found[0])
                owed.discard(found[0])
        elif step == "done" and rest[0] in working:
            working.discard(rest[0])
            schedule.done(rest[0], now)
        elif step == "wait":
            now += rest[0]
    for key in working:
        schedule.done(key, now)
    now += 10
    while (found := schedule.pop(now)) is not None:
        owed.discard(found[0])
        schedule.done(found[0], now)
    assert not owed
    assert len(schedule) == 0
    assert schedule.next_due() is None


@given(st.lists(st.tuples(keys, st.sampled_from(list(Priority))), min_size=1, max_size=30))
def test_the_most_urgent_come_first_and_among_equals_the_first_added(adds: list[tuple[str, Priority]]) -> None:
    schedule: Schedule[str] = Schedule()
    best: dict[str, tuple[Priority, int]] = {}
    for order, (key, priority) in enumerate(adds):
        schedule.add(key, priority, 0.0)
        if key not in best or priority < best[key][0]:
            best[key] = (priority, order)
    popped = []
    while (found := schedule.pop(0.0)) is not None:
        popped.append(found[0])
    assert popped == sorted(best, key=lambda key: best[key])


@given(st.lists(st.floats(0, 0.14), min_size=1, max_size=30))
def test_a_key_that_is_held_back_comes_when_it_is_quiet_but_within_its_limit(gaps: list[float]) -> None:
    schedule: Schedule[str] = Schedule()
    now = first = 0.0
    for gap in gaps:
        now += gap
        if schedule.pop(now) is not None:
            schedule.done("a", now)
            first = now
        schedule.add("a", Priority.EDIT, now, 0.15, 1.0)
        due = schedule.next_due()
        assert due is not None
        assert due <= first + 1.0 + 0.15
        assert due <= now + 0.15


def test_an_edit_overtakes_ten_thousand_others() -> None:
    schedule: Schedule[int] = Schedule()
    for key in range(10_000):
        schedule.add(key, Priority.RESYNC, 0.0)
    schedule.add(9_999, Priority.EDIT, 0.0)
    found = schedule.pop(0.0)
    assert found is not None
    assert found[0] == 9_999


async def test_a_key_that_fails_comes_back_later_each_time_and_success_makes_it_forgotten() -> None:
    queue: KeyedQueue[str] = KeyedQueue()
    delays = []
    for _ in range(3):
        queue.add("a")
        key, _ = await queue.get()
        delays.append(queue.failed(key))
    assert FIRST_DELAY / 2 <= delays[0] <= FIRST_DELAY
    assert delays[0] < delays[2] <= 4 * FIRST_DELAY
    assert (await asyncio.wait_for(queue.get(), 30))[0] == "a", "it comes back by itself"
    queue.done("a")
    queue.add("a")
    await queue.get()
    assert queue.failed("a") <= FIRST_DELAY
    for _ in range(40):
        queue.add("a")
        await queue.get()
        last = queue.failed("a", at_least=1.0)
        assert 1.0 <= last <= LONGEST_DELAY


@pytest.mark.parametrize(("failures", "first"), [(1, "edited"), (8, "new")])
async def test_what_failed_once_keeps_its_place_and_what_fails_always_does_not(failures: int, first: str) -> None:
    now = 0.0
    queue: KeyedQueue[str] = KeyedQueue(lambda: now)
    queue.add("edited", Priority.EDIT)
    for _ in range(failures):
        assert (await queue.get())[0] == "edited"
        now += queue.failed("edited")
    queue.add("new", Priority.NEW)
    assert (await queue.get())[0] == first


async def test_who_waits_is_woken_by_what_is_added_and_by_what_falls_due() -> None:
    queue: KeyedQueue[str] = KeyedQueue()
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add("later", delay=0.02)
    assert (await asyncio.wait_for(waiting, 30))[0] == "later"
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add("now")
    assert (await asyncio.wait_for(waiting, 30))[0] == "now"
