from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comanda_router.head import HEAD_BYTES, read_head

SIGNATURE = b"sha256=" + b"0123456789abcdef" * 4
DIGEST = bytes.fromhex("0123456789abcdef" * 4)
LINES = [b"Host: x", b"X-Hub-Signature-256: " + SIGNATURE, b"X-Request-Id: 1", b"Content-Length: 12"]


def head_of(*lines: bytes, request: bytes = b"POST /webhook HTTP/1.1") -> bytes:
    return b"\r\n".join([request, *lines]) + b"\r\n\r\n"


@pytest.mark.parametrize(
    ("request_line", "app"),
    [
        (b"POST /webhook HTTP/1.1", "default"),
        (b"POST /webhook/brand HTTP/1.1", "brand"),
        (b"POST /webhook/a.b-c_d~1 HTTP/1.1", "a.b-c_d~1"),
    ],
)
def test_a_usual_head_says_app_signature_and_where_the_body_is(request_line: bytes, app: str) -> None:
    head = head_of(*LINES, request=request_line)
    assert read_head(head + b"{}", 0) == (app, DIGEST, len(head), len(head) + 12, "")


@given(st.permutations(LINES), st.integers(0, 30))
def test_the_order_of_lines_and_the_place_in_the_bytes_do_not_matter(lines: list[bytes], before: int) -> None:
    head = head_of(*lines)
    begin = before + len(head)
    assert read_head(b"x" * before + head, before) == ("default", DIGEST, begin, begin + 12, "")


@given(st.integers(0, len(head_of(*LINES)) - 1))
def test_part_of_a_usual_head_is_unfinished(length: int) -> None:
    assert read_head(head_of(*LINES)[:length], 0) == "unfinished"


def test_a_head_without_end_is_not_waited_for_for_ever() -> None:
    endless = head_of(*LINES)[:-2] + b"X: " + b"a" * HEAD_BYTES
    assert read_head(endless, 0) == "unusual"


@pytest.mark.parametrize(
    "beginning", [b"GET /", b"POST /webho0", b"\r\nPOST /webhook", b"post /webhook", b"\x16\x03\x01"]
)
def test_what_cannot_become_usual_is_not_waited_for(beginning: bytes) -> None:
    assert read_head(beginning, 0) == "unusual"


@pytest.mark.parametrize(
    "line",
    [
        b"Content-Length: 12",
        b"content-length: 13",
        b"X-Hub-Signature-256: " + SIGNATURE,
        b"Transfer-Encoding: chunked",
        b"TRANSFER-ENCODING: identity",
        b"Transfer-Encoding : chunked",
        b"Connection: close",
        b"Connection: keep-alive",
        b"Proxy-Connection: close",
        b"Upgrade: h2c",
        b"Expect: 100-continue",
        b" folded",
        b"\tfolded",
        b"Bad Name: x",
        b"no colon",
        b": no name",
        b"X: \x00",
        b"X: \x7f",
        b"X: a\rTransfer-Encoding: chunked",
        b"X: a\nTransfer-Encoding: chunked",
        b"N\xc3\xa4me: x",
    ],
)
@pytest.mark.parametrize("place", range(len(LINES) + 1))
def test_what_changes_the_frame_or_breaks_the_rules_is_unusual(line: bytes, place: int) -> None:
    assert read_head(head_of(*LINES[:place], line, *LINES[place:]), 0) == "unusual"


@pytest.mark.parametrize("value", [b"", b"+12", b"-1", b"0x1", b"1 2", b"12, 12", b"12345678", b"\xb2"])
def test_a_length_that_is_no_plain_number_is_unusual(value: bytes) -> None:
    assert read_head(head_of(*LINES[:3], b"Content-Length: " + value), 0) == "unusual"


@pytest.mark.parametrize(
    "value", [b"", b"sha256=", SIGNATURE[:-1], SIGNATURE + b"0", b"sha1=" + b"0" * 40, SIGNATURE + b" x"]
)
def test_a_malformed_signature_is_left_to_the_plain_path(value: bytes) -> None:
    assert read_head(head_of(LINES[3], b"X-Hub-Signature-256: " + value), 0) == "unusual"


@given(st.binary(max_size=300))
def test_any_bytes_are_judged_without_raising(data: bytes) -> None:
    assert read_head(data, 0) in {"unfinished", "unusual"}


TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@given(st.permutations([*LINES, b"TraceParent: \t" + TRACE + b" "]))
def test_a_trace_is_read_wherever_it_stands(lines: list[bytes]) -> None:
    assert read_head(head_of(*lines), 0)[4] == TRACE.decode()


@pytest.mark.parametrize(
    "lines",
    [
        [b"traceparent: " + TRACE.upper()],
        [b"traceparent: " + TRACE, b"traceparent: " + TRACE],
        [b"x-traceparent: " + TRACE],
        [b"tracestate: traceparent:" + TRACE],
    ],
)
def test_what_is_no_trace_or_two_is_left_out(lines: list[bytes]) -> None:
    assert read_head(head_of(*LINES, *lines), 0)[4] == ""
