from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comanda_contract.cloud.messages_in import parse_contact
from comanda_router.split import NotJsonError, Split, split, split_any, split_usual, whole_characters
from tests.harness import change, text_message, webhook
from tests.test_contract.test_messages_in import json_values


def split_json(document: Any) -> Split:
    return split("default", msgspec.json.encode(document))


def test_items_keep_their_bytes_their_order_and_their_number() -> None:
    odd = '{"id":"w2", "from":"1","type":"hologram","hologram":{"é":"\\u00e9"} }'
    body = (
        '{"entry":[{"id":"A","changes":[{"field":"messages","value":{"metadata":{"phone_number_id":"11"},'
        f'"messages":[{{"id":"w1","from":"1"}},{odd}]}}}},'
        '{"field":"messages","value":{"metadata":{"phone_number_id":"22"},"statuses":[{"id":"w3","status":"read"}]}}]}]}'
    )
    deliveries = split("brand", body.encode()).deliveries
    assert [(d.kind, d.phone_number_id, d.key, d.app, d.waba_id) for d in deliveries] == [
        ("message", "11", "w1", "brand", "A"),
        ("message", "11", "w2", "brand", "A"),
        ("status", "22", "w3/read", "brand", "A"),
    ]
    assert bytes(deliveries[1].item).decode() == odd


def test_a_message_finds_its_contact_by_phone_or_by_user_id() -> None:
    contacts = [
        {"wa_id": "2", "profile": {"name": "Beto"}},
        {"user_id": "CL.a", "profile": {"name": "Ana"}},
        {"profile": {}},
    ]
    messages = [
        {"id": "w1", "from_user_id": "CL.a", "type": "text"},
        {"id": "w2", "from": "2", "type": "text"},
        {"id": "w3", "from": "3", "type": "text"},
    ]
    deliveries = split_json(webhook(change("11", contacts=contacts, messages=messages))).deliveries
    names = [parse_contact(delivery.contact).name for delivery in deliveries]
    assert names == ["Ana", "Beto", ""]


@pytest.mark.parametrize(
    ("document", "deliveries", "unroutable"),
    [
        ({}, 0, 0),
        ([], 0, 1),
        ("text", 0, 1),
        (None, 0, 1),
        ({"entry": []}, 0, 0),
        ({"entry": None}, 0, 0),
        ({"entry": "x"}, 0, 1),
        ({"entry": [{}]}, 0, 0),
        ({"entry": [{"changes": []}]}, 0, 0),
        ({"entry": [{"changes": [{}]}]}, 0, 1),
        ({"entry": [{"changes": [{"field": "account_update", "value": {"event": "X"}}]}]}, 0, 1),
        ({"entry": [{"changes": [{"field": "messages", "value": {"messages": [{"id": "w"}]}}]}]}, 0, 1),
        (webhook(change("11", errors=[{"code": 130429}])), 1, 0),
        (webhook(change("11", messages=[], statuses=[])), 1, 0),
        (webhook(change("11", messages="x")), 0, 1),
        (webhook(change("11", messages=[7, None, "x", {}])), 4, 0),
        (webhook({"field": "user_preferences", "value": {"metadata": {"phone_number_id": "11"}}}), 1, 0),
        (webhook({"value": {"metadata": {"phone_number_id": "11"}, "messages": [{"id": "w"}]}}), 1, 0),
    ],
)
def test_every_shape_comes_out_somewhere(document: Any, deliveries: int, unroutable: int) -> None:
    result = split_json(document)
    assert (len(result.deliveries), len(result.unroutable)) == (deliveries, unroutable)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"hello", b"[" * 200_000, b'{"a":1}{"b":2}'])
def test_what_is_no_json_says_so(body: bytes) -> None:
    with pytest.raises(NotJsonError):
        split("default", body)


@settings(max_examples=200)
@given(json_values, json_values, json_values)
def test_any_json_is_split_without_raising(metadata: Any, messages: Any, contacts: Any) -> None:
    value = {"metadata": metadata, "messages": messages, "contacts": contacts}
    split_json(webhook({"field": "messages", "value": value}))
    split_json(webhook(change("11", messages=messages, contacts=contacts, statuses=messages)))


