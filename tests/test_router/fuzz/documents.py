"""Webhooks for the fuzzer, as text: JSON says more than values do (escapes, spaces, numbers, keys that come twice)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from hypothesis import strategies as st


class Json(str):
    """JSON text that is written as it stands."""

    __slots__ = ()


class Pairs(list[tuple[str, Any]]):
    """An object as the pairs that are written; a key may come twice."""


class Item(NamedTuple):
    """One item of `messages` or `statuses`, found again by its mark."""

    mark: str
    kind: str
    number: str
    """Whose it is; "" when its change names nobody, so that nobody can have it."""


@dataclass
class Document:
    """A webhook's body, and every item in it in its order."""

    body: bytes
    items: list[Item] = field(default_factory=list)

    @property
    def marks(self) -> list[str]:
        """Every mark."""
        return [item.mark for item in self.items]


def write(value: Any, separators: tuple[str, str]) -> str:
    """Write a value as JSON text."""
    comma, colon = separators
    match value:
        case Json():
            return value
        case Pairs():
            return "{" + comma.join(f"{json.dumps(key)}{colon}{write(each, separators)}" for key, each in value) + "}"
        case dict():
            return write(Pairs(value.items()), separators)
        case list():
            return "[" + comma.join(write(each, separators) for each in value) + "]"
        case _:
            return json.dumps(value, ensure_ascii=False)


spaces = st.sampled_from([(",", ":"), (", ", ": "), (" ,\n\t", " :\r\n"), (",", ":\n")])
NUMBERS = ["11", "22", "33", "106540352242922"]
odd_values: st.SearchStrategy[Any] = st.sampled_from(
    [
        None, True, 0, -1, 7, 2**70, 1.5, "", "11", "é", "🍕", "a" * 300, [], {}, [[]], {"id": "x"},
        [{"phone_number_id": "11"}],
        Json("1e999"), Json("-0.0"), Json("1E-400"), Json("9" * 400), Json('"\\u0000"'), Json('"\\ud83c\\udf55"'),
        Json('"\\/\\b\\f\\n\\r\\t\\"\\\\"'), Json('"\\u00e9"'), Json("[" * 40 + "]" * 40),
        Json('{"a":' * 30 + "1" + "}" * 30),
    ]
)  # fmt: skip
half_pairs = st.sampled_from(
    [Json('"\\ud800"'), Json('"a\\udc00b"'), Json('"\\ud83c\\ud83c\\udf55"'), Json('"\\\\ud800\\udfff"')]
)
usual_ids = st.sampled_from(["wamid.1", "wamid.2", "", "wamid.é", Json('"wamid.\\u00e9"'), Json('"\\u0000"')])
ids = usual_ids | odd_values
senders = st.sampled_from(["56911110001", "56911110002", ""])


def seldom(draw: st.DrawFn, usual: Any, odd: st.SearchStrategy[Any], *, one_in: int = 8) -> Any:
    """Draw the odd one time in so many."""
    return draw(odd) if draw(st.integers(1, one_in)) == one_in else usual


@st.composite
def items(draw: st.DrawFn, mark: str, *, halves: bool) -> Any:
    """Draw an item: mostly an object with Meta's keys, sometimes of no shape that Meta ever had."""
    strange = odd_values | half_pairs if halves else odd_values
    known = {"id": ids, "from": senders, "from_user_id": senders, "status": st.sampled_from(["read", "sent"]) | strange}
    optional = known | {"type": strange, "text": strange, "errors": strange, "context": strange}
    usual = draw(st.fixed_dictionaries({"mark": st.just(mark)}, optional=optional))
    return seldom(draw, usual, st.sampled_from([mark, [mark], [[[mark]]], {mark: 1}, [None, {"a": mark}]]))


contacts = st.lists(
    st.fixed_dictionaries({}, optional={"wa_id": senders, "user_id": senders | odd_values, "profile": odd_values}),
    max_size=3,
)


