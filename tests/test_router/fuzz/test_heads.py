"""What the hot path takes for a usual head, two full parsers read alike; what it judges early it does not take back."""

from __future__ import annotations

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from comanda_contract.trace import read_traceparent
from comanda_router.head import HEAD_BYTES, read_head
from tests.test_router.fuzz.examples import TIMEOUT_SECONDS, fuzzed
from tests.test_router.fuzz.heads import Understood, as_h11_reads, as_httptools_reads, broken_heads, heads

pytestmark = pytest.mark.timeout(TIMEOUT_SECONDS)
LONGEST_BODY = 100_000
"""Of a body that is put behind a head to see where parsers say that it ends."""


@fuzzed
@given(heads() | broken_heads())
def test_full_parsers_agree_to_what_is_usual(head: bytes) -> None:
    judged = read_head(head, 0)
    event("usual" if isinstance(judged, tuple) else judged)
    if not isinstance(judged, tuple):
        return
    app, digest, begin, end, trace = judged
    assert head[begin - 4 : begin] == b"\r\n\r\n"
    assert head.find(b"\r\n\r\n") == begin - 4
    length = end - begin
    body = (head[begin:] + b"x" * length)[:length] if length <= LONGEST_BODY else b""
    said = as_httptools_reads(head[:begin] + body)
    # The strict parser refuses a request without a host or with two; nothing here depends on it.
    strictly = [as_h11_reads(head[:begin] + body)] if len(said.of(b"host")) == 1 else []
    for each in (said, *strictly):
        assert_agreed(each, app, digest, length, trace)
        assert each.complete == (length <= LONGEST_BODY)
        assert each.body_bytes == len(body)


def assert_agreed(said: Understood, app: str, digest: bytes, length: int, trace: str) -> None:
    assert (said.method, said.version, said.requests, said.keeps_alive) == (b"POST", "1.1", 1, True)
    assert said.target in ({b"/webhook"} if app == "default" else set()) | {b"/webhook/" + app.encode()}
    assert [int(value) for value in said.of(b"content-length")] == [length]
    assert [value.strip().lower() for value in said.of(b"x-hub-signature-256")] == [b"sha256=" + digest.hex().encode()]
    assert not said.of(b"transfer-encoding")
    assert trace == read_traceparent(said.of(b"traceparent"))


@fuzzed
@given(heads() | broken_heads(), st.data())
def test_a_judgement_is_not_taken_back_when_more_comes(head: bytes, data: st.DataObject) -> None:
    whole = read_head(head, 0)
    cut = data.draw(st.integers(0, len(head)))
    part = read_head(head[:cut], 0)
    if part == "unusual":
        assert whole == "unusual"
    elif isinstance(part, tuple):
        assert part == whole
    more = head + data.draw(st.binary(max_size=50))
    if isinstance(whole, tuple):
        assert read_head(more, 0) == whole


@fuzzed
@given(heads() | broken_heads(), st.binary(max_size=60))
def test_a_head_means_the_same_wherever_it_begins(head: bytes, before: bytes) -> None:
    judged = read_head(head, 0)
    shifted = read_head(before + head, len(before))
    if isinstance(judged, tuple):
        app, digest, begin, end, trace = judged
        assert shifted == (app, digest, len(before) + begin, len(before) + end, trace)
    else:
        assert shifted == judged


@fuzzed
@given(st.binary(max_size=400) | st.binary(max_size=80).map(lambda rest: b"POST /webhook HTTP/1.1\r\n" + rest))
def test_any_bytes_are_judged(data: bytes) -> None:
    judged = read_head(data, 0)
    assert judged in {"unfinished", "unusual"}


@fuzzed
@given(
    st.integers(1, 40),
    st.sampled_from([b"X: " + b"a" * 900, b"a" * 900, b"X-" + b"b" * 900 + b": c", b"X:" + b" " * 900]),
)
def test_no_head_without_an_end_is_waited_for_beyond_its_limit(count: int, line: bytes) -> None:
    head = b"POST /webhook HTTP/1.1\r\n" + (line + b"\r\n") * count
    assert read_head(head, 0) == ("unfinished" if len(head) < HEAD_BYTES else "unusual")
