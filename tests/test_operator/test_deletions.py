"""Many tenants that vanish at once: held until somebody confirms their number."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from comanda_kube.errors import NotFoundError
from comanda_kube.resources import CONFIG_MAPS
from comanda_operator.deletions import CONFIRM_KEY, CONFIRM_NAME, Deletions, is_doubtful
from comanda_operator.reconcile import POOLS, TENANTS
from tests.harness import until
from tests.test_operator.cluster import HOME, ROOT, SOURCE, Cluster, Nodes, cluster
from tests.test_router.directory_cluster import CRDS

MANY = 14
CRD = yaml.safe_load((ROOT / "crds" / "whatsapptenants.yaml").read_text())


@pytest.mark.parametrize(
    ("gone", "known", "doubtful"),
    [
        (1, 1, False),
        (2, 2, False),
        (3, 3, True),
        (10, 10, True),
        (10, 11, False),
        (11, 12, True),
        (500, 10_000, False),
        (501, 10_000, True),
    ],
)
def test_more_than_ten_and_more_than_a_twentieth_are_doubted_and_so_are_all(
    gone: int, known: int, *, doubtful: bool
) -> None:
    assert is_doubtful(gone, known) == doubtful


@given(st.lists(st.sets(st.integers(0, 60).map(str), max_size=30), max_size=8))
def test_what_is_doubted_is_forgotten_only_by_its_number(waves: list[set[str]]) -> None:
    deletions, known, forgotten = Deletions(), 60, set[str]()
    for wave in waves:
        deletions.vanished(wave - forgotten)
        forgotten |= deletions.settle(known)
        assert not deletions.pending
    assert not forgotten & deletions.held
    held = set(deletions.held)
    assert deletions.confirm(len(held) + 1) == set()
    assert deletions.confirm(len(held)) == held
    assert not deletions.held


def test_one_that_comes_back_is_doubted_no_more() -> None:
    deletions = Deletions()
    deletions.vanished(map(str, range(20)))
    assert deletions.settle(20) == set()
    deletions.came_back("3")
    assert len(deletions.held) == 19
    deletions.vanished({"another"})
    assert deletions.settle(20) == set(), "while some are doubted, all are"
    assert len(deletions.held) == 20


async def served(site: Cluster) -> set[str]:
    """Return the tenants that pods are told of."""
    found = [await site.shard("pool-default", number) for number in range(16)]
    return {each["tenant"] for shard in found if shard for each in shard["tenants.json"]["tenants"]}


@pytest.mark.timeout(240)
@pytest.mark.parametrize("while_away", [False, True])
async def test_tenants_that_vanish_together_keep_their_service_until_that_is_confirmed(
    tmp_path: Path, *, while_away: bool
) -> None:
    async with cluster(tmp_path) as site:
        await site.app()
        await site.pool()
        shop = await site.namespace()
        names = [f"t{number}" for number in range(MANY)]
        for name in names:
            await site.tenant(shop, name, deletionPolicy="Delete")
        await site.tenant(shop, "single")
        everybody = {f"{shop}/{name}" for name in (*names, "single")}
        nodes = Nodes(site)
        async with site.operator() as operator, nodes.running():
            for name in names:
                await site.becomes(TENANTS, shop, name, "Acknowledged")
            if while_away:
                await operator.end()
            for name in names:
                await site.admin.delete(TENANTS, shop, name)
            if while_away:
                await operator.again()

            async def is_held() -> bool:
                return bool((await operator.health()).get("deletions_held") == MANY)

            await until(is_held, what="the deletions are doubted")
            await site.tenant(shop, "single", displayName="Another name")
            await until(operator.is_idle)
            assert await served(site) == everybody
            body = {"metadata": {"namespace": HOME, "name": CONFIRM_NAME, "labels": SOURCE}, "data": {CONFIRM_KEY: "3"}}
            await site.admin.apply(CONFIG_MAPS, body)
            await until(operator.is_idle)
            assert await served(site) == everybody, "three are not as many as there are"
            assert await site.erasing() == set()
            nodes.frozen = True
            await site.admin.apply(CONFIG_MAPS, {**body, "data": {CONFIRM_KEY: str(MANY)}})

            async def is_forgotten() -> bool:
                is_served = await served(site) == {f"{shop}/single"}
                return is_served and await site.erasing() == {f"{shop}/{name}" for name in names}

            await until(is_forgotten, what="only the one that is left is served, and the others are erased")


@pytest.mark.timeout(240)
async def test_a_pool_that_vanishes_with_its_tenants_stays_until_that_is_confirmed(tmp_path: Path) -> None:
    async with cluster(tmp_path) as site:
        await site.app()
        await site.pool()
        shop = await site.namespace()
        names = [f"t{number}" for number in range(MANY)]
        for name in names:
            await site.tenant(shop, name, deletionPolicy="Delete")
        nodes = Nodes(site)
        async with site.operator() as operator, nodes.running():
            for name in names:
                await site.becomes(TENANTS, shop, name, "Acknowledged")
            await operator.end()
            before = set(await site.objects_of(f"{HOME}/pool-default"))
            for name in names:
                await site.admin.delete(TENANTS, shop, name)
            await site.admin.delete(POOLS, HOME, "default")
            await operator.again()

            async def is_held() -> bool:
                return bool((await operator.health()).get("deletions_held") == MANY)

            await until(is_held, what="the deletions are doubted")
            await until(operator.is_idle)
            assert set(await site.objects_of(f"{HOME}/pool-default")) == before, "settings, credentials and pods stay"
            nodes.frozen = True
            body = {"metadata": {"namespace": HOME, "name": CONFIRM_NAME, "labels": SOURCE}}
            await site.admin.apply(CONFIG_MAPS, {**body, "data": {CONFIRM_KEY: str(MANY)}})

            async def is_told() -> bool:
                return await site.erasing() == {f"{shop}/{name}" for name in names}

            await until(is_told, what="pods are told to erase them")
            nodes.frozen = False

            async def is_gone() -> bool:
                return await site.objects_of(f"{HOME}/pool-default") == {}

            await until(is_gone, what="the pool is gone")


@pytest.mark.timeout(240)
async def test_a_crd_that_is_deleted_by_mistake_takes_nothing_away_from_few_tenants_either(tmp_path: Path) -> None:
    async with cluster(tmp_path) as site:
        await site.app()
        await site.pool()
        shop = await site.namespace()
        names = ["napoli", "farol", "sur"]
        for name in names:
            await site.tenant(shop, name, deletionPolicy="Delete")
        everybody = {f"{shop}/{name}" for name in names}
        async with site.operator() as operator, Nodes(site).running():
            for name in names:
                await site.becomes(TENANTS, shop, name, "Acknowledged")
            await site.admin.delete(CRDS, "", CRD["metadata"]["name"])

            async def is_held() -> bool:
                return bool((await operator.health()).get("deletions_held") == len(names))

            await until(is_held, what="the deletions are doubted")

            async def is_gone() -> bool:
                return await site.get(CRDS, "", CRD["metadata"]["name"]) == {}

            async def is_served() -> bool:
                with suppress(NotFoundError):
                    return await site.all(TENANTS) == []
                return False

            await until(is_gone)
            await operator.kill()
            await operator.again()
            await site.admin.apply(CRDS, CRD)
            await until(is_served)
            await until(operator.leads)
            await until(operator.is_idle)
            assert await served(site) == everybody
            for name in names:
                await site.tenant(shop, name, deletionPolicy="Delete")
            for name in names:
                await site.becomes(TENANTS, shop, name, "Acknowledged")
            assert (await operator.health())["deletions_held"] == 0