@st.composite
def documents(draw: st.DrawFn, *, halves: bool = False) -> Document:
    """Draw a webhook; with `halves` there may be halves of surrogate pairs in its strings."""
    found: list[Item] = []
    entries = [_entry(draw, found, halves=halves) for _ in range(draw(st.integers(0, 3)))]
    top = {"object": seldom(draw, "whatsapp_business_account", odd_values), "entry": entries}
    if draw(st.booleans()):
        top["more"] = draw(odd_values)
    before, after = draw(st.sampled_from([("", ""), (" \r\n\t", "\n \t")]))
    return Document((before + write(top, draw(spaces)) + after).encode(), found)


def _entry(draw: st.DrawFn, found: list[Item], *, halves: bool) -> Any:
    changes = [_change(draw, found, halves=halves) for _ in range(draw(st.integers(0, 3)))]
    entry: dict[str, Any] = {"id": seldom(draw, "WABA1", odd_values), "changes": changes}
    return {key: entry[key] for key in draw(st.permutations(list(entry)))}


def _change(draw: st.DrawFn, found: list[Item], *, halves: bool) -> Any:
    number = draw(st.sampled_from(NUMBERS))
    metadata = {"display_phone_number": "56911110000", "phone_number_id": number}
    odd = {"metadata": draw(odd_metadata)} if draw(st.integers(0, 7)) == 0 else None
    value: dict[str, Any] = {"metadata": metadata} if odd is None else odd
    for kind in draw(st.sampled_from([("messages",), ("messages",), ("statuses",), ("messages", "statuses"), ()])):
        marks = [f"mark-{len(found) + place}-" for place in range(draw(st.integers(1, 3)))]
        value[kind] = [draw(items(mark, halves=halves)) for mark in marks]
        found += [Item(mark, kind, number if odd is None else "") for mark in marks]
    if draw(st.booleans()):
        value["contacts"] = seldom(draw, draw(contacts), odd_values)
    if draw(st.booleans()):
        value["more"] = draw(odd_values)
    field = seldom(draw, "messages", st.sampled_from(["standby", ""]))
    return {"value": value, "field": field} if draw(st.booleans()) else {"field": field, "value": value}


odd_metadata = st.sampled_from(
    [None, {}, {"phone_number_id": ""}, {"phone_number_id": 11}, [], "11", [{"phone_number_id": "11"}]]
)


TOKENS: Sequence[bytes] = (
    b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"\\u", b"\\ud800", b"null", b"NaN", b"1e5", b"-", b"0", b"\x00",
    b"\x1f", b"\x7f", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xef\xbb\xbf", b" ", b'"messages":[{}],', b'"id":"x",',
    b'"entry":null,', b'"metadata":{},', b"[[[[[[[[", b"/**/", b"'", b"\xe2\x80\xa8",
)  # fmt: skip


@st.composite
def broken_documents(draw: st.DrawFn) -> bytes:
    """Draw a webhook with one to three edits that know nothing of JSON."""
    body = draw(documents(halves=True)).body
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(body)))
        cut = draw(st.sampled_from([0, 0, 0, 1, 2, 7, 40]))
        body = body[:place] + draw(st.sampled_from(TOKENS) | st.just(b"")) + body[place + cut :]
    return body


@st.composite
def doubled_keys(draw: st.DrawFn) -> bytes:
    """Draw a webhook in which a key comes twice, somewhere between the top and an item."""
    metadata = {"phone_number_id": draw(st.sampled_from(NUMBERS))}
    item = Pairs([("id", draw(ids)), ("id", draw(ids)), ("from", draw(senders)), ("from", draw(senders))])
    pairs = [("metadata", metadata), ("messages", [item]), ("statuses", [item]), ("contacts", draw(contacts))]
    value = Pairs([*pairs, *_again(draw, pairs), *_again(draw, pairs)])
    pairs = [("value", value), ("field", "messages")]
    change = Pairs([*_again(draw, pairs), *pairs, *_again(draw, pairs)])
    pairs = [("id", "W"), ("changes", [change])]
    entry = Pairs([*_again(draw, pairs), *pairs, *_again(draw, pairs)])
    pairs = [("entry", [entry])]
    return write(Pairs([*pairs, *_again(draw, pairs)]), draw(spaces)).encode()


def _again(draw: st.DrawFn, pairs: Sequence[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Draw one of the keys again, with the same value or an odd one; or none."""
    key, value = draw(st.sampled_from(pairs))
    return draw(st.sampled_from([[], [], [(key, value)], [(key, draw(odd_values))]]))
