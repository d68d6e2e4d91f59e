"""A million forged or mutated signatures, none accepted; and a comparison whose time tells nothing of the right one."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest

from comanda_router.signature import ESCAPED_BYTES, SIGNED, Key, check_signature, escaped
from tests.harness import sign

COUNT = 1_000_000
CURRENT, PREVIOUS = "0f1e2d3c4b5a69788796a5b4c3d2e1f0", "previous-secret-of-the-app"
KEYS = (Key(CURRENT.encode()), Key(PREVIOUS.encode()))
OTHER_SECRETS = (
    "another-app",
    "brand-secret",
    CURRENT.upper(),
    CURRENT[:-1],
    f"{CURRENT} ",
    CURRENT * 3,
    "",
    "0",
    "null",
)
"""What other apps sign with, and what somebody might who has nearly the right one."""
TEXTS = ("hola", "2 pizzas", "dos jalapeños, por favor", "🍕🍕 ya", "a/b@c \\u00e9", "Ñuñoa, é", "ok\\n", "")
WRONG_PREFIXES = (
    b"", b"sha1=", b"sha512=", b"sha256", b"sha256:", b"sha256==", b"sha-256=", b"hmac-sha256=", b"sha256 =",
    b"sha256=0x", b"=", b"sha256=sha256=", b"sha256=%20", b"sha256=\x00", b"v0=", "ｓｈａ256=".encode(), b"sha256=+",
    b"sha256=\n",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sample:
    """A body of its own with what Meta would send for it."""

    body: bytes
    digest: bytes

    @property
    def header(self) -> bytes:
        return b"sha256=" + self.digest.hex().encode()


Forged = tuple[bytes, bytes]
"""A body and a header that do not belong together."""
Forge = Callable[[Random, Sample], Forged]


def make_sample(random: Random, serial: int) -> Sample:
    message = {"id": f"wamid.{serial}", "from": "56911112222", "text": {"body": random.choice(TEXTS)}}
    body = json.dumps({"entry": [{"changes": [{"value": {"messages": [message]}}]}]}, ensure_ascii=False).encode()
    return Sample(body, hmac.digest(random.choice((CURRENT, PREVIOUS)).encode(), body, "sha256"))


def flip(random: Random, content: bytes) -> bytes:
    """Flip one bit."""
    place = random.randrange(len(content) * 8)
    changed = bytearray(content)
    changed[place >> 3] ^= 1 << (place & 7)
    return bytes(changed)


def header_of(digest: bytes) -> bytes:
    return b"sha256=" + digest.hex().encode()


# --- In the body -----------------------------------------------------------------------------------------------------


def bit_of_body(random: Random, sample: Sample) -> Forged:
    return flip(random, sample.body), sample.header


def part_of_body(random: Random, sample: Sample) -> Forged:
    return sample.body[: random.randrange(len(sample.body))], sample.header


def byte_more(random: Random, sample: Sample) -> Forged:
    place = random.randrange(len(sample.body) + 1)
    return sample.body[:place] + bytes([random.randrange(256)]) + sample.body[place:], sample.header


def body_written_anew(random: Random, sample: Sample) -> Forged:
    """What frameworks hand on that parse before they verify: the same JSON in other bytes."""
    written = json.dumps(json.loads(sample.body), separators=random.choice(((",", ":"), (" , ", ": "), (",", " :"))))
    return written.encode(), sample.header


def body_beside_a_mark(random: Random, sample: Sample) -> Forged:
    mark = random.choice((b"\xef\xbb\xbf", b" ", b"\r\n", b"\x00"))
    return random.choice((mark + sample.body, sample.body + mark)), sample.header


# --- In the signature ------------------------------------------------------------------------------------------------


def bit_of_digest(random: Random, sample: Sample) -> Forged:
    return sample.body, header_of(flip(random, sample.digest))


def bit_of_digest_in_upper_case(random: Random, sample: Sample) -> Forged:
    return sample.body, b"sha256=" + flip(random, sample.digest).hex().upper().encode()


def bit_of_header(random: Random, sample: Sample) -> Forged:
    """A flipped bit that only changes a letter's case changes nothing: such a header gets one hex digit less."""
    header = flip(random, sample.header)
    return sample.body, header[:-1] if header.lower() == sample.header else header


def part_of_header(random: Random, sample: Sample) -> Forged:
    return sample.body, sample.header[: random.randrange(len(sample.header))]


