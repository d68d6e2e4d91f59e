"""The operator while its API is away, silent, cut off, forgetful or dead: afterwards everything is as it should be."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from comanda_kube.informer import Pace
from comanda_kube.kubeconfig import from_kubeconfig
from comanda_kube.resources import SERVICES, STATEFUL_SETS
from comanda_operator.app import Operator, operator
from comanda_operator.reconcile import TENANTS
from comanda_operator.settings import OperatorSettings
from comanda_operator.watch import Watches
from tests.cluster import FaultProxy
from tests.harness import until
from tests.test_operator.cluster import HOME, MASTER_KEY, Cluster, Nodes, OperatorProcess, cluster
from tests.test_operator.counting_proxy import CountingProxy
from tests.test_operator.fake_clock import FakeClock

pytestmark = [pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="module")]

OUTLASTING = "110"
"""Seconds of a Lease that outlasts the fault: what is tested is not who leads."""
QUICK = Pace(shortest_watch=1, longest_watch=2, grace=0.5, first_delay=0.02, longest_delay=0.5)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    """A cluster that keeps no history but etcd's, which can be compacted."""
    async with cluster(tmp_path_factory.mktemp("cluster"), "--watch-cache=false") as made, Nodes(made).running():
        await made.app()
        await made.pool()
        yield made


@asynccontextmanager
async def distant(site: Cluster) -> AsyncIterator[tuple[OperatorProcess, FaultProxy]]:
    """Run an operator that has nothing left to do, behind a proxy."""
    async with (
        FaultProxy(site.server.port) as proxy,
        site.operator(port=proxy.port, LEASE_SECONDS=OUTLASTING) as process,
    ):
        await until(process.is_settled, what="it leads and has nothing to do")
        yield process, proxy
        await proxy.accept()


async def test_what_came_while_the_api_was_away_is_done_when_it_is_back(site: Cluster) -> None:
    shop = await site.namespace()
    names = [f"t{number}" for number in range(100)]
    await site.tenant(shop, "gone")
    async with distant(site) as (process, proxy):
        await proxy.refuse()
        for name in names:
            await site.tenant(shop, name)
        await site.admin.delete(TENANTS, shop, "gone")

        async def is_failing() -> bool:
            return len((await process.health())["failing"]) >= 5

        await until(is_failing, what="it misses its API")
        assert (await process.health())["healthy"], "a restart would not bring the API back"
        await proxy.accept()
        for name in names:
            await site.becomes(TENANTS, shop, name, "Acknowledged", seconds=60)
        assert f"{shop}/gone" not in await tenants_told(site)


async def tenants_told(site: Cluster) -> dict[str, Any]:
    """Return what the pool's pods are told of each tenant."""
    found = [await site.shard("pool-default", number) for number in range(16)]
    return {each["tenant"]: each for shard in found if shard for each in shard["tenants.json"]["tenants"]}


async def test_an_operator_without_api_for_longer_than_its_lease_ends_and_the_next_one_goes_on(site: Cluster) -> None:
    shop = await site.namespace()
    async with (
        FaultProxy(site.server.port) as proxy,
        site.operator(port=proxy.port, LEASE_SECONDS="3") as process,
    ):
        await until(process.is_settled)
        await proxy.refuse()
        assert await process.wait() == 1
        await site.tenant(shop, "napoli")
        await process.again()
        await proxy.accept()
        await site.becomes(TENANTS, shop, "napoli", "Acknowledged")


async def test_watches_that_are_cut_miss_nothing(site: Cluster) -> None:
    shop = await site.namespace()
    await site.tenant(shop, "gone", plan="enterprise", enterprise={})
    async with distant(site) as (_, proxy):
        await site.becomes(TENANTS, shop, "gone", "Acknowledged")
        proxy.cut()
        await site.tenant(shop, "napoli")
        await site.admin.delete(TENANTS, shop, "gone")
        proxy.cut()
        await site.becomes(TENANTS, shop, "napoli", "Acknowledged")
        await until(lambda: nothing_of(site, shop), what="what was made for the other is gone")


async def nothing_of(site: Cluster, namespace: str) -> bool:
    return not [each for kind in (STATEFUL_SETS, SERVICES) for each in await site.all(kind, namespace)]


async def test_deletes_in_a_gap_that_was_compacted_are_noticed(site: Cluster) -> None:
    shop = await site.namespace()
    await site.tenant(shop, "gone")
    await site.tenant(shop, "own", plan="enterprise", enterprise={})
    await site.tenant(shop, "kept")
    async with distant(site) as (process, proxy):
        for name in ("gone", "own", "kept"):
            await site.becomes(TENANTS, shop, name, "Acknowledged")
        await until(process.is_settled)
        await proxy.refuse()
        await site.admin.delete(TENANTS, shop, "gone")
        await site.admin.delete(TENANTS, shop, "own")
        await site.admin.delete(STATEFUL_SETS, HOME, "pool-default")
        await site.tenant(shop, "new")
        await site.server.compact()
        await proxy.accept()
        await site.becomes(TENANTS, shop, "new", "Acknowledged")
        await until(lambda: nothing_of(site, shop), what="the pods of the tenant that is gone are gone")

        async def is_forgotten() -> bool:
            found = set(await tenants_told(site))
            return f"{shop}/gone" not in found and {f"{shop}/kept", f"{shop}/new"} <= found

        await until(is_forgotten, what="pods are told of those alone that are there")
        assert await site.get(STATEFUL_SETS, HOME, "pool-default"), "what was deleted in the gap is made anew"


