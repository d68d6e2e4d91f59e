"""One cluster and one installation for all tests of this folder."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.e2e.cluster.existing import ExistingCluster, existing_cluster
from tests.e2e.cluster.town import Town, built_site, town_on
from tests.e2e.where import CLUSTER
from tests.kind import KindCluster

collect_ignore_glob = [] if CLUSTER else ["test_*.py"]


@pytest.fixture(scope="package")
def site(request: pytest.FixtureRequest) -> Iterator[KindCluster | ExistingCluster]:
    """A cluster that can run this checkout's images: one of our own, or the one that the environment names."""
    if CLUSTER == "existing":
        yield existing_cluster()
        return
    with built_site(request.getfixturevalue("engine")) as made:
        yield made


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def town(site: KindCluster | ExistingCluster) -> AsyncIterator[Town]:
    """The installation, with Meta simulated inside and nobody there yet."""
    async with town_on(site) as made:
        await made.install()
        yield made
