"""The signature check says what a plain reading of Meta's rules says, whatever body, header and secrets it is given."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Sequence

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from comanda_router.signature import ESCAPED_BYTES, Key, check_signature, escaped
from tests.test_contract.test_messages_in import json_values
from tests.test_router.fuzz.examples import TIMEOUT_SECONDS, fuzzed

pytestmark = pytest.mark.timeout(TIMEOUT_SECONDS)

secrets = st.lists(
    st.sampled_from([b"current", b"previous", b"", b"x" * 64, b"x" * 65, b"x" * 200, b"\x00", b"\xff\xfe"])
    | st.binary(max_size=80),
    max_size=3,
)
bodies = (
    st.binary(max_size=200)
    | st.text(max_size=80).map(str.encode)
    | json_values.map(lambda value: json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    | st.sampled_from([b"", b"{}", "é".encode(), "🍕".encode(), b"\xed\xa0\x80", b"\xc3", b"\xf4\x90\x80\x80"])
)
decorations = st.sampled_from([b"", b" ", b"\t", b"\n", b"\x0b", b"\x00", b",", b"0", b"sha256="])


def in_words(secrets: Sequence[bytes], body: bytes, header: bytes | None) -> str:
    """Judge as Meta's page is written, one step after the other, in no particular time."""
    if not header:
        return "missing"
    shown = re.fullmatch(rb"(?i:sha256=([0-9a-f]{64}))", header.strip())
    if shown is None:
        return "malformed"
    for place, secret in enumerate(secrets):
        if hmac.new(secret, body, hashlib.sha256).hexdigest().encode() == shown[1].lower():
            return "previous" if place else "current"
    if not body.isascii() and len(body) <= ESCAPED_BYTES:
        text = spelt_out(body)
        if any(hmac.new(secret, text, hashlib.sha256).hexdigest().encode() == shown[1].lower() for secret in secrets):
            return "escaped"
    return "wrong"


def spelt_out(body: bytes) -> bytes:
    """Spell out each character beyond ASCII as JSON does."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return body
    return "".join(each if each.isascii() else json.dumps(each)[1:-1] for each in text).encode()


@st.composite
def headers(draw: st.DrawFn, secrets: Sequence[bytes], body: bytes) -> bytes | None:
    """Draw a header that belongs to the body, or nearly, or not at all."""
    secret = draw(st.sampled_from([*secrets, b"another"]))
    text = draw(st.sampled_from([body, body, spelt_out(body), body + b" "]))
    right = b"sha256=" + hmac.digest(secret, text, "sha256").hex().encode()
    near = st.sampled_from(
        [right, right, right, right.upper(), right[:-1], right[7:], b"sha1=" + right[7:47], right[:7]]
    )
    decorated = st.builds(lambda before, header, after: before + header + after, decorations, near, decorations)
    return draw(st.just(right) | decorated | st.none() | st.binary(max_size=80))


@fuzzed
@given(secrets, bodies, st.data())
def test_it_says_what_the_rules_say(secrets: list[bytes], body: bytes, data: st.DataObject) -> None:
    header = data.draw(headers(secrets, body))
    verdict = check_signature([Key(secret) for secret in secrets], body, header)
    event(verdict)
    assert verdict == in_words(secrets, body, header)


@fuzzed
@given(st.binary(max_size=200), bodies)
def test_a_key_made_ready_gives_the_digest_of_the_standard_library(secret: bytes, body: bytes) -> None:
    key = Key(secret)
    assert key.digest(body) == hmac.digest(secret, body, "sha256")
    assert key.digest(body) == key.digest(body)


@fuzzed
@given(json_values)
def test_escapes_change_no_meaning_and_leave_no_letter(value: object) -> None:
    body = json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
    text = escaped(body)
    assert text == spelt_out(body)
    assert text.isascii()
    assert json.loads(text) == value


@fuzzed
@given(bodies)
def test_escapes_of_any_bytes_are_made_without_raising(body: bytes) -> None:
    text = escaped(body)
    assert text == spelt_out(body)
    assert escaped(text) == text
