from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any, Protocol

import pytest

from comanda_store import Store, Timing
from comanda_store.sqlite.engine import sqlite_url
from tests.postgres import DatabaseUrls

OpenStore = Callable[..., Awaitable[Store]]


class Database(Protocol):
    """The database of a test, looked at from beside the store."""

    @property
    def url(self) -> str: ...

    async def sql(self, statement: str) -> list[tuple[Any, ...]]: ...


class SqliteFile:
    def __init__(self, path: Path) -> None:
        self._path = path
        self.url = sqlite_url(path)

    async def sql(self, statement: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self._path, timeout=10)) as connection, connection:
            return connection.execute(statement).fetchall()


class PostgresDatabase:
    def __init__(self, urls: DatabaseUrls) -> None:
        self._urls = urls
        self.url = urls.service

    async def sql(self, statement: str) -> list[tuple[Any, ...]]:
        return await self._urls.sql(statement)


@pytest.fixture(params=["sqlite", "postgresql"])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    """The database of a test that every store must pass."""
    if request.param == "sqlite":
        return SqliteFile(tmp_path / "comanda.db")
    return PostgresDatabase(request.getfixturevalue("database"))


@pytest.fixture
async def open_store(db: Database) -> AsyncIterator[OpenStore]:
    """Open stores on one database, as pods of one group do; closes those that are still open."""
    async with AsyncExitStack() as stack:

        async def open_(pod: str = "pod-0", incarnation: str = "", timing: Timing | None = None) -> Store:
            store = await Store.open(db.url, pod=pod, incarnation=incarnation or f"{pod}:1", timing=timing)
            stack.push_async_callback(store.close)
            return store

        yield open_


@pytest.fixture
async def store(open_store: OpenStore) -> Store:
    return await open_store()
