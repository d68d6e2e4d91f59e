"""A PostgreSQL server for a benchmark: the tests' own, with what a production server would be given."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.postgres import PostgresServer, postgres_server

SETTINGS = ("shared_buffers = 256MB", "max_wal_size = 4GB", "checkpoint_timeout = 15min", "wal_compression = on")


@asynccontextmanager
async def running_postgres(folder: Path) -> AsyncIterator[PostgresServer]:
    """Give a started server with a migrated database to copy."""
    with postgres_server(*SETTINGS, folder=folder) as server:
        await server.accepts()
        await server.prepare()
        yield server
