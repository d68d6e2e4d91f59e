"""Frames over a stream: four bytes of length, big-endian, then JSON."""

from __future__ import annotations

import asyncio
import socket

_PREFIX = 4


class BadFrameError(Exception):
    """The other side does not speak the protocol."""


class Channel:
    """One side of a socket pair."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, largest: int) -> None:
        self._reader = reader
        self._writer = writer
        self._largest = largest

    @classmethod
    async def over(cls, sock: socket.socket, *, largest: int) -> Channel:
        """Open the channel on a connected socket; frames of more than `largest` bytes are refused when read."""
        reader, writer = await asyncio.open_connection(sock=sock)
        return cls(reader, writer, largest=largest)

    def put(self, frame: bytes) -> None:
        """Queue a frame; what the other side never reads is dropped with the channel, and so is one that comes late."""
        if not self._writer.is_closing():
            self._writer.write(len(frame).to_bytes(_PREFIX, "big") + frame)

    async def flush(self) -> None:
        """Wait until most of what was queued is written. Raises `ConnectionError`."""
        await self._writer.drain()

    async def read(self) -> bytes | None:
        """Return the next frame, None when the other side is gone. Raises `BadFrameError`."""
        try:
            length = int.from_bytes(await self._reader.readexactly(_PREFIX), "big")
            if length > self._largest:
                message = f"a frame of {length} bytes"
                raise BadFrameError(message)
            return await self._reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    def close(self) -> None:
        """Drop the connection."""
        self._writer.close()
