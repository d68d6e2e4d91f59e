"""APIs that are used again: one that a test left as it was, its own objects aside, serves the next test."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from tests.cluster.server import ApiServer

Prepare = Callable[[ApiServer], Awaitable[object]]
_Kind = tuple[Prepare, tuple[str, ...]]
_PATIENCE_SECONDS = 10.0


@dataclass
class _Spare:
    server: ApiServer
    folder: tempfile.TemporaryDirectory[str]
    pids: tuple[int | None, ...]
    state: dict[str, str]
    """What `prepare` left in etcd: keys with the revision of their last change."""

    async def clear(self) -> bool:
        """Remove what came since it was prepared; tells whether all else is as it was, the processes too."""
        if self.pids != self.server.pids:
            return False
        self.server.thaw()
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await self.server.remove_but(self.state.keys())
                if await self.server.state() != self.state:
                    return False
                await self.server.ready()
        except (aiohttp.ClientError, TimeoutError, AssertionError):
            return False
        return True

    def end(self) -> None:
        """End the processes, and take away what they wrote."""
        self.server.stop()
        self.folder.cleanup()


_spares: dict[_Kind, _Spare] = {}


@asynccontextmanager
async def reused_api_server(prepare: Prepare, *arguments: str) -> AsyncIterator[ApiServer]:
    """Give an API that runs and in which `prepare` made what it makes, and nothing else is.

    Starting one takes seconds of both cores. Whoever kills it or changes what `prepare` made gets what it needs, and
    the next one a new one.
    """
    kind = (prepare, arguments)
    used = _spares.pop(kind, None) or await _started(prepare, arguments)
    used.server.forget_audit()
    is_clean = False
    try:
        yield used.server
        is_clean = kind not in _spares and await used.clear()
    finally:
        if is_clean:
            _spares[kind] = used
        else:
            used.end()


def end_spares() -> None:
    """End those that nobody uses; due at the end of a run."""
    while _spares:
        _spares.popitem()[1].end()


async def _started(prepare: Prepare, arguments: tuple[str, ...]) -> _Spare:
    folder = tempfile.TemporaryDirectory(prefix="comanda-api-")
    server = ApiServer(Path(folder.name), arguments)
    try:
        await server.start()
        await prepare(server)
        return _Spare(server, folder, server.pids, await server.state())
    except BaseException:
        server.stop()
        folder.cleanup()
        raise
