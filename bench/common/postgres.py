"""A PostgreSQL server for a benchmark: the tests' own, with what a production server would be given."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.postgres import DatabaseUrls, PostgresServer, postgres_server

LOG_MIB = 1024
"""More of the write-ahead log than one stretch writes."""
SETTINGS = (
    "shared_buffers = 256MB",
    "max_wal_size = 4GB",
    f"min_wal_size = {LOG_MIB}MB",
    "checkpoint_timeout = 15min",
    "wal_compression = on",
)


@asynccontextmanager
async def running_postgres(folder: Path, *settings: str) -> AsyncIterator[PostgresServer]:
    """Give a started server with a migrated database to copy, and the log of one that has run for a while.

    A new server makes each file of its log when it is needed, 16 MB, filled and synced while commits wait; later on
    it writes old ones over. What is written here to get there is in no table.
    """
    with postgres_server(*SETTINGS, *settings, folder=folder) as server:
        await server.accepts()
        await server.prepare()
        urls = await server.new_database()
        a_mebibyte = "pg_logical_emit_message(false, '', repeat(' ', 1024 * 1024))"
        await urls.sql(f"select count({a_mebibyte}) from generate_series(1, {LOG_MIB})")
        yield server


async def fresh_database(server: PostgresServer) -> DatabaseUrls:
    """Make a migrated database, after a checkpoint: none comes meanwhile, and the whole log may be written over."""
    urls = await server.new_database()
    await urls.sql("checkpoint")
    return urls