def part_of_digest(random: Random, sample: Sample) -> Forged:
    kept, other = sample.digest[: (count := random.randrange(32))], sample.digest[count] ^ 0xFF
    return sample.body, header_of(random.choice((kept, kept.ljust(32, bytes([other])))))


def digits_more(random: Random, sample: Sample) -> Forged:
    return sample.body, sample.header + random.choice((b"0", b"00", b"g", b"=", b";", b",", b"\x00", b" 00", b"\n00"))


def other_prefix(random: Random, sample: Sample) -> Forged:
    return sample.body, random.choice(WRONG_PREFIXES) + sample.digest.hex().encode()


def other_writing(random: Random, sample: Sample) -> Forged:
    digits = sample.digest.hex()
    pairs = [digits[place : place + 2] for place in range(0, 64, 2)]
    fullwidth = "".join(chr(ord(digit) + 0xFEE0) for digit in digits)
    encoded = base64.b64encode(sample.digest).decode()
    written = random.choice((":".join(pairs), " ".join(pairs), "-".join(pairs), fullwidth, encoded, digits[::-1]))
    return sample.body, f"sha256={written}".encode()


def two_headers_in_one(random: Random, sample: Sample) -> Forged:
    """How proxies join a header that came twice."""
    other = header_of(flip(random, sample.digest))
    first, second = random.choice(((sample.header, other), (other, sample.header), (sample.header, sample.header)))
    return sample.body, first + random.choice((b", ", b",", b"; ", b" ", b"\t")) + second


def signature_of_another(random: Random, sample: Sample) -> Forged:
    return sample.body, sign(sample.body + b"%d" % random.randrange(1000), CURRENT).encode()


def any_digest(random: Random, sample: Sample) -> Forged:
    return sample.body, header_of(random.randbytes(32))


def any_header(random: Random, sample: Sample) -> Forged:
    return sample.body, random.randbytes(random.randrange(90))


# --- In the secret, and in how it is used ----------------------------------------------------------------------------


def bit_of_secret(random: Random, sample: Sample) -> Forged:
    secret = flip(random, random.choice((CURRENT, PREVIOUS)).encode())
    return sample.body, header_of(hmac.digest(secret, sample.body, "sha256"))


def secret_of_another_app(random: Random, sample: Sample) -> Forged:
    return sample.body, sign(sample.body, random.choice(OTHER_SECRETS)).encode()


def other_algorithm(random: Random, sample: Sample) -> Forged:
    name = random.choice(("sha1", "md5", "sha512", "sha3_256", "blake2s"))
    digest = hmac.digest(CURRENT.encode(), sample.body, name)
    return sample.body, header_of(digest) if random.random() < 0.5 else header_of(digest[:32].ljust(32, b"\0"))


def no_hmac(random: Random, sample: Sample) -> Forged:
    """Plain digests: of the body, of secret and body joined either way, and HMAC with its arguments swapped."""
    secret, body = CURRENT.encode(), sample.body
    joined = random.choice((body, secret + body, body + secret, secret + b":" + body))
    swapped = hmac.digest(body, secret, "sha256")
    return body, header_of(random.choice((hashlib.sha256(joined).digest(), swapped)))


def digest_of_the_digest(random: Random, sample: Sample) -> Forged:
    return sample.body, header_of(hashlib.sha256(random.choice((sample.digest, sample.header))).digest())


# --- In the form with escapes ----------------------------------------------------------------------------------------


def escapes_in_upper_case(random: Random, sample: Sample) -> Forged:
    body = sample.body + random.choice(("é", "ñandú", "🍕")).encode()
    text = escaped(body).replace(b"\\ud83c", b"\\uD83C").replace(b"\\u00e9", b"\\u00E9").replace(b"\\u00f1", b"\\u00F1")
    return body, sign(text, CURRENT).encode()


def escapes_with_another_secret(random: Random, sample: Sample) -> Forged:
    body = sample.body + "é".encode()
    return body, sign(escaped(body), random.choice(OTHER_SECRETS)).encode()


def escapes_of_escapes(random: Random, sample: Sample) -> Forged:
    body = sample.body + "é".encode()
    return body, sign(
        escaped(body).replace(b"\\u00e9", random.choice((b"\\\\u00e9", b"&eacute;", b"%C3%A9"))), CURRENT
    ).encode()


def bit_of_escaped(random: Random, sample: Sample) -> Forged:
    body = sample.body + "🍕".encode()
    return body, sign(flip(random, escaped(body)), CURRENT).encode()


