from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from comanda_contract.resources import CUSTOM_RESOURCES
from comanda_contract.resources.crd import build_crd
from comanda_kube.client import Client
from comanda_kube.kubeconfig import from_kubeconfig
from tests.cluster import ApiServer
from tests.test_contract.crds.support import Judge, installed, judging


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def server(apiserver: ApiServer) -> AsyncIterator[ApiServer]:
    """The API that tests share, with our CRDs."""
    async with installed(apiserver, *map(build_crd, CUSTOM_RESOURCES)):
        yield apiserver


@pytest.fixture
async def judge(server: ApiServer, namespace: str) -> AsyncIterator[Judge]:
    async with judging(server, namespace) as judge:
        yield judge


@pytest.fixture
async def client(server: ApiServer) -> AsyncIterator[Client]:
    async with Client(from_kubeconfig([server.kubeconfig()]), "tests") as client:
        yield client
