"""Heads of requests for the fuzzer, and two full parsers that say what a head means."""

from __future__ import annotations

from dataclasses import dataclass, field

import h11
import httptools
from hypothesis import strategies as st

DIGEST = b"sha256=" + b"0123456789abcdef" * 4
TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

request_lines = st.sampled_from([b"POST /webhook HTTP/1.1", b"POST /webhook/brand HTTP/1.1"]) | st.sampled_from(
    [
        b"POST /webhook/a.b-c_d~1 HTTP/1.1", b"POST /webhook/ HTTP/1.1", b"POST /webhook/a/b HTTP/1.1",
        b"POST /webhook?x=1 HTTP/1.1", b"POST /webhook/%62 HTTP/1.1", b"POST /webhook HTTP/1.0", b"POST /webhook",
        b"GET /webhook HTTP/1.1", b"post /webhook HTTP/1.1", b"POST  /webhook HTTP/1.1", b"POST /webhook HTTP/1.1 ",
        b"POST http://x/webhook HTTP/1.1", b"POST /webhooks HTTP/1.1", b"\r\nPOST /webhook HTTP/1.1", b"",
        b"POST /webhook/" + b"a" * 300 + b" HTTP/1.1", b"POST /webhook\tHTTP/1.1", b"POST /webhook HTTP/1.1\r",
    ]
)  # fmt: skip
names = st.sampled_from(
    [
        b"Host", b"User-Agent", b"X-Request-Id", b"X-Forwarded-For", b"Content-Type", b"traceparent", b"TraceParent",
        b"X-Hub-Signature", b"Content-Length", b"X-Hub-Signature-256", b"Transfer-Encoding", b"Connection", b"Expect",
        b"Upgrade", b"Upgrade-Insecure-Requests", b"Content-Length-X", b"Proxy-Connection", b"TE", b"Trailer",
        b"!#$%&'*+", b"", b" X", b"X ", b"B\xc3\xb6se", b"X:Y", b"A\x00", b"HTTP2-Settings", b"Keep-Alive",
    ]
)  # fmt: skip
values = st.sampled_from(
    [
        b"x", b"", b" ", b"\t", b"chunked", b"close", b"keep-alive", b"100-continue", b"h2c", b"websocket", b"12",
        b"012", b"+12", b"-1", b"1 2", b"12, 12", b"0", b"9999999", b"12345678", b"\xc3\xa9", b"a\x00b", b"a\x7fb",
        b"a\rb", b"a\nb", b"a\x0bb", b"a: b", b"sha256=", b"sha1=" + b"0" * 40, TRACE, TRACE.upper(), b"00-0-0-0",
        b"gzip, chunked", b"identity", b"x" * 5000, DIGEST, DIGEST.upper(), DIGEST[:-1], DIGEST + b"0",
    ]
)  # fmt: skip
spaces = st.sampled_from([b"", b" ", b" ", b" ", b"\t", b"  ", b" \t "])
lines = st.builds(
    lambda name, before, value, after: name + b":" + before + value + after, names, spaces, values, spaces
)
odd_lines = st.sampled_from(
    [b" folded", b"\tfolded", b"no colon", b": x", b"\x00", b"X: y\r", b"\r", b"\n", b"\xff\xfe"]
)
sound_lines = st.sampled_from(
    [b"Host: x", b"Host: hooks.example.com", b"X-Forwarded-Proto:https", b"Accept: */*", b"traceparent: " + TRACE]
)
usual_lines = st.permutations([b"X-Hub-Signature-256: " + DIGEST, b"Content-Length: 12", b"Host: x"])


@st.composite
def heads(draw: st.DrawFn) -> bytes:
    """Draw a head with its end: mostly what is usual, with something put in, left out or broken."""
    wanted = draw(usual_lines)
    if draw(st.booleans()):
        every, request = [*wanted, *draw(st.lists(sound_lines, max_size=4))], b"POST /webhook HTTP/1.1"
    else:
        more = draw(st.lists(sound_lines | lines | odd_lines, max_size=4))
        every, request = [*wanted[: draw(st.sampled_from([3, 3, 3, 2, 1]))], *more], draw(request_lines)
    end = draw(st.sampled_from([b"\r\n"] * 9 + [b"\n"]))
    return end.join([request, *draw(st.permutations(every))]) + end * 2


@st.composite
def broken_heads(draw: st.DrawFn) -> bytes:
    """Draw a head with a byte changed, added or left out."""
    head = draw(heads())
    place = draw(st.integers(0, len(head) - 1))
    byte = draw(st.sampled_from([b"", b"\r", b"\n", b"\x00", b" ", b":", b"\t", b"0", b"X", b"\x80", b"\x7f", b"\r\n"]))
    return head[:place] + byte + head[place + draw(st.integers(0, 1)) :]


@dataclass
class Understood:
    """What a full parser makes of one request with its body, and whether anything was left of the bytes."""

    method: bytes = b""
    target: bytes = b""
    version: str = ""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body_bytes: int = 0
    complete: bool = False
    keeps_alive: bool = False
    requests: int = 0

    def of(self, name: bytes) -> list[bytes]:
        """Return the values of a header."""
        return [value for each, value in self.headers if each.lower() == name]


class _Listener:
    def __init__(self) -> None:
        self.said = Understood()
        self.parser = httptools.HttpRequestParser(self)

    def on_message_begin(self) -> None:
        self.said.requests += 1

    def on_url(self, url: bytes) -> None:
        self.said.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.said.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self.said.method, self.said.version = self.parser.get_method(), self.parser.get_http_version()
        self.said.keeps_alive = self.parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        self.said.body_bytes += len(body)

    def on_message_complete(self) -> None:
        self.said.complete = True


def as_httptools_reads(request: bytes) -> Understood:
    """Read one request with the parser of the plain path. Raises `HttpParserError` or `HttpParserUpgrade`."""
    listener = _Listener()
    listener.parser.feed_data(request)
    return listener.said


def as_h11_reads(request: bytes) -> Understood:
    """Read one request with a parser that is strict about everything. Raises `h11.RemoteProtocolError`."""
    connection, said = h11.Connection(h11.SERVER), Understood()
    connection.receive_data(request)
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            said.method, said.target, said.version = event.method, event.target, event.http_version.decode()
            said.headers, said.requests = list(event.headers), 1
            said.keeps_alive = connection.their_state is not h11.MUST_CLOSE
        elif isinstance(event, h11.Data):
            said.body_bytes += len(event.data)
        else:
            said.complete = isinstance(event, h11.EndOfMessage)
            return said