@given(st.lists(st.tuples(st.sampled_from(["11", "22", "33"]), st.integers(1, 4)), max_size=8))
def test_no_item_is_lost_and_none_changes_its_number(shape: list[tuple[str, int]]) -> None:
    sent = [
        (number, [text_message(f"w{index}-{item}") for item in range(count)])
        for index, (number, count) in enumerate(shape)
    ]
    result = split_json(webhook(*(change(number, messages=items) for number, items in sent)))
    assert [(d.phone_number_id, d.key) for d in result.deliveries] == [
        (number, item["id"]) for number, items in sent for item in items
    ]


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        (rb"a\ud800b", rb"a\ufffdb"),
        (rb"\udc00", rb"\ufffd"),
        (rb"\ud83c\udf55", rb"\ud83c\udf55"),
        (rb"\ud83c\ud83c\udf55", rb"\ufffd\ud83c\udf55"),
        (rb"\\ud800", rb"\\ud800"),
        (rb"\n\u00e9\ud7ff", rb"\n\u00e9\ud7ff"),
    ],
)
def test_half_a_surrogate_pair_becomes_a_replacement_character(text: bytes, whole: bytes) -> None:
    assert whole_characters(text) == whole


@given(json_values)
def test_json_without_half_pairs_stays_as_it_is(value: Any) -> None:
    body = json.dumps(value).encode()
    assert whole_characters(body) == body


def test_a_handover_goes_to_the_number_that_it_names_as_recipient() -> None:
    value = {
        "sender": {"phone_number": "56911112222"},
        "recipient": {"phone_number_id": "11"},
        "control_passed": {},
        "timestamp": "1",
    }
    body = {"entry": [{"id": "W", "changes": [{"field": "messaging_handovers", "value": value}]}]}
    (delivery,) = split("default", msgspec.json.encode(body)).deliveries
    assert (delivery.phone_number_id, delivery.field, delivery.kind) == ("11", "messaging_handovers", "change")


def test_a_recipient_of_another_shape_names_no_number() -> None:
    body = {"entry": [{"id": "W", "changes": [{"field": "x", "value": {"recipient": ["11"]}}]}]}
    assert split("default", msgspec.json.encode(body)).deliveries == ()


# --- The usual body, read in one go ----------------------------------------------------------------------------------

words: st.SearchStrategy[Any] = st.sampled_from(
    ["", "11", "messages", "whatsapp_business_account", "é", 7, None, [], {}, True]
)
items = st.lists(
    st.fixed_dictionaries({}, optional=dict.fromkeys(("id", "from", "from_user_id", "status", "type"), words)) | words,
    max_size=3,
)
contacts = st.lists(st.fixed_dictionaries({}, optional={"wa_id": words, "user_id": words}) | words, max_size=3)
metadata = st.just({"phone_number_id": "11"}) | st.fixed_dictionaries({}, optional={"phone_number_id": words}) | words
values = st.fixed_dictionaries(
    {"metadata": metadata},
    optional={
        "messages": items | words,
        "statuses": items | words,
        "contacts": contacts | words,
        "recipient": st.just({"phone_number_id": "22"}) | words,
    },
)
changes = st.lists(st.fixed_dictionaries({"value": values | words}, optional={"field": words}) | words, max_size=3)
entries = st.lists(st.fixed_dictionaries({"changes": changes | words}, optional={"id": words}) | words, max_size=3)
documents = st.fixed_dictionaries({"entry": entries | words}, optional={"object": words})


@settings(max_examples=1000)
@given(documents, st.integers(0, 4000), st.sampled_from([b"", b"}", b"\xff", b'"']))
def test_the_usual_way_gives_what_the_general_way_gives(document: Any, place: int, broken: bytes) -> None:
    body = msgspec.json.encode(document)
    place %= len(body) + 1
    for each in (body, body[:place] + broken + body[place:], body[:place]):
        usual = split_usual("default", each)
        if usual is not None:
            general = split_any("default", each)
            assert msgspec.json.encode([each for each, _ in usual]) == msgspec.json.encode(general.deliveries)
            assert general.unroutable == ()


def test_the_usual_way_knows_the_usual_bodies() -> None:
    message = {"messages": [text_message("w1")], "contacts": [{"wa_id": "56911112222", "profile": {"name": "Ana"}}]}
    for value in (message, {"statuses": [{"id": "w1", "status": "read"}]}):
        usual = split_usual("default", msgspec.json.encode(webhook(change("11", **value), change("22", **value))))
        assert usual is not None
        assert [delivery.phone_number_id for delivery, _ in usual] == ["11", "22"]