def letters_where_escapes_were_signed(random: Random, sample: Sample) -> Forged:
    """The other way round: what is signed are the letters, and what comes are their escapes."""
    letters = sample.body + random.choice(("é", "🍕")).encode()
    return escaped(letters), sign(letters, CURRENT).encode()


FORGES: tuple[Forge, ...] = (
    bit_of_body, part_of_body, byte_more, body_written_anew, body_beside_a_mark,
    bit_of_digest, bit_of_digest_in_upper_case, bit_of_header, part_of_header, part_of_digest, digits_more,
    other_prefix, other_writing, two_headers_in_one, signature_of_another, any_digest, any_header,
    bit_of_secret, secret_of_another_app, other_algorithm, no_hmac, digest_of_the_digest,
    escapes_in_upper_case, escapes_with_another_secret, escapes_of_escapes, bit_of_escaped,
    letters_where_escapes_were_signed,
)  # fmt: skip


@pytest.mark.timeout(300)
def test_none_of_a_million_forged_signatures_is_accepted() -> None:
    """Each body occurs once for each way to forge, so no two of the million are the same."""
    random = Random(7919)
    sample = make_sample(random, 0)
    for serial in range(COUNT):
        place = serial % len(FORGES)
        if place == 0:
            sample = make_sample(random, serial)
            assert check_signature(KEYS, sample.body, sample.header) in {"current", "previous"}
        body, header = FORGES[place](random, sample)
        verdict = check_signature(KEYS, body, header)
        assert verdict not in SIGNED, f"{FORGES[place].__name__}, {serial}: {verdict} for {header!r} over {body!r}"


def test_a_long_body_is_not_tried_with_escapes() -> None:
    body = "é".encode() * (ESCAPED_BYTES // 2 + 1)
    assert check_signature(KEYS, body, sign(escaped(body), CURRENT).encode()) == "wrong"
    assert (
        check_signature(KEYS, body[:ESCAPED_BYTES], sign(escaped(body[:ESCAPED_BYTES]), CURRENT).encode()) == "escaped"
    )


# --- The comparison --------------------------------------------------------------------------------------------------


class Spy:
    """Stands where the constant-time comparison does: notes the lengths that it is given, and may answer for it."""

    def __init__(self, *, answer: bool | None = None) -> None:
        self.lengths: list[tuple[int, int]] = []
        self._answer = answer
        self._compare = hmac.compare_digest

    def __call__(self, mine: Any, theirs: Any) -> bool:
        self.lengths.append((len(mine), len(theirs)))
        return self._compare(mine, theirs) if self._answer is None else self._answer


BODIES = pytest.mark.parametrize(
    ("body", "forms"), [(b'{"a":1}', 1), ('{"a":"é"}'.encode(), 2)], ids=["ascii", "letters"]
)
"""A body with letters beyond ASCII is compared in its other form as well."""


@BODIES
def test_every_wrong_byte_costs_the_same_comparisons_of_whole_digests(
    monkeypatch: pytest.MonkeyPatch, body: bytes, forms: int
) -> None:
    right = hmac.digest(CURRENT.encode(), body, "sha256")
    for place in range(32):
        for bit in range(8):
            wrong = bytearray(right)
            wrong[place] ^= 1 << bit
            spy = Spy()
            with monkeypatch.context() as patched:
                patched.setattr(hmac, "compare_digest", spy)
                assert check_signature(KEYS, body, header_of(bytes(wrong))) == "wrong"
            assert spy.lengths == [(32, 32)] * len(KEYS) * forms, (place, bit)


def test_every_secret_is_compared_whichever_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    for secret, verdict in ((CURRENT, "current"), (PREVIOUS, "previous")):
        spy = Spy()
        with monkeypatch.context() as patched:
            patched.setattr(hmac, "compare_digest", spy)
            assert check_signature(KEYS, b"{}", sign(b"{}", secret).encode()) == verdict
        assert spy.lengths == [(32, 32)] * len(KEYS)


@BODIES
def test_nothing_but_that_comparison_decides(monkeypatch: pytest.MonkeyPatch, body: bytes, forms: int) -> None:
    assert forms in {1, 2}
    right, wrong = sign(body, CURRENT).encode(), header_of(bytes(32))
    monkeypatch.setattr(hmac, "compare_digest", Spy(answer=True))
    assert check_signature(KEYS, body, wrong) in SIGNED
    monkeypatch.setattr(hmac, "compare_digest", Spy(answer=False))
    assert check_signature(KEYS, body, right) == "wrong"
