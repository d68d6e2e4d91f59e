from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from comanda_kube.client import Client
from comanda_kube.kubeconfig import from_kubeconfig
from tests.cluster import ApiServer, FaultProxy


@pytest.fixture
async def client(apiserver: ApiServer) -> AsyncIterator[Client]:
    """The administrator, straight at the API."""
    async with Client(from_kubeconfig([apiserver.kubeconfig()]), "tests") as client:
        yield client


@pytest.fixture
async def distant(apiserver: ApiServer, apiserver_proxy: FaultProxy) -> AsyncIterator[Client]:
    """The administrator behind the proxy, with little patience."""
    config = from_kubeconfig([apiserver.kubeconfig(apiserver_proxy.port)])
    async with Client(config, "tests", timeout_seconds=3) as client:
        yield client
