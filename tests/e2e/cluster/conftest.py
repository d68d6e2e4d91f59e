"""One cluster and one installation for all tests of this folder."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest
import pytest_asyncio

from comanda_kube.client import Client
from comanda_kube.kubeconfig import from_kubeconfig
from tests.e2e.cluster.town import NODE_PORT, Town
from tests.kind import KindCluster, docker_engine, kind_cluster
from tests.kind.images import comanda_images, postgres_image

collect_ignore_glob = [] if os.environ.get("COMANDA_E2E") else ["test_*.py"]
"""These are for `make e2e`; `make test` takes less than they do."""


@pytest.fixture(scope="session")
def site() -> Iterator[KindCluster]:
    """A cluster whose nodes have this checkout's images; pods may run on both."""
    with docker_engine() as engine:
        images = [*comanda_images(engine).values(), postgres_image(engine)]
        with kind_cluster(engine) as made:
            made.load(*images)
            made.kubectl("taint", "node", made.nodes[0], "node-role.kubernetes.io/control-plane-")
            yield made


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def town(site: KindCluster) -> AsyncIterator[Town]:
    """The installation, with Meta simulated inside and nobody there yet."""
    async with Client(from_kubeconfig([site.kubeconfig]), "tests") as api, aiohttp.ClientSession() as session:
        made = Town(site, api, session, f"http://{site.address(site.nodes[0])}:{NODE_PORT}")
        await made.prepare()
        await made.install()
        yield made
