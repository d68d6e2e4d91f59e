from __future__ import annotations

import pytest

from comanda_botpod.media_types import MediaLimits, family_of
from tests.test_botpod.media_server import ANIMATED_STICKER, SAMPLES

MORE_SAMPLES = [
    *[("mp3", b"\xff\xfb\x90"), ("mp3", b"\xff\xf3\x90"), ("aac", b"\xff\xf9\x50"), ("aac", b"ADIF")],
    *[("webp", ANIMATED_STICKER), ("text", b"<html>")],
]


@pytest.mark.parametrize(("family", "head"), [*SAMPLES.items(), *MORE_SAMPLES])
def test_a_file_is_known_by_how_it_begins(family: str, head: bytes) -> None:
    assert family_of(head) == family


@pytest.mark.parametrize("head", [b"", b"\0", b"MZ\0", b"\x7fELF\0", b"RIFF\0\0\0\0AVI "])
def test_what_whatsapp_does_not_carry_is_of_no_family(head: bytes) -> None:
    assert family_of(head) is None


def test_limits_can_be_set_lower() -> None:
    assert MediaLimits(document_bytes=10).most_bytes("application/pdf") == 10
