from __future__ import annotations

import math
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from comanda_contract.placement import capacity, choose, place_all, placement_order

NUMBERS = [str(10**14 + index) for index in range(10_000)]
pods = st.lists(st.from_regex(r"pool-[a-z]{1,8}-\d{1,3}", fullmatch=True), min_size=1, max_size=40, unique=True)
number = st.from_regex(r"\d{5,20}", fullmatch=True)


@given(number, pods, st.randoms())
def test_every_caller_computes_the_same_order(phone_number_id: str, names: list[str], random: object) -> None:
    shuffled = list(names)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert placement_order(phone_number_id, names) == placement_order(phone_number_id, shuffled)
    assert sorted(placement_order(phone_number_id, names)) == sorted(names)


@settings(max_examples=15, deadline=None)
@given(st.integers(2, 40))
def test_adding_or_removing_a_pod_moves_few_numbers(count: int) -> None:
    names = [f"pool-default-{ordinal}" for ordinal in range(count)]
    before = {each: choose(each, names, names) for each in NUMBERS}
    more = [*names, f"pool-default-{count}"]
    after = {each: choose(each, more, more) for each in NUMBERS}
    moved = sum(before[each] != after[each] for each in NUMBERS)
    # Going from N to N+1 moves what going back moves: at most 1.3 of an equal share of the larger set.
    assert moved <= 1.3 * len(NUMBERS) / len(more)
    assert all(after[each] == more[-1] for each in NUMBERS if before[each] != after[each])


@settings(max_examples=30, deadline=None)
@given(st.lists(number, min_size=1, max_size=400, unique=True), pods)
def test_no_pod_is_above_its_bound(numbers: list[str], names: list[str]) -> None:
    placed = place_all(numbers, names)
    assert set(placed) == set(numbers)
    assert max(Counter(placed.values()).values()) <= capacity(len(numbers), len(names))
    assert capacity(len(numbers), len(names)) <= math.ceil(1.25 * len(numbers) / len(names))


@given(number, pods)
def test_a_number_returns_to_its_pod_when_that_comes_back(phone_number_id: str, names: list[str]) -> None:
    home = choose(phone_number_id, names, names)
    others = [name for name in names if name != home]
    away = choose(phone_number_id, names, others)
    assert away != home
    assert (away is None) == (not others)
    assert choose(phone_number_id, names, names) == home


@given(st.lists(number, min_size=1, max_size=50, unique=True), pods, st.data())
def test_only_ready_pods_serve(numbers: list[str], names: list[str], data: st.DataObject) -> None:
    ready = data.draw(st.sets(st.sampled_from(names)))
    placed = place_all(numbers, names, ready)
    assert set(placed.values()) <= ready
    assert placed == {} if not ready else len(placed) == len(numbers)


@given(st.lists(number, min_size=1, max_size=100, unique=True), pods, st.randoms())
def test_the_order_of_tenants_does_not_matter(numbers: list[str], names: list[str], random: object) -> None:
    shuffled = list(numbers)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert place_all(numbers, names) == place_all(shuffled, names)


def test_a_full_pod_is_better_than_a_lost_message() -> None:
    assert choose("123456", ["a"], ["a"], load={"a": 5}, bound=5) == "a"
