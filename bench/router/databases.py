"""Fresh databases of both kinds for two pods, and a way to look into them beside the pods."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from bench.common.postgres import fresh_database, running_postgres
from tests.postgres import DatabaseUrls, PostgresServer

KINDS = ("SQLite", "PostgreSQL")
CONNECTIONS = "max_connections = 200"
"""The peer that inserts a row a request keeps up to 30 connections a process."""


@dataclass(frozen=True)
class Database:
    """One empty database, and a folder for what runs on it."""

    kind: str
    folder: Path
    urls: DatabaseUrls | None

    @property
    def url(self) -> str:
        """The address for bot pods."""
        return f"sqlite+pysqlite:///{self._file}" if self.urls is None else self.urls.service

    @property
    def owner_url(self) -> str:
        """The address for who makes tables of their own."""
        return self.url if self.urls is None else self.urls.owner

    async def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query; on PostgreSQL of all tenants."""
        if self.urls is not None:
            return await self.urls.sql(statement)
        with closing(sqlite3.connect(self._file, timeout=30)) as connection:
            return connection.execute(statement).fetchall()

    @property
    def _file(self) -> Path:
        return self.folder / "comanda.db"


class Databases:
    """Makes fresh databases, each with a folder of its own."""

    def __init__(self, folder: Path, server: PostgresServer) -> None:
        self._folder = folder
        self._server = server
        self._numbers = count(1)

    async def fresh(self, kind: str) -> Database:
        """Make an empty database of a kind."""
        folder = self._folder / f"{kind}-{next(self._numbers)}"
        folder.mkdir()
        return Database(kind, folder, await fresh_database(self._server) if kind == "PostgreSQL" else None)


@asynccontextmanager
async def running_databases(folder: Path) -> AsyncIterator[Databases]:
    """Start a PostgreSQL server and give what makes databases."""
    folder.mkdir()
    for each in (folder, folder.parent):
        each.chmod(0o755)  # PostgreSQL runs as another user and keeps its data below
    async with running_postgres(folder, CONNECTIONS) as server:
        yield Databases(folder, server)
