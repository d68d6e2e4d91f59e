"""Two resources of one name: the older one counts, the other says so, and takes its place when that is free."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from comanda_kube.resources import Resource
from comanda_operator.reconcile import APPS
from tests.test_operator.cluster import HOME, Cluster, Nodes, cluster

pytestmark = [pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    async with cluster(tmp_path_factory.mktemp("cluster")) as made, Nodes(made).running(), made.operator():
        await made.app()
        await made.namespace("other")
        yield made


async def copy(site: Cluster, resource: Resource, name: str) -> None:
    """Make the same in another namespace."""
    found = await site.get(resource, HOME, name)
    await site.admin.apply(resource, {"metadata": {"namespace": "other", "name": name}, "spec": found["spec"]})


async def test_the_younger_of_two_apps_with_one_name_is_answered_for_when_the_older_one_goes(site: Cluster) -> None:
    await site.app("brand")
    await site.becomes(APPS, HOME, "brand", "Answered")
    await site.secret("other", "app-brand", appSecret="x", verifyToken="y")
    await copy(site, APPS, "brand")
    await site.becomes(APPS, "other", "brand", "AppNameConflict", "Accepted")
    await site.admin.delete(APPS, HOME, "brand")
    await site.becomes(APPS, "other", "brand", "Answered")
