"""Media that was uploaded or sent by customers: kept in memory, owned by one number, with Meta's limits."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import OrderedDict

import msgspec

from comanda_contract.cloud import limits
from comanda_simulator.errors import GraphRefusal

_CAPACITY_BYTES = 256 * 1024 * 1024
"""Memory for all media together; the oldest go first."""

_KB = 1024
_KINDS: dict[str, tuple[str, int]] = {
    "image/jpeg": ("image", limits.IMAGE_BYTES),
    "image/png": ("image", limits.IMAGE_BYTES),
    "image/webp": ("sticker", 500 * _KB),
    "audio/aac": ("audio", limits.AUDIO_BYTES),
    "audio/amr": ("audio", limits.AUDIO_BYTES),
    "audio/mpeg": ("audio", limits.AUDIO_BYTES),
    "audio/mp4": ("audio", limits.AUDIO_BYTES),
    "audio/ogg": ("audio", limits.AUDIO_BYTES),
    "video/mp4": ("video", limits.VIDEO_BYTES),
    "video/3gpp": ("video", limits.VIDEO_BYTES),
    "text/plain": ("document", limits.DOCUMENT_BYTES),
    "application/pdf": ("document", limits.DOCUMENT_BYTES),
    "application/vnd.ms-powerpoint": ("document", limits.DOCUMENT_BYTES),
    "application/msword": ("document", limits.DOCUMENT_BYTES),
    "application/vnd.ms-excel": ("document", limits.DOCUMENT_BYTES),
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ("document", limits.DOCUMENT_BYTES),
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": ("document", limits.DOCUMENT_BYTES),
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ("document", limits.DOCUMENT_BYTES),
}
"""What may be uploaded: the message type it fits and its size in bytes."""


class Media(msgspec.Struct, frozen=True, kw_only=True):
    """One stored file."""

    id: str
    phone_number_id: str
    mime_type: str
    content: bytes
    sha256: str
    """Lower-case hex."""
    filename: str = ""


class MediaStore:
    """All media, and the tickets that open their download URLs."""

    def __init__(self) -> None:
        self._media: OrderedDict[str, Media] = OrderedDict()
        self._bytes = 0
        self._key = secrets.token_bytes(32)

    def add(self, phone_number_id: str, mime_type: str, content: bytes, filename: str = "") -> Media:
        """Store a file. Raises `GraphRefusal` 100 for a type and 131053 for a size that Meta refuses."""
        kind = _KINDS.get(mime_type.partition(";")[0].strip().lower())
        if kind is None:
            rule = f"Param file must be a file with one of the following types: {', '.join(_KINDS)}"
            raise GraphRefusal(100, f"{rule}. Received {mime_type or 'nothing'}.", title=f"(#100) {rule}")
        if not 0 < len(content) <= kind[1]:
            raise GraphRefusal(131053, f"A {kind[0]} must have 1 to {kind[1]} bytes, this one has {len(content)}.")
        media = Media(
            id=str(10**14 + secrets.randbelow(9 * 10**14)),
            phone_number_id=phone_number_id,
            mime_type=mime_type,
            content=content,
            sha256=hashlib.sha256(content).hexdigest(),
            filename=filename,
        )
        self._media[media.id] = media
        self._bytes += len(content)
        while self._bytes > _CAPACITY_BYTES:
            self.remove(next(iter(self._media)))
        return media

    def get(self, media_id: str) -> Media | None:
        """Return a file, or None."""
        return self._media.get(media_id)

    def owns(self, phone_number_id: str, media_id: str) -> bool:
        """Tell whether the number owns this media."""
        media = self._media.get(media_id)
        return media is not None and media.phone_number_id == phone_number_id

    def remove(self, media_id: str) -> None:
        """Forget a file."""
        self._bytes -= len(self._media.pop(media_id).content)

    def ticket(self, media_id: str, expires: int) -> str:
        """Return what makes a download URL valid until `expires` (unix seconds)."""
        return hmac.digest(self._key, f"{media_id}:{expires}".encode(), "sha256").hex()[:32]

    def admits(self, media_id: str, expires: int, ticket: str, now: float) -> bool:
        """Tell whether a download URL is genuine and not yet expired."""
        return now <= expires and hmac.compare_digest(ticket, self.ticket(media_id, expires))
