from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.postgres import DatabaseUrls, PostgresServer, postgres_server

pytest_plugins = ["tests.cluster.plugin", "tests.workers"]

# How long one example takes says more about the machine than about the code.
settings.register_profile("comanda", deadline=None)
settings.load_profile("comanda")


@pytest.fixture(scope="session")
def running_postgres() -> Iterator[PostgresServer]:
    # Each test has a database of its own, of hundreds of files: every checkpoint would sync all of them.
    with postgres_server("checkpoint_timeout = 1h", "max_wal_size = 16GB") as server:
        yield server


@pytest.fixture
async def postgres(running_postgres: PostgresServer) -> PostgresServer:
    """The one server of this test run, with a migrated database to copy."""
    if not running_postgres.prepared:
        await running_postgres.accepts()
        await running_postgres.prepare()
    return running_postgres


@pytest.fixture
async def database(postgres: PostgresServer) -> DatabaseUrls:
    """A migrated database of this test's own."""
    return await postgres.new_database()
