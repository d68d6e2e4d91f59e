"""Which files WhatsApp carries: how large they may be, and how they begin.

A type is believed only when the file's first bytes agree. That tells kinds of files apart; it does not make a file
harmless, so whoever shows one serves it from an origin of its own, as an attachment.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from comanda_botpod.media_errors import MediaRefusedError
from comanda_contract.cloud import limits

Family = Literal["jpeg", "png", "webp", "aac", "amr", "mp3", "mp4", "ogg", "pdf", "ole", "zip", "text"]
Kind = Literal["image", "sticker", "audio", "video", "document"]

HEAD_BYTES = 512
"""How much of a file is looked at."""
_KB = 1024
_OFFICE = "application/vnd.openxmlformats-officedocument"
_WEBP_FLAGS = 20
_WEBP_ANIMATED = 0x02

TYPES: dict[str, tuple[Kind, Family]] = {
    "image/jpeg": ("image", "jpeg"),
    "image/png": ("image", "png"),
    "image/webp": ("sticker", "webp"),
    "audio/aac": ("audio", "aac"),
    "audio/amr": ("audio", "amr"),
    "audio/mpeg": ("audio", "mp3"),
    "audio/mp4": ("audio", "mp4"),
    "audio/ogg": ("audio", "ogg"),
    "video/mp4": ("video", "mp4"),
    "video/3gpp": ("video", "mp4"),
    "text/plain": ("document", "text"),
    "application/pdf": ("document", "pdf"),
    "application/msword": ("document", "ole"),
    "application/vnd.ms-excel": ("document", "ole"),
    "application/vnd.ms-powerpoint": ("document", "ole"),
    f"{_OFFICE}.wordprocessingml.document": ("document", "zip"),
    f"{_OFFICE}.spreadsheetml.sheet": ("document", "zip"),
    f"{_OFFICE}.presentationml.presentation": ("document", "zip"),
}
"""Every type that Meta supports (media reference, 2026): what kind of message it fits and how it is built."""


@dataclass(frozen=True, slots=True)
class MediaLimits:
    """How many bytes of each kind are taken; Meta's own limits unless told otherwise."""

    image_bytes: int = limits.IMAGE_BYTES
    audio_bytes: int = limits.AUDIO_BYTES
    video_bytes: int = limits.VIDEO_BYTES
    document_bytes: int = limits.DOCUMENT_BYTES
    sticker_bytes: int = 100 * _KB
    animated_sticker_bytes: int = 500 * _KB

    def most_bytes(self, mime_type: str, head: bytes = b"") -> int:
        """Return the limit of a file. Before its head is known a sticker may still turn out to be animated.

        Raises `MediaRefusedError` for a type that WhatsApp does not carry.
        """
        match kind_and_family(mime_type)[0]:
            case "image":
                return self.image_bytes
            case "audio":
                return self.audio_bytes
            case "video":
                return self.video_bytes
            case "document":
                return self.document_bytes
            case "sticker":
                return self.animated_sticker_bytes if not head or _is_animated(head) else self.sticker_bytes

    def check(self, mime_type: str, head: bytes, size: int) -> None:
        """Raise `MediaRefusedError` for a file that is too large; `head` as in `most_bytes`."""
        most = self.most_bytes(mime_type, head)
        if size > most:
            raise MediaRefusedError("size", f"is more than the {most // 1024} KiB allowed", hint="Send a smaller file.")


def kind_and_family(mime_type: str) -> tuple[Kind, Family]:
    """Look a type up, parameters such as `codecs` aside. Raises `MediaRefusedError` for an unknown one."""
    found = TYPES.get(mime_type.partition(";")[0].strip().lower())
    if found is None:
        raise MediaRefusedError("type", "is none that WhatsApp carries", hint=f"Use one of {', '.join(sorted(TYPES))}.")
    return found


def check_type(mime_type: str, head: bytes) -> None:
    """Raise `MediaRefusedError` unless a file that begins with `head` is of the type it is said to be."""
    _, family = kind_and_family(mime_type)
    if family_of(head) != family:
        raise MediaRefusedError("type", "does not agree with how the file begins", hint="Send the file as what it is.")


def family_of(head: bytes) -> Family | None:
    """Tell from its first bytes how a file is built; None for anything WhatsApp does not carry, and for no bytes."""
    for family, begins in _SIGNATURES:
        if begins(head):
            return family
    return "text" if head and b"\0" not in head else None


def _starts(*prefixes: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(prefixes)


def _is_mpeg_frame(head: bytes, layers: frozenset[int]) -> bool:
    """Tell whether eleven bits of synchronisation are followed by one of these layers (0 is AAC, 1 to 3 are MPEG)."""
    return len(head) >= 2 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0 and (head[1] >> 1) & 3 in layers


def _is_animated(head: bytes) -> bool:
    return head[12:16] == b"VP8X" and len(head) > _WEBP_FLAGS and bool(head[_WEBP_FLAGS] & _WEBP_ANIMATED)


_SIGNATURES: tuple[tuple[Family, Callable[[bytes], bool]], ...] = (
    ("jpeg", _starts(b"\xff\xd8\xff")),
    ("png", _starts(b"\x89PNG\r\n\x1a\n")),
    ("webp", lambda head: head.startswith(b"RIFF") and head[8:12] == b"WEBP"),
    ("amr", _starts(b"#!AMR")),
    ("ogg", _starts(b"OggS")),
    ("mp4", lambda head: head[4:8] == b"ftyp"),
    ("pdf", _starts(b"%PDF-")),
    ("ole", _starts(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")),
    ("zip", _starts(b"PK\x03\x04")),
    ("aac", lambda head: head.startswith(b"ADIF") or _is_mpeg_frame(head, frozenset({0}))),
    ("mp3", lambda head: head.startswith(b"ID3") or _is_mpeg_frame(head, frozenset({1, 2, 3}))),
)
