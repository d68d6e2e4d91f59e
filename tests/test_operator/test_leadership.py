"""Two operators at once: one writes, the other takes over, and no write of the one comes after a write of the other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from itertools import groupby

import pytest
import pytest_asyncio

from comanda_kube.resources import LEASES
from comanda_operator.reconcile import TENANTS
from tests.harness import until
from tests.test_operator.cluster import HOME, Cluster, Nodes, OperatorProcess, cluster, credential_of, new_token

pytestmark = [pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="module")]

OUTLASTING = "40"
"""Seconds of a Lease that outlasts the test: who takes over was let, and did not wait."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    async with cluster(tmp_path_factory.mktemp("cluster")) as made, Nodes(made).running():
        await made.app()
        await made.pool()
        yield made


class Pair:
    """Two replicas, told apart by their tokens."""

    def __init__(self, site: Cluster, begun: int, tokens: dict[str, str]) -> None:
        self.site = site
        self.begun = begun
        self.tokens = tokens
        self.replicas: dict[str, OperatorProcess] = {}

    @property
    def leader(self) -> OperatorProcess:
        return self.replicas["first"]

    @property
    def follower(self) -> OperatorProcess:
        return self.replicas["second"]

    def writers(self, since: int = 0) -> list[str]:
        """Return who wrote, in the order in which the API was asked, each once in a row."""
        names = {credential_of(token): name for name, token in self.tokens.items()}
        entries = sorted(self.site.writes(since or self.begun), key=lambda entry: entry["requestReceivedTimestamp"])
        found = [names[entry["user"]["extra"]["authentication.kubernetes.io/credential-id"][0]] for entry in entries]
        return [name for name, _ in groupby(found)]


@pytest_asyncio.fixture(loop_scope="module")
async def pair(site: Cluster, request: pytest.FixtureRequest) -> AsyncIterator[Pair]:
    tokens = {name: await new_token(site.admin) for name in ("first", "second")}
    made = Pair(site, len(site.server.audit()), tokens)
    async with AsyncExitStack() as stack:
        for name, token in tokens.items():
            replica = site.operator(name, token=token, LEASE_SECONDS=request.param)
            made.replicas[name] = await stack.enter_async_context(replica)
            if name == "first":
                await until(made.leader.leads, what="the first one leads")
        await until(made.follower.is_idle, what="the second one knows everything")
        yield made
    await site.admin.delete(LEASES, HOME, "comanda-operator")


@pytest.mark.parametrize("pair", ["3"], indirect=True)
async def test_when_the_leader_is_killed_the_other_takes_over_and_serves_what_came_meanwhile(
    site: Cluster, pair: Pair
) -> None:
    shop = await site.namespace()
    await site.tenant(shop, "before")
    await site.becomes(TENANTS, shop, "before", "Acknowledged")
    assert not await pair.follower.leads()
    assert pair.writers() == ["first"]
    await pair.leader.kill()
    await site.tenant(shop, "meanwhile")
    await site.becomes(TENANTS, shop, "meanwhile", "Acknowledged")
    assert await pair.follower.leads()
    assert pair.writers() == ["first", "second"]
    lease = await site.get(LEASES, HOME, "comanda-operator")
    assert lease["spec"]["holderIdentity"] == "second"


@pytest.mark.parametrize("pair", [OUTLASTING], indirect=True)
async def test_a_leader_that_ends_hands_over_at_once(site: Cluster, pair: Pair) -> None:
    shop = await site.namespace()
    assert await pair.leader.end() == 0
    await site.tenant(shop, "after")
    await site.becomes(TENANTS, shop, "after", "Acknowledged")
    assert pair.writers() in (["first", "second"], ["second"])


@pytest.mark.parametrize("pair", [OUTLASTING], indirect=True)
async def test_a_follower_that_ends_takes_nothing_from_the_leader(site: Cluster, pair: Pair) -> None:
    shop = await site.namespace()
    assert await pair.follower.end() == 0
    await site.tenant(shop, "after")
    await site.becomes(TENANTS, shop, "after", "Acknowledged")
    assert pair.writers() == ["first"]


@pytest.mark.parametrize("pair", ["3"], indirect=True)
async def test_a_leader_that_stood_still_for_longer_than_its_lease_writes_no_more_and_ends(
    site: Cluster,
    pair: Pair,
) -> None:
    shop = await site.namespace()
    for number in range(20):
        await site.tenant(shop, f"t{number}")
    pair.leader.freeze()
    await until(pair.follower.leads, what="the other one leads")
    await site.tenant(shop, "meanwhile")
    await site.becomes(TENANTS, shop, "meanwhile", "Acknowledged")
    thawed = len(site.server.audit())
    pair.leader.thaw()
    assert await pair.leader.wait() != 0
    for number in range(20):
        await site.becomes(TENANTS, shop, f"t{number}", "Acknowledged")
    assert site.writes(thawed, pair.tokens["first"]) == []
    assert pair.writers() in (["first", "second"], ["second"])
