"""Files of a turn: what the customer's message brought, and what the handler hands over to be sent.

The pod does both, with its token and within its limits of place, size and type; the handler sees content alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from comanda_botpod.handlers.sdk.gathered import FILE_BYTES, MAX_FILES, Gathered
from comanda_botpod.media_types import HEAD_BYTES, MediaLimits, check_type
from comanda_contract.errors import ComandaError

LIMITS = MediaLimits(audio_bytes=FILE_BYTES, video_bytes=FILE_BYTES, document_bytes=FILE_BYTES)
"""What crosses the border of the handler's process: Meta's limits, and 5 MiB at most."""


class MediaError(ComandaError):
    """A file could not be fetched or handed over; `again`: the same call may work later."""

    code = "handler_media"

    def __init__(self, message: str, *, hint: str = "", again: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.again = again


@dataclass(frozen=True)
class File:
    """A file as Meta keeps it."""

    content: bytes = field(repr=False)
    mime_type: str


class Transfers(Protocol):
    """Who really fetches and hands over; both raise `MediaError`."""

    async def fetch(self) -> File:
        """Return the file that the turn's message brought."""
        ...

    async def upload(self, file: File) -> str:
        """Hand a file over to Meta; returns its media id."""
        ...


class Media:
    """The files of one turn, four at most in both directions together, 5 MiB each."""

    def __init__(self, gathered: Gathered, transfers: Transfers) -> None:
        self._gathered = gathered
        self._transfers = transfers

    async def fetch(self) -> File:
        """Return the file that this message brought: size, type and digest are checked.

        Raises `MediaError`, and `UsageError` for a fifth file.
        """
        self._count()
        return await self._transfers.fetch()

    async def upload(self, content: bytes, mime_type: str) -> str:
        """Hand a file over to Meta, at once, and return the id by which it can be sent for 30 days.

        Raises `MediaRefusedError` for a size or type that is not sent, `MediaError`, and `UsageError` for a fifth file.
        """
        LIMITS.check(mime_type, content[:HEAD_BYTES], len(content))
        check_type(mime_type, content[:HEAD_BYTES])
        self._count()
        return await self._transfers.upload(File(content, mime_type))

    def _count(self) -> None:
        self._gathered.room("media", self._gathered.files, MAX_FILES)
        self._gathered.files += 1
