from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from comanda_contract.deliveries import (
    DUPLICATE,
    NO_CONTACT,
    OVERLOADED,
    STORED,
    BatchAnswer,
    Delivery,
    DeliveryBatch,
    decode_answers,
    decode_batch,
    encode_answers,
    encode_batch,
)
from tests.test_contract.test_messages_in import json_values


@given(st.lists(st.tuples(st.text(max_size=20), json_values, st.none() | json_values), max_size=5))
def test_a_batch_arrives_as_it_was_sent_items_byte_for_byte(items: list[tuple[str, object, object]]) -> None:
    deliveries = [
        Delivery(
            kind="message",
            phone_number_id="11",
            key=key,
            app="default",
            item=msgspec.Raw(msgspec.json.encode(item)),
            contact=msgspec.Raw(msgspec.json.encode(contact)) if contact is not None else NO_CONTACT,
        )
        for key, item, contact in items
    ]
    arrived = decode_batch(encode_batch(DeliveryBatch(deliveries=deliveries))).deliveries
    assert [(d.key, bytes(d.item), bytes(d.contact)) for d in arrived] == [
        (d.key, bytes(d.item), bytes(d.contact)) for d in deliveries
    ]


def test_answers_arrive_as_they_were_sent() -> None:
    answers = [STORED, DUPLICATE, OVERLOADED]
    assert decode_answers(encode_answers(BatchAnswer(answers=answers))).answers == answers


def test_a_delivery_without_contact_says_nothing_of_it() -> None:
    delivery = Delivery(kind="status", phone_number_id="1", key="k", app="a", item=msgspec.Raw(b"{}"))
    assert b"contact" not in encode_batch(DeliveryBatch(deliveries=[delivery]))
