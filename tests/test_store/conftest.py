from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from comanda_store import Store
from comanda_store.engine import sqlite_url

OpenStore = Callable[..., Awaitable[Store]]


@pytest.fixture
async def open_store(tmp_path: Path) -> AsyncIterator[OpenStore]:
    """Open stores on one database, as pods of one group do; closes those that are still open."""
    async with AsyncExitStack() as stack:

        async def open_(pod: str = "pod-0", incarnation: str = "") -> Store:
            store = await Store.open(
                sqlite_url(tmp_path / "comanda.db"), pod=pod, incarnation=incarnation or f"{pod}:1"
            )
            stack.push_async_callback(store.close)
            return store

        yield open_


@pytest.fixture
async def store(open_store: OpenStore) -> Store:
    return await open_store()
