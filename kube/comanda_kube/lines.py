"""A stream of bytes → lines of any length: one object is one line, and an object may be far longer than 128 kB."""

from __future__ import annotations

MAX_LINE_BYTES = 32 * 1024 * 1024
"""etcd takes objects of 1.5 MiB; escaped as JSON none gets near this. What is longer is no stream of objects."""


class LineTooLongError(ValueError):
    """What comes is no stream of objects."""


class LineSplitter:
    """Gathers pieces and gives whole lines; an unfinished line waits for its end."""

    def __init__(self) -> None:
        self._begun: list[bytes] = []
        self._size = 0

    def feed(self, piece: bytes) -> list[bytes]:
        """Return the lines that this piece completes, without line ends. Raises `LineTooLongError`."""
        *whole, rest = piece.split(b"\n")
        if whole:
            whole[0] = b"".join((*self._begun, whole[0]))
            self._begun, self._size = [], 0
        self._begun.append(rest)
        self._size += len(rest)
        if self._size > MAX_LINE_BYTES:
            raise LineTooLongError
        return [line for line in whole if line]
