"""A directory file decoded in pieces is what it is when it is decoded in one go, whatever it holds and looks like."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from comanda_contract.directory import Directory, NumberEntry, decode_directory, encode_directory
from comanda_router.directory import pieces
from comanda_router.directory.pieces import decode_in_pieces

texts = st.sampled_from(["a", "", 'a"b', "},{", '"numbers":[', "}]", "é\\", "]}", "{", "x" * 300])
entries = st.fixed_dictionaries(
    {"phone_number_id": texts, "tenant": texts, "app": texts, "group": texts},
    optional={"ready": st.booleans(), "odd": st.sampled_from([[], [{}], [{}, {}], {"numbers": [{}]}, "},{", 1])},
)
groups = st.fixed_dictionaries(
    {"name": texts, "uid": texts},
    optional={
        "pods": st.lists(st.fixed_dictionaries({"name": texts, "url": texts}), max_size=3),
        "numbers": st.lists(entries, max_size=3),
    },
)
documents = st.fixed_dictionaries(
    {},
    optional={
        "groups": st.lists(groups, max_size=4),
        "generation": st.integers(0, 9),
        "numbers": st.lists(entries, max_size=30),
        "apps": st.lists(texts, max_size=3),
        "odd": texts,
    },
)
layouts = st.sampled_from(
    [{}, {"indent": 2}, {"indent": 0}, {"separators": (",", ":")}, {"separators": (" , ", " : ")}]
)


def either(decode: Any, content: bytes) -> Directory | str:
    try:
        found: Directory = decode(content)
    except msgspec.DecodeError as error:
        return str(error)
    return found


@pytest.fixture(autouse=True, scope="module")
def small() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "PIECE_BYTES", 200)
        yield


@given(documents, layouts, st.randoms(use_true_random=False))
def test_pieces_give_what_the_whole_gives(document: dict[str, Any], layout: dict[str, Any], random: Any) -> None:
    members = list(document.items())
    random.shuffle(members)
    content = json.dumps(dict(members), **layout).encode()
    assert either(decode_in_pieces, content) == either(decode_directory, content)


@given(documents, layouts, st.data())
def test_a_broken_file_is_refused_alike(document: dict[str, Any], layout: dict[str, Any], data: st.DataObject) -> None:
    content = json.dumps(document, **layout).encode()
    place = data.draw(st.integers(0, len(content)))
    broken = content[:place] + data.draw(st.sampled_from([b"", b"}", b"]", b",", b'"', b"x"])) + content[place + 1 :]
    assert either(decode_in_pieces, broken) == either(decode_directory, broken)


def usual(count: int) -> Directory:
    numbers = (
        NumberEntry(phone_number_id=str(index), tenant=f"shop/t{index}", app="default", group="pool")
        for index in range(count)
    )
    return Directory(generation=3, apps=("default",), numbers=tuple(numbers))


def test_a_usual_file_is_decoded_in_pieces_and_what_is_known_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    directory = usual(500)
    content = encode_directory(directory)
    decoded: list[int] = []

    def decode(content: bytes) -> Directory:
        decoded.append(len(content))
        return decode_directory(content)

    monkeypatch.setattr(pieces, "decode_directory", decode)
    known = {entry.phone_number_id: entry for entry in directory.numbers[::2]}
    found = decode_in_pieces(content, known.get)
    assert found == directory
    assert [entry is known.get(entry.phone_number_id) for entry in found.numbers] == [True, False] * 250
    assert max(decoded) < 1000, "never the whole"
