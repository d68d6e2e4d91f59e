from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from comanda_contract.cloud.messages_in import parse_contact, parse_message
from comanda_contract.cloud.statuses import parse_status

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
KEYS = (
    "id",
    "from",
    "from_user_id",
    "timestamp",
    "type",
    "text",
    "interactive",
    "button",
    "order",
    "location",
    "image",
    "context",
)


@given(st.dictionaries(st.sampled_from(KEYS), json_values) | json_values)
def test_any_json_is_a_message(value: Any) -> None:
    message = parse_message(msgspec.json.encode(value))
    assert isinstance(message.words, str)
    assert isinstance(message.tapped, str)
    assert message.sent_at >= 0


@given(json_values)
def test_any_json_is_a_contact(value: Any) -> None:
    assert isinstance(parse_contact(msgspec.json.encode(value)).name, str)


@pytest.mark.parametrize(
    ("item", "words", "tapped"),
    [
        ({"type": "text", "text": {"body": "2 pizzas"}}, "2 pizzas", ""),
        ({"type": "image", "image": {"id": "1", "caption": "esta"}}, "esta", ""),
        (
            {
                "type": "interactive",
                "interactive": {"type": "button_reply", "button_reply": {"id": "ok", "title": "Sí"}},
            },
            "Sí",
            "ok",
        ),
        (
            {
                "type": "interactive",
                "interactive": {"type": "list_reply", "list_reply": {"id": "i:7", "title": "Lasaña"}},
            },
            "Lasaña",
            "i:7",
        ),
        ({"type": "button", "button": {"payload": "AGAIN", "text": "Otra vez"}}, "Otra vez", "AGAIN"),
        ({"type": "interactive"}, "", ""),
        ({"type": "hologram", "hologram": {"x": 1}}, "", ""),
    ],
)
def test_what_was_said_and_tapped(item: dict[str, Any], words: str, tapped: str) -> None:
    message = parse_message(msgspec.json.encode(item))
    assert (message.words, message.tapped, message.type) == (words, tapped, item["type"])


def test_one_odd_part_does_not_spoil_the_rest() -> None:
    message = parse_message(b'{"id":"wamid.1","from":"569","type":"text","text":{"body":7},"context":{"id":"wamid.0"}}')
    assert (message.id, message.sender, message.text, message.context and message.context.id) == (
        "wamid.1",
        "569",
        None,
        "wamid.0",
    )


def test_a_status_with_an_odd_detail_keeps_what_matters() -> None:
    status = parse_status(b'{"id":"wamid.1","status":"read","pricing":"free","biz_opaque_callback_data":"comanda:7"}')
    assert (status.id, status.rank, status.biz_opaque_callback_data, status.pricing) == (
        "wamid.1",
        3,
        "comanda:7",
        None,
    )
