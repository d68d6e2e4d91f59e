"""The directory of local mode: a file that is replaced atomically.

A broken one is reported, and the last good one stays in force.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Never

import msgspec
import structlog

from comanda_contract.directory import Directory, NumberEntry
from comanda_router.directory.pieces import decode_in_pieces

_log = structlog.get_logger()


class FileDirectory:
    """Gives `on_change` each new directory; `known` tells the entry in force of a number."""

    def __init__(
        self,
        file: Path,
        on_change: Callable[[Directory], Awaitable[None]],
        known: Callable[[str], NumberEntry | None] = lambda _: None,
    ) -> None:
        self._file = file
        self._on_change = on_change
        self._known = known
        self._stamp: tuple[int, int] | None = None
        self._loaded_at = time.time()

    @property
    def age_seconds(self) -> float:
        """How old the file in force is."""
        return time.time() - self._loaded_at

    async def refresh(self) -> bool:
        """Read the file when it has been replaced; True when another one is in force. Raises `OSError`."""
        try:
            stat = self._file.stat()
        except FileNotFoundError:
            return False
        if (stamp := (stat.st_mtime_ns, stat.st_ino)) == self._stamp:
            return False
        content = await asyncio.to_thread(self._file.read_bytes)
        self._stamp = stamp
        try:
            directory = await asyncio.to_thread(decode_in_pieces, content, self._known)
        except msgspec.DecodeError as error:
            _log.error("directory_broken", problem=str(error))
            return False
        self._loaded_at = stat.st_mtime
        await self._on_change(directory)
        return True

    @asynccontextmanager
    async def following(self, seconds: float) -> AsyncIterator[None]:
        """Read the file, and look at it again every so often meanwhile."""
        await self._try()
        task = asyncio.create_task(self._keep_fresh(seconds), name="directory file")
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _keep_fresh(self, seconds: float) -> Never:
        while True:
            await asyncio.sleep(seconds)
            await self._try()

    async def _try(self) -> None:
        try:
            await self.refresh()
        except OSError as error:
            _log.error("directory_unreadable", problem=type(error).__name__)
