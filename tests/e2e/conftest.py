from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.e2e.world import World, world_in
from tests.kind import Engine, docker_engine


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with world_in(tmp_path) as made:
        yield made


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """A Docker Engine, one for the whole run: a second one would wait for the end of the first."""
    with docker_engine() as made:
        yield made
