"""A TCP proxy that does what networks do: cut, refuse, delay, and swallow everything without a word.

It knows no protocol: TLS and HTTP pass through it. A test points its client at `proxy.port`.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

from tests.cluster.processes import free_port

_CHUNK = 256 * 1024


class _Valve:
    """What connections flow through: open, or shut once so many more bytes have passed."""

    def __init__(self) -> None:
        self.held = 0
        self._budget = sys.maxsize
        self._open = asyncio.Event()
        self._open.set()

    def shut(self, after_bytes: int) -> None:
        self._budget = after_bytes
        self._open.clear()

    def open(self) -> None:
        self._budget = sys.maxsize
        self._open.set()

    async def pieces(self, piece: bytes) -> AsyncIterator[bytes]:
        """Yield what may pass now, then wait and yield the rest."""
        now, later = piece[: self._budget], piece[self._budget :]
        if not self._open.is_set():
            self._budget -= len(now)
        yield now
        if later:
            await self.wait(len(later))
            yield later

    async def wait(self, size: int = 0) -> None:
        """Wait until it is open, with so many bytes in hand."""
        self.held += size
        try:
            await self._open.wait()
        finally:
            self.held -= size


class FaultProxy:
    """Between a client and `127.0.0.1:target`; an async context manager that listens on a port of its own."""

    def __init__(self, target: int) -> None:
        self._target = target
        self.port = free_port()
        self.connections = 0
        """How many connections were accepted since the start."""
        self.delay_seconds = 0.0
        """How long each piece waits before it is handed on, in either direction."""
        self._valve = _Valve()
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self.accept()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.thaw()
        await self.refuse()

    async def accept(self) -> None:
        """Listen, again after `refuse`."""
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def refuse(self) -> None:
        """Cut what is open and refuse what is new, as a host whose server is down does."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Reset every open connection on both sides; new ones are welcome."""
        for writer in self._open:
            sock = writer.get_extra_info("socket")
            # Without lingering, closing sends a reset instead of a polite end.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        for task in self._tasks:
            task.cancel()

    def freeze(self, *, after_bytes: int = 0) -> None:
        """Hand nothing on, either way; connections stay open and new ones are accepted, then silence."""
        self._valve.shut(after_bytes)

    def thaw(self) -> None:
        """Hand on again what was held, and what comes."""
        self._valve.open()

    def strand(self) -> None:
        """Freeze what is open now, for good; new connections work."""
        self._valve.shut(0)
        self._valve = _Valve()

    @property
    def open_connections(self) -> int:
        """How many clients are connected now."""
        return len(self._tasks)

    @property
    def held_bytes(self) -> int:
        """How much came since the freeze and waits to be handed on."""
        return self._valve.held

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._open.add(writer)
        self.connections += 1
        try:
            await self._join(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # the fault that was asked for, or the far side's own end
        finally:
            self._tasks.discard(task)
            self._open.discard(writer)
            writer.transport.abort()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        valve = self._valve
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._open.add(far_writer)
        try:
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump(reader, far_writer, valve))
                pumps.create_task(self._pump(far_reader, writer, valve))
        except* OSError:
            pass  # one side is gone: so is the connection
        finally:
            self._open.discard(far_writer)
            far_writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, valve: _Valve) -> None:
        while piece := await reader.read(_CHUNK):
            await asyncio.sleep(self.delay_seconds)
            async for part in valve.pieces(piece):
                writer.write(part)
                await writer.drain()
        await valve.wait()  # the end, too, waits for its turn
        writer.write_eof()
