from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.postgres import DatabaseUrls, PostgresServer, postgres_server

pytest_plugins = ["tests.cluster.plugin"]

HERE = Path(__file__).parent
ONE_ENGINE = (HERE / "e2e/cluster", HERE / "e2e/compose")
"""What needs the one Docker Engine of the run. It lasts longest by far."""

# How long one example takes says more about the machine than about the code.
settings.register_profile("comanda", deadline=None)
settings.load_profile("comanda")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let workers share the tests file by file; what shares an engine is one worker's, and begins first."""
    needs_engine = {item: any(item.path.is_relative_to(folder) for folder in ONE_ENGINE) for item in items}
    items.sort(key=lambda item: not needs_engine[item])
    for item in items:
        together = "engine" if needs_engine[item] else str(item.path.relative_to(HERE))
        item.add_marker(pytest.mark.xdist_group(together))


@pytest.fixture(scope="session")
def running_postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
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
