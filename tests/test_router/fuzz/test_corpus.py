"""Inputs that are worth keeping, each in a file with what must come of it.

A file of `corpus/` names what reads it (`head`, `signature` or `split`), and gives its input as pieces: text, bytes in
hex, or something a number of times. In a delivery's key `sha256` stands for the digest of its item. What the fuzzer
finds becomes a file here.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from comanda_contract.deliveries import NO_CONTACT, Delivery
from comanda_router.head import read_head
from comanda_router.signature import Key, check_signature
from comanda_router.split import NotJsonError, split, split_any, split_usual

CASES = {path.stem: json.loads(path.read_text()) for path in sorted(Path(__file__).with_name("corpus").glob("*.json"))}
DIGEST_DIGITS = 40


def bytes_of(pieces: list[Any]) -> bytes:
    """Put an input together."""
    return b"".join(_piece(piece) for piece in pieces)


def _piece(piece: Any) -> bytes:
    match piece:
        case str():
            return piece.encode()
        case {"hex": digits}:
            return bytes.fromhex(digits)
        case {"times": count, "of": text}:
            return bytes(text.encode() * count)
    raise AssertionError(piece)


def cases_of(reader: str) -> pytest.MarkDecorator:
    named = [pytest.param(case, id=name) for name, case in CASES.items() if case["reads"] == reader]
    return pytest.mark.parametrize("case", named)


def test_there_are_inputs_for_every_reader() -> None:
    counts = Counter(case["reads"] for case in CASES.values())
    assert counts.keys() == {"head", "signature", "split"}
    assert min(counts.values()) >= 20


@cases_of("head")
def test_heads(case: Any) -> None:
    judged = read_head(bytes_of(case["input"]), 0)
    if isinstance(judged, str):
        assert judged == case["expected"]
    else:
        app, digest, begin, end, trace = judged
        said = {"app": app, "signature": f"sha256={digest.hex()}", "length": end - begin, "trace": trace}
        assert said == case["expected"]


@cases_of("signature")
def test_signatures(case: Any) -> None:
    header = None if case["header"] is None else case["header"].encode()
    keys = [Key(secret.encode()) for secret in case["secrets"]]
    assert check_signature(keys, bytes_of(case["input"]), header) == case["expected"]


@cases_of("split")
def test_splits(case: Any) -> None:
    body = bytes_of(case["input"])
    if case["expected"] == "no JSON":
        assert split_usual("default", body) is None
        with pytest.raises(NotJsonError):
            split("default", body)
        return
    usual, general = split_usual("default", body), split_any("default", body)
    said = {
        "deliveries": [described(delivery) for delivery in general.deliveries],
        "unroutable": [{"field": part.field, "waba_id": part.waba_id} for part in general.unroutable],
        "usual": usual is not None,
    }
    assert said == with_digests(case["expected"], general.deliveries)
    if usual is not None:
        assert [described(delivery) for delivery, _ in usual] == said["deliveries"]
    for part in general.unroutable:
        assert msgspec.json.decode(part.content, type=msgspec.Raw), "what is kept can be read again"


def described(delivery: Delivery) -> dict[str, str]:
    named = {} if delivery.contact == NO_CONTACT else json.loads(bytes(delivery.contact))
    return {
        "kind": delivery.kind,
        "phone_number_id": delivery.phone_number_id,
        "key": delivery.key,
        "field": delivery.field,
        "waba_id": delivery.waba_id,
        "contact": named.get("profile", {}).get("name", ""),
    }


def with_digests(expected: Any, deliveries: tuple[Delivery, ...]) -> Any:
    """Fill in what `sha256` stands for."""
    assert len(expected["deliveries"]) == len(deliveries)
    digests = [hashlib.sha256(bytes(delivery.item)).hexdigest()[:DIGEST_DIGITS] for delivery in deliveries]
    filled = [
        each | {"key": each["key"].replace("sha256", digest)}
        for each, digest in zip(expected["deliveries"], digests, strict=True)
    ]
    return expected | {"deliveries": filled}
