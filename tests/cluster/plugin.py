"""pytest fixtures of the test API, for every room: the top conftest names this module as a plugin."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.cluster.binaries import API
from tests.cluster.proxy import FaultProxy
from tests.cluster.server import ApiServer, api_server
from tests.cluster.spare import end_spares


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build the programs before the first test that needs them: a build takes longer than a test may."""
    needed = any("apiserver" in getattr(item, "fixturenames", ()) for item in session.items)
    capture = session.config.pluginmanager.getplugin("capturemanager")
    if needed and not session.config.option.collectonly:
        with capture.global_and_fixture_disabled():
            API.build()


def pytest_sessionfinish() -> None:
    """End what no test uses any more."""
    end_spares()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def apiserver() -> AsyncIterator[ApiServer]:
    """The API that tests share; a test that kills or compacts starts its own with `api_server()`."""
    async with api_server() as server:
        yield server


@pytest.fixture
async def namespace(apiserver: ApiServer) -> AsyncIterator[str]:
    """A namespace of this test's own; everything in it is gone afterwards."""
    name = await apiserver.create_namespace()
    yield name
    await apiserver.erase(name)


@pytest.fixture
async def apiserver_proxy(apiserver: ApiServer) -> AsyncIterator[FaultProxy]:
    """A proxy in front of the API."""
    async with FaultProxy(apiserver.port) as proxy:
        yield proxy