async def test_etcd_may_be_killed_and_started_again(site: Cluster) -> None:
    shop = await site.namespace()
    async with distant(site) as (process, _):
        site.server.etcd.kill()
        await site.server.start()
        await site.tenant(shop, "napoli")
        await site.becomes(TENANTS, shop, "napoli", "Acknowledged", seconds=60)
        await until(process.is_settled)


async def test_the_api_may_be_killed_and_started_again(site: Cluster) -> None:
    shop = await site.namespace()
    async with distant(site) as (process, _):
        site.server.api.kill()
        await site.server.start()
        await site.tenant(shop, "napoli")
        await site.becomes(TENANTS, shop, "napoli", "Acknowledged", seconds=60)
        await until(process.is_settled)


async def test_an_api_that_answers_a_third_of_all_calls_with_errors_loses_nothing_and_is_not_stormed(
    site: Cluster,
) -> None:
    shop = await site.namespace()

    async def onboard(prefix: str) -> int:
        """Onboard thirty tenants, edit and delete one; returns the calls that it took."""
        before, names = proxy.calls, [f"{prefix}{number}" for number in range(30)]
        for name in names:
            await site.tenant(shop, name)
        for name in names:
            await site.becomes(TENANTS, shop, name, "Acknowledged", seconds=120)
        await site.tenant(shop, names[0], displayName="Another name")
        await site.admin.delete(TENANTS, shop, names[1])

        async def is_told() -> bool:
            said = await tenants_told(site)
            is_edited = said.get(f"{shop}/{names[0]}", {}).get("display_name") == "Another name"
            return is_edited and f"{shop}/{names[1]}" not in said

        await until(is_told, 60, "pods are told of the edit and of the deletion")
        await until(process.is_settled, 120, "nothing is left to do")
        return proxy.calls - before

    async with (
        CountingProxy(site.server) as proxy,
        site.operator(port=proxy.port, LEASE_SECONDS=OUTLASTING) as process,
    ):
        await until(process.is_settled, what="it leads and has nothing to do")
        in_peace = await onboard("peace")
        proxy.fail(0.3)
        with_errors = await onboard("storm")
        assert len(proxy.failed) == 4, "errors of each kind"
        assert with_errors < 4 * in_peace, "what fails is tried again, and not in a hot loop"
        assert process.process.returncode is None


async def test_a_clock_that_jumps_changes_nothing(site: Cluster, tmp_path: Path) -> None:
    shop = await site.namespace()
    clock = FakeClock(tmp_path)
    async with site.operator(environment=clock.environment) as process:
        await until(process.is_settled)
        for number, hours in enumerate((12, 0)):
            clock.jump(hours)
            await site.tenant(shop, f"t{number}")
            found = await site.becomes(TENANTS, shop, f"t{number}", "Acknowledged")
            times = [each["lastTransitionTime"] for each in found["status"]["conditions"]]
            moved = datetime.fromisoformat(max(times)) - datetime.now(UTC)
            assert abs(moved - timedelta(hours=hours)) < timedelta(hours=1), "its clock did jump"
            assert await process.leads()
        assert process.process.returncode is None, "by its own clock its Lease ended twice"


@asynccontextmanager
async def inside(site: Cluster, port: int) -> AsyncIterator[Operator]:
    """Run an operator in this process, with watches that soon notice that they are dead."""
    key = site.folder / "master.key"
    key.write_text(MASTER_KEY.hex())
    settings = OperatorSettings(
        namespace=HOME,
        identity="inside",
        master_key_file=key,
        health_port=0,
        pod_port=Nodes.port,
        lease_seconds=60,
        meta_check_hours=0,
    )
    config = from_kubeconfig([site.server.kubeconfig(port, token=site.token)])
    async with AsyncExitStack() as stack:
        made = await stack.enter_async_context(operator(settings, config))
        made.watches = Watches(made.watches._client, made.state, made.reconciler, QUICK)
        supervisor = await stack.enter_async_context(made.running())
        yield made
        assert not supervisor.done()


async def test_watches_that_fell_silent_are_noticed_and_left(site: Cluster) -> None:
    shop = await site.namespace()
    await site.tenant(shop, "gone", plan="enterprise", enterprise={})
    async with FaultProxy(site.server.port) as proxy, inside(site, proxy.port) as made:
        await site.becomes(TENANTS, shop, "gone", "Acknowledged")
        before = {name: informer.failures for name, informer in made.watches.informers.items()}
        proxy.strand()
        await site.admin.delete(TENANTS, shop, "gone")
        await site.tenant(shop, "napoli")
        await site.becomes(TENANTS, shop, "napoli", "Acknowledged")
        await until(lambda: nothing_of(site, shop), what="what was made for the other is gone")
        assert made.watches.informers["tenants"].failures > before["tenants"]
