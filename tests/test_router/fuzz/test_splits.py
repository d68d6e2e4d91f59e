"""A webhook comes apart without loss whatever its shape; both ways to split agree; only what is no JSON is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from comanda_contract.deliveries import NO_CONTACT, Delivery, DeliveryBatch, decode_batch, encode_batch
from comanda_router.split import NotJsonError, Split, of_account, sender_of, split, split_any, split_usual
from tests.test_contract.test_messages_in import json_values
from tests.test_router.fuzz.documents import Document, broken_documents, documents, doubled_keys
from tests.test_router.fuzz.examples import TIMEOUT_SECONDS, fuzzed

pytestmark = pytest.mark.timeout(TIMEOUT_SECONDS)

anything = documents().map(lambda each: each.body) | broken_documents() | doubled_keys() | st.binary(max_size=100)


MARK = re.compile(rb"mark-\d+-")


def try_to_split(body: bytes) -> Split | None:
    """Return what the general way makes of a body; None when it is refused."""
    try:
        return split_any("default", body)
    except NotJsonError:
        return None


def is_json(body: bytes) -> bool:
    """Tell whether a body is JSON as RFC 8259 has it; numbers of any size are."""
    try:
        json.loads(body.decode(), parse_constant=_refuse, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return False
    return not body.startswith(b"\xef\xbb\xbf")


def _refuse(word: str) -> None:
    raise ValueError(word)


def parts_of(result: Split) -> list[bytes]:
    """Return all that came out, each part once."""
    return [bytes(delivery.item) for delivery in result.deliveries] + [part.content for part in result.unroutable]


@fuzzed
@given(documents() | documents(halves=True))
def test_every_item_comes_out_once_and_with_its_own_number(document: Document) -> None:
    result = split("default", document.body)
    parts = parts_of(result)
    for mark in document.marks:
        assert sum(part.count(mark.encode()) for part in parts) == 1, mark
    by_mark = {mark: delivery for delivery in result.deliveries for mark in MARK.findall(bytes(delivery.item))}
    for item in document.items:
        delivery = by_mark.get(item.mark.encode())
        if delivery is None:
            event("unroutable")
        else:
            kind = {"messages": "message", "statuses": "status"}[item.kind]
            assert (delivery.kind, delivery.phone_number_id) == (kind, item.number)


@fuzzed
@given(documents())
def test_parts_come_out_in_their_order_and_byte_for_byte(document: Document) -> None:
    result = split("default", document.body)
    for part in parts_of(result):
        assert part in document.body
    routed = b"|".join(bytes(delivery.item) for delivery in result.deliveries)
    places = [routed.find(mark.encode()) for mark in document.marks]
    found = [place for place in places if place >= 0]
    assert found == sorted(found)


@fuzzed
@given(documents())
def test_a_contact_is_the_one_of_the_sender(document: Document) -> None:
    for delivery in split("default", document.body).deliveries:
        if delivery.contact != NO_CONTACT:
            item, contact = json.loads(bytes(delivery.item)), json.loads(bytes(delivery.contact))
            addresses = {contact.get("wa_id"), contact.get("user_id")} - {"", None}
            assert addresses & {item.get("from"), item.get("from_user_id")}


@fuzzed
@given(anything)
def test_both_ways_agree_or_refuse_alike(body: bytes) -> None:
    usual, general = split_usual("default", body), try_to_split(body)
    event("usual" if usual is not None else "general" if general is not None else "refused")
    if usual is not None:
        assert general is not None
        assert general.unroutable == ()
        assert msgspec.json.encode([each for each, _ in usual]) == msgspec.json.encode(general.deliveries)
        assert [sender for _, sender in usual] == senders_of(general.deliveries)
    if general is None:
        with pytest.raises(NotJsonError):
            split("default", body)
    else:
        assert msgspec.json.encode(split("default", body).deliveries) == msgspec.json.encode(general.deliveries)


def senders_of(deliveries: Iterable[Delivery]) -> list[str]:
    return [sender_of(delivery.item) if delivery.kind == "message" else "" for delivery in deliveries]


@fuzzed
@given(anything)
def test_what_is_refused_is_no_json_and_what_is_ascii_and_no_json_is_refused(body: bytes) -> None:
    refused = try_to_split(body) is None
    if refused:
        assert not is_json(body)
    elif body.isascii():
        assert is_json(body)


@fuzzed
@given(anything, st.sampled_from(["account_update", "é", "", "messages"]))
def test_whatever_comes_out_can_go_on(body: bytes, field: str) -> None:
    """To a pod as part of a batch, to the flood guard, to every number of an account."""
    result = try_to_split(body)
    if result is None:
        return
    shared = [delivery for part in result.unroutable for delivery in of_account("default", part, ["11", "22"])]
    every = [*result.deliveries, *shared]
    for delivery in every:
        assert isinstance(sender_of(delivery.item), str)
        assert delivery.key
        assert delivery.phone_number_id
    read = decode_batch(encode_batch(DeliveryBatch(deliveries=every))).deliveries
    assert [known(delivery) for delivery in read] == [known(delivery) for delivery in every]


def known(delivery: Delivery) -> tuple[Any, ...]:
    item = bytes(delivery.item).strip(b" \t\r\n")
    return delivery.kind, delivery.phone_number_id, delivery.key, item, bytes(delivery.contact)


@fuzzed
@given(json_values)
def test_every_json_value_is_a_body(value: Any) -> None:
    body = json.dumps(value).encode()
    result = split("default", body)
    assert result.deliveries == ()
    if not isinstance(value, dict) or value.get("entry") not in (None, []):
        assert [part.content for part in result.unroutable] == [body]
