"""The plain build and its laws; and that parts, kept up to date change by change, come to the same."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

from hypothesis import given
from hypothesis import strategies as st

from comanda_contract.directory import Directory, Group, NumberEntry, PodEndpoint
from comanda_kube.store import Change, Identity, Store
from comanda_router.directory.build import assemble, build, choose_entry, merge_slices
from comanda_router.directory.parts import AT_ONCE, Part
from comanda_router.directory.records import SliceRecord

NAMES = [f"shop/t{number}" for number in range(6)]
NUMBERS = ["11", "22", "33"]
GROUPS = ["shop/g", "shop/h"]


def entries_of(tenant: str) -> st.SearchStrategy[NumberEntry | None]:
    entry = st.builds(
        NumberEntry,
        phone_number_id=st.sampled_from(NUMBERS),
        tenant=st.just(tenant),
        app=st.just("default"),
        group=st.sampled_from(GROUPS),
        ready=st.booleans(),
    )
    return st.none() | entry


pods = st.builds(
    PodEndpoint,
    name=st.sampled_from(["g-0", "g-1", "g-2"]),
    url=st.sampled_from(["http://10.0.0.1:8080", "http://10.0.0.2:8080", "http://[fd00::1]:8080"]),
    ready=st.booleans(),
)


def slices_of(name: str) -> st.SearchStrategy[SliceRecord | None]:
    record = st.builds(
        SliceRecord,
        group=st.sampled_from(GROUPS),
        uid=st.sampled_from(["u1", "u2"]),
        created=st.sampled_from(["2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"]),
        name=st.just(name),
        pods=st.lists(pods, max_size=4).map(tuple),
    )
    return st.none() | record


tenants = st.tuples(*map(entries_of, NAMES)).map(list)
slices = st.tuples(*map(slices_of, ["s1", "s2", "s3"])).map(list)
apps = st.lists(st.sampled_from(["default", "brand", None]), max_size=4)


@given(tenants, apps, slices, st.randoms())
def test_the_order_of_what_is_known_does_not_matter(
    tenants: list[NumberEntry | None],
    apps: list[str | None],
    slices: list[SliceRecord | None],
    chance: random.Random,
) -> None:
    built = build(tenants, apps, slices)
    for records in (tenants, apps, slices):
        chance.shuffle(records)
    assert build(tenants, apps, slices) == built


@given(tenants, apps, slices)
def test_every_number_is_there_once_and_belongs_to_a_tenant_and_a_group(
    tenants: list[NumberEntry | None], apps: list[str | None], slices: list[SliceRecord | None]
) -> None:
    built = build(tenants, apps, slices)
    numbers = [entry.phone_number_id for entry in built.numbers]
    assert numbers == sorted({entry.phone_number_id for entry in tenants if entry is not None})
    assert all(entry in tenants for entry in built.numbers)
    groups = [group.name for group in built.groups]
    assert groups == sorted(set(groups))
    assert {entry.group for entry in built.numbers} <= set(groups)


@given(st.lists(slices_of("s").filter(bool), min_size=1, max_size=5))
def test_every_pod_is_there_once_and_ready_if_it_is_so_anywhere(found: list[SliceRecord]) -> None:
    group = merge_slices(found)
    named = [pod for record in found if record.uid == group.uid for pod in record.pods]
    names = [pod.name for pod in group.pods]
    assert names == sorted({pod.name for pod in named})
    for pod in group.pods:
        assert pod in named
        assert pod.ready == any(other.ready for other in named if other.name == pod.name)


def test_pods_of_a_group_that_was_made_anew_replace_those_before() -> None:
    old = SliceRecord(
        group="g", uid="1", created="2026-01-01", name="b", pods=(PodEndpoint(name="g-0", url="http://a"),)
    )
    new = SliceRecord(
        group="g", uid="2", created="2026-01-02", name="a", pods=(PodEndpoint(name="g-1", url="http://b"),)
    )
    assert merge_slices([new, old]) == Group(name="g", uid="2", pods=new.pods)


def entry(number: str, tenant: str = "", group: str = "shop/g") -> NumberEntry:
    return NumberEntry(phone_number_id=number, tenant=tenant or f"shop/t{number}", app="default", group=group)


def test_a_group_that_has_numbers_but_no_service_yet_has_no_pods() -> None:
    built = build([entry("11")], ["default"], [])
    assert built == Directory(apps=("default",), numbers=(entry("11"),), groups=(Group(name="shop/g", uid=""),))


def numbers_part(few: int = 0, at_once: int = AT_ONCE) -> Part[NumberEntry, NumberEntry]:
    return Part(lambda record: record.phone_number_id, choose_entry, few=few, at_once=at_once)


def groups_part(few: int = 0) -> Part[SliceRecord, Group]:
    return Part(lambda record: record.group, merge_slices, few=few)


R = TypeVar("R")


def _write(store: Store[R], name: str, record: R, version: int, uid: str) -> list[Change[R]]:
    return store.put(Identity(name=name, uid=uid, resource_version=str(version)), record)


MANY = 1000
"""More values than a test makes, so that no loss is doubted."""

Event = tuple[str, NumberEntry | None, SliceRecord | None, str]
events = st.lists(
    st.sampled_from(NAMES).flatmap(
        lambda name: st.tuples(
            st.just(name), entries_of(name), slices_of(name), st.sampled_from(["1", "2", "delete", "settle"])
        )
    ),
    max_size=40,
)


@given(events)
def test_parts_kept_up_to_date_are_what_the_whole_would_build(happened: Sequence[Event]) -> None:
    tenants: Store[NumberEntry | None] = Store()
    slices: Store[SliceRecord | None] = Store()
    numbers, groups = numbers_part(MANY), groups_part(MANY)
    for version, (name, entry, record, kind) in enumerate(happened):
        if kind == "settle":
            numbers.settle(1)
            groups.settle(1)
        elif kind == "delete":
            for uid in ("1", "2"):
                gone = Identity(name=name, uid=uid)
                for change in tenants.remove(gone):
                    numbers.note(change)
                for loss in slices.remove(gone):
                    groups.note(loss)
        else:
            for change in _write(tenants, name, entry, version, kind):
                numbers.note(change)
            for learnt in _write(slices, name, record, version, kind):
                groups.note(learnt)
    numbers.settle(1)
    groups.settle(1)
    kept = sorted(numbers.values.values(), key=lambda entry: entry.phone_number_id)
    assert assemble(kept, (), groups.values.values(), 0) == build(tenants.values(), (), slices.values())


def known(part: Part[NumberEntry, NumberEntry]) -> set[str]:
    return set(part.values)


def filled(count: int, few: int = 20) -> Part[NumberEntry, NumberEntry]:
    part = numbers_part(few)
    for number in range(count):
        part.note(Change("added", f"shop/t{number}", entry(str(number))))
    assert part.settle(1) is (count > 0)
    return part


def lose(part: Part[NumberEntry, NumberEntry], numbers: Sequence[int]) -> None:
    for number in numbers:
        part.note(Change("removed", f"shop/t{number}", entry(str(number)), entry(str(number))))


class TestLoss:
    def test_of_few_is_believed(self) -> None:
        part = filled(100)
        lose(part, range(50))
        assert part.settle(1)
        assert known(part) == {str(number) for number in range(50, 100)}
        assert (part.holds, part.held) == (0, 0)

    def test_of_all_where_few_are_is_believed(self) -> None:
        part = filled(20)
        lose(part, range(20))
        assert part.settle(1)
        assert not part.values

    def test_of_most_at_once_is_doubted_until_a_second_list_says_the_same(self) -> None:
        part = filled(100)
        lose(part, range(51))
        assert not part.settle(7)
        assert not part.settle(7)
        assert (len(known(part)), part.held, part.holds) == (100, 51, 1)
        assert part.settle(8)
        assert known(part) == {str(number) for number in range(51, 100)}
        assert part.held == 0

    def test_that_a_second_list_takes_back_was_none(self) -> None:
        part = filled(100)
        lose(part, range(100))
        part.settle(7)
        for number in range(100):
            part.note(Change("added", f"shop/t{number}", entry(str(number))))
            part.settle(7)  # a list comes in pages, and what it has not told yet is not gone
            assert len(known(part)) == 100
        assert not part.settle(8)
        assert (len(known(part)), part.held) == (100, 0)

    def test_goes_on_being_doubted_beside_what_changes(self) -> None:
        part = filled(100)
        lose(part, range(90))
        part.settle(7)
        part.note(Change("added", "shop/new", entry("new", "shop/new")))
        lose(part, [95])
        assert part.settle(7)
        assert len(known(part)) == 101
        assert part.settle(8)
        assert known(part) == {"new", *(str(number) for number in range(90, 100) if number != 95)}

    def test_can_be_doubted_again_later(self) -> None:
        part = filled(100)
        lose(part, range(60))
        part.settle(1)
        part.settle(2)
        lose(part, range(60, 100))
        assert not part.settle(2)
        assert part.holds == 2

    @given(st.integers(0, 60), st.lists(st.sets(st.integers(0, 59)), max_size=5))
    def test_never_takes_more_than_half_at_once_without_a_second_list(self, count: int, bursts: list[set[int]]) -> None:
        part = filled(count)
        there = set(range(count))
        for burst in bursts:
            before = len(known(part))
            lose(part, sorted(burst & there))
            there -= burst
            part.settle(1)
            assert before <= 20 or 2 * len(known(part)) >= before
        assert known(part) >= {str(number) for number in there}
        part.settle(2)
        assert known(part) == {str(number) for number in there}


class TestRestored:
    def restored(self, count: int = 30) -> Part[NumberEntry, NumberEntry]:
        part = numbers_part(few=20)
        part.restore({str(number): entry(str(number)) for number in range(count)})
        return part

    def test_is_kept_until_the_first_list_is_complete(self) -> None:
        part = self.restored()
        part.note(Change("added", "shop/t0", entry("0", group="shop/h")))
        assert part.settle(0)
        assert len(known(part)) == 30
        assert part.values["0"].group == "shop/h"

    def test_loses_what_the_first_list_does_not_show(self) -> None:
        part = self.restored()
        for number in range(5, 30):
            part.note(Change("added", f"shop/t{number}", entry(str(number))))
        assert part.settle(1)
        assert known(part) == {str(number) for number in range(5, 30)}

    def test_doubts_a_first_list_that_shows_next_to_nothing(self) -> None:
        part = self.restored()
        assert not part.settle(1)
        assert (len(known(part)), part.held) == (30, 30)
        assert part.settle(2)
        assert not known(part)

    def test_that_the_list_confirms_is_no_change(self) -> None:
        part = self.restored()
        for number in range(30):
            part.note(Change("added", f"shop/t{number}", entry(str(number))))
        assert not part.settle(1)


def test_two_claimants_of_a_number_are_one_entry_and_the_other_takes_over() -> None:
    part = numbers_part()
    first, second = entry("11", "shop/a"), entry("11", "shop/b")
    for each in (second, first):
        part.note(Change("added", each.tenant, each))
    part.settle(1)
    assert part.values == {"11": first}
    part.note(Change("removed", first.tenant, first, first))
    part.settle(1)
    assert part.values == {"11": second}


def settled(part: Part[NumberEntry, NumberEntry], lists: int) -> bool:
    changed = part.settle(lists)
    while part.unsettled:
        changed |= part.settle(lists)
    return changed


Turn = tuple[set[int], set[int], int]
"""Numbers that come, numbers that go, and how many lists are complete then."""
turns = st.lists(st.tuples(st.sets(st.integers(0, 59)), st.sets(st.integers(0, 59)), st.integers(1, 3)), max_size=6)


@given(turns, st.integers(1, 7), st.integers(0, 40), st.booleans())
def test_a_part_that_settles_in_slices_comes_to_the_same(
    turns: list[Turn],
    at_once: int,
    few: int,
    restored: bool,  # noqa: FBT001 - drawn
) -> None:
    whole, sliced = numbers_part(few), numbers_part(few, at_once)
    if restored:
        for part in (whole, sliced):
            part.restore({str(number): entry(str(number)) for number in range(40)})
    there: set[int] = set()
    for come, go, lists in turns:
        for part in (whole, sliced):
            for number in sorted(come - there):
                part.note(Change("added", f"shop/t{number}", entry(str(number))))
            lose(part, sorted(go & (there | come)))
        there = (there | come) - go
        assert settled(whole, lists) == settled(sliced, lists)
        assert (whole.values, whole.held, whole.holds) == (sliced.values, sliced.held, sliced.holds)


def test_what_comes_again_while_others_are_forgotten_stays() -> None:
    part = numbers_part(few=1000, at_once=1)
    for number in range(5):
        part.note(Change("added", f"shop/t{number}", entry(str(number))))
    settled(part, 1)
    lose(part, range(5))
    while len(part.values) == 5:
        part.settle(1)
    again = min(part.values)
    part.note(Change("added", f"shop/t{again}", entry(again)))
    settled(part, 1)
    assert known(part) == {again}
    lose(part, [int(again)])
    settled(part, 1)
    assert not part.values
