from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comanda_router.signature import Key, SignedBody, check_signature, escaped, read_header
from tests.harness import sign

SECRETS = (Key(b"current"), Key(b"previous"))


@given(st.binary(max_size=2000))
def test_the_current_and_the_previous_secret_sign(body: bytes) -> None:
    assert check_signature(SECRETS, body, sign(body, "current").encode()) == "current"
    assert check_signature(SECRETS, body, sign(body, "previous").encode()) == "previous"


@given(st.binary(max_size=200), st.binary(max_size=200), st.integers(0, 63))
def test_nothing_else_does(body: bytes, other: bytes, position: int) -> None:
    good = sign(body, "current")
    assert check_signature(SECRETS, body, sign(body, "older").encode()) == "wrong"
    if other != body:
        assert check_signature(SECRETS, other, good.encode()) == "wrong"
    index = 7 + position
    flipped = good[:index] + ("0" if good[index] != "0" else "1") + good[index + 1 :]
    assert check_signature(SECRETS, body, flipped.encode()) == "wrong"


@given(
    st.text(max_size=400).map(str.encode) | st.binary(max_size=400),
    st.lists(st.integers(0, 400), max_size=6),
    st.sampled_from(["current", "previous", "older"]),
    st.booleans(),
)
def test_a_body_in_pieces_is_judged_like_the_whole(body: bytes, cuts: list[int], secret: str, escapes: bool) -> None:  # noqa: FBT001
    header = sign(escaped(body) if escapes else body, secret).encode()
    shown = read_header(header)
    assert isinstance(shown, bytes)
    places = sorted({0, len(body), *(min(cut, len(body)) for cut in cuts)})
    pieces = SignedBody(SECRETS, shown)
    for begin, end in pairwise(places):
        pieces.add(body[begin:end])
    assert pieces.verdict() == check_signature(SECRETS, body, header)
    assert (pieces.content(), pieces.size) == (body, len(body))


@given(st.binary(max_size=100))
def test_any_header_is_judged_without_raising(header: bytes) -> None:
    assert check_signature(SECRETS, b"{}", header) in {"missing", "malformed", "wrong"}


@pytest.mark.parametrize(
    ("header", "verdict"),
    [
        (None, "missing"),
        (b"", "missing"),
        (b"sha256=", "malformed"),
        (b"sha1=" + b"0" * 64, "malformed"),
        (b"0" * 64, "malformed"),
        (b"sha256=" + b"g" * 64, "malformed"),
        (b"sha256=" + b"0" * 63, "malformed"),
        (b"sha256=" + b"0" * 65, "malformed"),
        (b"sha256=" + b"0" * 64, "wrong"),
    ],
)
def test_what_is_wrong_with_a_header(header: bytes | None, verdict: str) -> None:
    assert check_signature(SECRETS, b"{}", header) == verdict


def test_hex_digits_may_be_upper_case() -> None:
    header = sign(b"{}", "current").upper().replace("SHA256", "sha256")
    assert check_signature(SECRETS, b"{}", header.encode()) == "current"


def test_an_app_without_secrets_accepts_nothing() -> None:
    assert check_signature((), b"{}", sign(b"{}", "").encode()) == "wrong"
