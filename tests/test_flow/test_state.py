from __future__ import annotations

import json

import pytest

from comanda_flow import State, StateError, decode_state, encode_state
from comanda_flow.state import CartLine, Draft, LastOrder, cleared

FULL = State(
    node="confirm",
    lines=(CartLine(sku="A", quantity=2, options=("size=f",), notes="sin cebolla"),),
    pending=(Draft(skus=("A", "B"), quantity=1, heard="pizza"),),
    revision=7,
    quoted_revision=7,
    latitude=-33.4,
    longitude=-70.6,
    language="pt",
    last=LastOrder(lines=(CartLine(sku="A"),), fulfilment="pickup"),
    last_activity=1_795_000_000,
)


def test_state_makes_the_way_through_json() -> None:
    assert decode_state(encode_state(FULL)) == FULL
    assert encode_state(State()) == b"{}"


def test_field_of_a_newer_version_is_passed_over() -> None:
    newer = json.loads(encode_state(FULL)) | {"mood": "good"}
    newer["lines"][0]["colour"] = "red"
    assert decode_state(json.dumps(newer).encode()) == FULL


def test_field_that_changed_its_shape_is_left_out_and_the_rest_stays() -> None:
    older = json.loads(encode_state(FULL)) | {"notes": ["a", "b"]}
    assert decode_state(json.dumps(older).encode()) == FULL


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"7", b"\xff"])
def test_what_is_no_state_is_refused(content: bytes) -> None:
    with pytest.raises(StateError):
        decode_state(content)


def test_cleared_cart_keeps_who_the_customer_is_and_counts_on() -> None:
    assert cleared(FULL) == State(
        node="confirm", revision=8, language="pt", last=FULL.last, last_activity=FULL.last_activity
    )
