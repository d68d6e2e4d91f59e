"""The steps of a move: each only after the one before is done, whatever is known meanwhile."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comanda_operator.moves import (
    Facts,
    Move,
    destination_of,
    next_move,
    paused_message,
    place_during,
    waiting_message,
)

A, B, C = "comanda/pool-a", "comanda/pool-b", "shop/tenant-napoli"
SINCE = "2026-11-28T10:00:00Z"
THERE = Facts(origin_exists=True)


def at(phase: str) -> Move:
    return Move(B, A, "" if phase == "Erasing" else SINCE, phase)  # type: ignore[arg-type]


def knowing(**facts: bool) -> Facts:
    return Facts(**{"origin_exists": True, **facts})


@pytest.mark.parametrize(
    ("now", "wanted", "facts", "after"),
    [
        (Move(A), B, THERE, Move(A)),
        (Move(A), B, knowing(can_begin=True), at("Pausing")),
        (Move(A), B, knowing(can_begin=True, shares_database=True), Move(A)),
        (at("Pausing"), B, THERE, at("Pausing")),
        (at("Pausing"), B, knowing(left=True), at("Pausing")),
        (at("Pausing"), B, knowing(both_answer=True), at("Pausing")),
        (at("Pausing"), B, knowing(left=True, both_answer=True), at("Copying")),
        (at("Pausing"), B, knowing(left=True, both_answer=True, shares_database=True), Move(A)),
        (at("Pausing"), A, knowing(left=True), Move(A)),
        (at("Pausing"), C, knowing(left=True, both_answer=True), at("Copying")),
        (at("Copying"), B, knowing(left=True), at("Copying")),
        (at("Copying"), A, knowing(left=True, both_answer=True), at("Copying")),
        (at("Copying"), B, knowing(copied=True), at("Loading")),
        (at("Copying"), B, knowing(shares_database=True), at("Copying")),
        (at("Loading"), B, THERE, at("Loading")),
        (at("Loading"), A, knowing(loaded=True), at("Erasing")),
        (at("Erasing"), A, THERE, at("Erasing")),
        (at("Erasing"), A, knowing(erased=True), Move(B)),
        (at("Pausing"), B, Facts(), at("Loading")),
        (at("Copying"), B, Facts(), at("Loading")),
        (at("Erasing"), B, Facts(), Move(B)),
    ],
)
def test_each_step_follows_what_it_waits_for(now: Move, wanted: str, facts: Facts, after: Move) -> None:
    assert next_move(now, wanted, facts, SINCE) == after


FACTS = st.builds(Facts, **{each.name: st.booleans() for each in fields(Facts)})
ORDER = ("", "Pausing", "Copying", "Loading", "Erasing")


@given(st.lists(st.tuples(st.sampled_from([A, B, C]), FACTS), max_size=40))
def test_a_tenant_is_served_by_one_group_at_most_and_by_the_next_one_only_with_its_data(
    story: list[tuple[str, Facts]],
) -> None:
    now = Move(A)
    for wanted, facts in story:
        if not now.phase and wanted == now.group:
            continue
        after = next_move(now, wanted, facts, SINCE)
        has_data = facts.copied or not facts.origin_exists
        if now.phase in {"Pausing", "Copying"} and after.phase == "Loading":
            assert has_data
        if after.phase not in {"", now.phase}:
            assert ORDER.index(after.phase) > ORDER.index(now.phase)
        # The group that serves it changes only by way of a pause.
        if place_during(now) and place_during(after):
            assert place_during(now) == place_during(after)
        assert bool(after.since) == (after.phase in {"Pausing", "Copying", "Loading"})
        now = after


def test_a_move_tells_where_it_goes() -> None:
    assert destination_of(at("Copying").name) == B


def test_sentences_say_what_is_done_and_what_to_do() -> None:
    assert A in paused_message(at("Copying"))
    assert SINCE in paused_message(at("Copying"))
    assert "ready" in waiting_message(Move(A), B, shares_database=False)
    assert "database of its own" in waiting_message(Move(A), B, shares_database=True)
