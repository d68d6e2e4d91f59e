"""The head of a usual webhook request, judged by two patterns: what Meta and the proxies before us really send.

Usual is: `POST /webhook[/{app}] HTTP/1.1`, valid header lines, one Content-Length, one well-formed X-Hub-Signature-256,
and nothing that would change how the message is framed or answered. All else is left to a full HTTP parser.
"""

from __future__ import annotations

import re
from binascii import unhexlify
from typing import Literal

from comanda_contract.names import DEFAULT_APP
from comanda_contract.trace import read_traceparent

HEAD_BYTES = 16 * 1024
"""A head longer than this is not usual; proxies send at most 8 to 16 KiB."""

_END = b"\r\n\r\n"
_BEGINNING = b"POST /webhook"
_DEFAULT_REQUEST = b"POST /webhook HTTP/1.1\r\n"
_REQUEST = re.compile(rb"POST /webhook/([A-Za-z0-9._~-]{1,253}) HTTP/1\.1\r\n")

_OTHERS = (
    rb"(?:(?!content-length|x-hub-signature-256|transfer-encoding|upgrade|expect|connection|proxy-connection)"
    rb"[!#$%&'*+.^_`|~0-9a-z-]++:[\t\x20-\x7e\x80-\xff]*+\r\n)*"
)
_LENGTH = rb"content-length:[ \t]*([0-9]{1,7})[ \t]*\r\n"
_SIGNATURE = rb"x-hub-signature-256:[ \t]*sha256=([0-9a-f]{64})[ \t]*\r\n"
_FIELDS = re.compile(
    _OTHERS
    + rb"(?:" + _LENGTH + _OTHERS + _SIGNATURE + rb"|" + _SIGNATURE + _OTHERS + _LENGTH + rb")"
    + _OTHERS + rb"\r\n"
)  # fmt: skip
"""The header lines in lower case. No line can be read in two ways, so the time is linear in the length. Groups are not
possessive: Python 3.11.2 then finds no match where there is one."""

_TRACE = b"traceparent:"
_TRACES = re.compile(rb"(?:^|\n)traceparent:([^\r]*+)\r")

Head = tuple[str, bytes, int, int, str]
"""What a usual head says: the app, the signature's digest, where the body begins and ends, its `traceparent` or ""."""


def read_head(data: bytes, start: int) -> Head | Literal["unfinished", "unusual"]:
    """Judge the request that begins at `start`: `unfinished` may still become a usual one when more has come."""
    end = data.find(_END, start)
    if end < 0:
        usual = _BEGINNING.startswith(data[start : start + len(_BEGINNING)])
        return "unfinished" if usual and len(data) - start < HEAD_BYTES else "unusual"
    begin = end + len(_END)
    if data.startswith(_DEFAULT_REQUEST, start):
        app, fields_begin = DEFAULT_APP, start + len(_DEFAULT_REQUEST)
    else:
        request = _REQUEST.match(data, start, begin)
        if request is None:
            return "unusual"
        app, fields_begin = request[1].decode(), request.end()
    lines = data[fields_begin:begin].lower()
    fields = _FIELDS.fullmatch(lines)
    if fields is None:
        return "unusual"
    length, digest, other_digest, other_length = fields.groups()
    trace = _read_trace(data, fields_begin, lines) if _TRACE in lines else ""
    return app, unhexlify(digest or other_digest), begin, begin + int(length or other_length), trace


def _read_trace(data: bytes, begin: int, lines: bytes) -> str:
    """Read it from the bytes as they came: upper case in its value makes it none."""
    return read_traceparent([data[begin + found.start(1) : begin + found.end(1)] for found in _TRACES.finditer(lines)])
