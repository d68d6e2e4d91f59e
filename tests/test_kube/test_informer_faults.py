from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from comanda_kube.client import Client
from comanda_kube.config import ClusterConfig, TokenFile
from comanda_kube.errors import ApiUnavailableError
from comanda_kube.informer import Informer, Pace
from comanda_kube.kubeconfig import from_kubeconfig
from comanda_kube.resources import CONFIG_MAPS, Resource, Selection
from comanda_kube.store import Change
from tests.cluster import ApiServer, FaultProxy, api_server
from tests.harness import until
from tests.test_kube.support import (
    QUICK,
    Diary,
    config_map,
    create_many,
    informing,
    running,
    service_account,
    throttled,
    value_of,
)

LONG = Pace(shortest_watch=60, longest_watch=60, first_delay=0.02, longest_delay=0.5)
"""Watches that outlast the test: what ends them is the fault."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def forgetful() -> AsyncIterator[ApiServer]:
    """An API of this module's own that keeps no history but etcd's, to be compacted, killed and started again."""
    async with api_server("--watch-cache=false") as server:
        yield server


@pytest.fixture
async def at_forgetful(forgetful: ApiServer) -> AsyncIterator[Client]:
    async with Client(from_kubeconfig([forgetful.kubeconfig()]), "tests") as client:
        yield client


async def test_a_watch_that_was_cut_goes_on_where_it_was(
    client: Client, distant: Client, apiserver_proxy: FaultProxy, namespace: str
) -> None:
    await client.create(CONFIG_MAPS, config_map(namespace, "a", "1"))
    async with informing(distant, namespace, pace=LONG) as (informer, diary):
        await until(lambda: informer.watches == 1)
        apiserver_proxy.cut()
        await client.create(CONFIG_MAPS, config_map(namespace, "b", "1"))
        await client.delete(CONFIG_MAPS, namespace, "a")
        await until(lambda: diary.mirror == {f"{namespace}/b": "1"})
        assert informer.lists == 1
        assert informer.failures >= 1
        assert informer.failing_with == ""


async def test_a_watch_cut_in_the_middle_of_a_line_tells_the_object_whole(
    client: Client, distant: Client, apiserver_proxy: FaultProxy, namespace: str
) -> None:
    async with informing(distant, namespace, pace=LONG) as (informer, diary):
        await until(lambda: informer.watches == 1)
        apiserver_proxy.freeze(after_bytes=100_000)
        await client.create(CONFIG_MAPS, config_map(namespace, "large", "x" * 500_000))
        await until(lambda: apiserver_proxy.held_bytes > 0)
        apiserver_proxy.cut()
        apiserver_proxy.thaw()
        await until(lambda: len(diary.mirror) == 1)
        assert diary.mirror[f"{namespace}/large"] == "x" * 500_000
        assert informer.lists == 1


async def test_a_stream_that_fell_silent_is_noticed_and_left(
    client: Client, distant: Client, apiserver_proxy: FaultProxy, namespace: str
) -> None:
    async with informing(distant, namespace) as (informer, diary):
        await until(lambda: informer.watches >= 1)
        before = informer.failures
        apiserver_proxy.strand()
        await client.create(CONFIG_MAPS, config_map(namespace, "a", "1"))
        await until(lambda: diary.mirror == {f"{namespace}/a": "1"})
        assert informer.failures == before + 1
        assert informer.lists == 1


async def test_while_everything_is_silent_an_informer_says_so(
    distant: Client, apiserver_proxy: FaultProxy, namespace: str
) -> None:
    async with informing(distant, namespace) as (informer, _):
        apiserver_proxy.freeze()
        await until(lambda: informer.failing_with == ApiUnavailableError.code)
        age = informer.age_seconds
        await until(lambda: informer.age_seconds > age)
        apiserver_proxy.thaw()
        await until(lambda: informer.failing_with == "")
        assert informer.age_seconds < age


async def test_an_api_that_was_away_is_found_again_with_all_that_happened(
    client: Client, distant: Client, apiserver_proxy: FaultProxy, namespace: str
) -> None:
    await create_many(client, namespace, ["kept", "gone"])
    async with informing(distant, namespace, pace=LONG) as (informer, diary):
        began = time.monotonic()
        await apiserver_proxy.refuse()
        await until(lambda: informer.failures >= 8)
        assert time.monotonic() - began >= 0.8  # half of each delay at least: nothing spins
        await client.delete(CONFIG_MAPS, namespace, "gone")
        await create_many(client, namespace, [f"new-{number}" for number in range(50)])
        await apiserver_proxy.accept()
        await until(lambda: len(diary.mirror) == 51)
        assert f"{namespace}/gone" not in diary.mirror
        assert informer.lists == 1  # the version was still good: nothing had to be listed anew


async def test_an_informer_may_start_before_its_api(
    client: Client, distant: Client, apiserver_proxy: FaultProxy, namespace: str
) -> None:
    await client.create(CONFIG_MAPS, config_map(namespace, "a", "1"))
    await apiserver_proxy.refuse()
    diary = Diary()
    informer = Informer(distant, Selection(CONFIG_MAPS, namespace), value_of, diary, QUICK)
    async with running(informer):
        await until(lambda: informer.failures >= 1)
        assert not informer.synced.is_set()
        await apiserver_proxy.accept()
        await until(informer.synced.is_set)
        assert diary.mirror == {f"{namespace}/a": "1"}


async def test_deletes_in_a_gap_that_was_compacted_are_told(forgetful: ApiServer, at_forgetful: Client) -> None:
    namespace = await forgetful.create_namespace()
    await create_many(at_forgetful, namespace, ["kept", "gone", "changed", "again"])
    async with (
        FaultProxy(forgetful.port) as proxy,
        Client(from_kubeconfig([forgetful.kubeconfig(proxy.port)]), "tests", timeout_seconds=2) as distant,
        informing(distant, namespace, pace=LONG) as (informer, diary),
    ):
        before = len(diary.changes)
        await proxy.refuse()
        await at_forgetful.delete(CONFIG_MAPS, namespace, "gone")
        await at_forgetful.apply(CONFIG_MAPS, config_map(namespace, "changed", "anew"))
        await at_forgetful.delete(CONFIG_MAPS, namespace, "again")
        await at_forgetful.create(CONFIG_MAPS, config_map(namespace, "again", "again"))
        await at_forgetful.create(CONFIG_MAPS, config_map(namespace, "new", "new"))
        await forgetful.compact()
        await proxy.accept()
        await until(lambda: informer.lists == 2)
        assert informer.gone == 1
        assert sorted(diary.told[before:]) == [
            ("added", "again", "again"),
            ("added", "new", "new"),
            ("changed", "changed", "anew"),
            ("removed", "again", "again"),
            ("removed", "gone", "gone"),
        ]
        await at_forgetful.create(CONFIG_MAPS, config_map(namespace, "after", "after"))
        await until(lambda: f"{namespace}/after" in diary.mirror)


async def test_a_list_that_outlived_the_history_begins_again(forgetful: ApiServer, at_forgetful: Client) -> None:
    namespace = await forgetful.create_namespace()
    names = [f"c-{number:03}" for number in range(600)]
    await create_many(at_forgetful, namespace, names)
    async with (
        FaultProxy(forgetful.port) as proxy,
        Client(from_kubeconfig([forgetful.kubeconfig(proxy.port)]), "tests") as distant,
    ):
        diary = Diary()

        def hold_the_second_page(change: Change[str]) -> None:
            diary(change)
            if len(diary.changes) == 1:
                proxy.freeze()

        informer = Informer(distant, Selection(CONFIG_MAPS, namespace), value_of, hold_the_second_page, QUICK)
        async with running(informer):
            await until(lambda: proxy.held_bytes > 0)
            await at_forgetful.delete(CONFIG_MAPS, namespace, names[0])
            await at_forgetful.create(CONFIG_MAPS, config_map(namespace, "new", "new"))
            await forgetful.compact()
            proxy.thaw()
            await until(informer.synced.is_set)
    assert informer.gone == 1
    assert set(diary.mirror) == {f"{namespace}/{name}" for name in [*names[1:], "new"]}


async def test_an_api_that_was_killed_and_started_again_is_followed(forgetful: ApiServer, at_forgetful: Client) -> None:
    namespace = await forgetful.create_namespace()
    await create_many(at_forgetful, namespace, ["a", "b"])
    async with informing(at_forgetful, namespace, pace=LONG) as (informer, diary):
        forgetful.api.kill()
        await until(lambda: informer.failures >= 1)
        await forgetful.start()
        await at_forgetful.delete(CONFIG_MAPS, namespace, "a")
        await at_forgetful.create(CONFIG_MAPS, config_map(namespace, "c", "c"))
        await until(lambda: set(diary.mirror) == {f"{namespace}/b", f"{namespace}/c"})


async def test_etcd_killed_and_started_again_is_followed(forgetful: ApiServer, at_forgetful: Client) -> None:
    namespace = await forgetful.create_namespace()
    async with informing(at_forgetful, namespace) as (_, diary):
        forgetful.etcd.kill()
        await forgetful.start()
        await at_forgetful.apply(CONFIG_MAPS, config_map(namespace, "a", "1"))
        await until(lambda: diary.mirror == {f"{namespace}/a": "1"})


async def test_an_api_that_forgot_its_history_at_a_restart_is_listed_anew(namespace: str, apiserver: ApiServer) -> None:
    """With its watch cache, the API answers 410 to whoever watches from before its start."""
    async with (
        api_server() as server,
        FaultProxy(server.port) as proxy,
        Client(from_kubeconfig([server.kubeconfig()]), "tests") as near,
        Client(from_kubeconfig([server.kubeconfig(proxy.port)]), "tests") as distant,
    ):
        home = await server.create_namespace()
        await create_many(near, home, ["kept", "gone"])
        async with informing(distant, home, pace=LONG) as (informer, diary):
            await proxy.refuse()
            await near.delete(CONFIG_MAPS, home, "gone")
            server.api.kill()
            await server.start()
            await proxy.accept()
            await until(lambda: set(diary.mirror) == {f"{home}/kept"})
            assert informer.gone >= 1


async def test_a_rotated_token_is_taken_up_when_the_old_one_is_refused(tmp_path: Path, forgetful: ApiServer) -> None:
    namespace = await forgetful.create_namespace()
    path = tmp_path / "token"
    path.write_text(forgetful.add_user("rotating", "system:masters"))
    config = from_kubeconfig([forgetful.kubeconfig(token="x")])
    forgetful.api.kill()
    await forgetful.start()
    async with (
        Client(ClusterConfig(config.server, tls=config.tls, token=TokenFile(path)), "tests") as client,
        informing(client, namespace, pace=LONG) as (informer, diary),
    ):
        fresh = forgetful.add_user("rotating", "system:masters")
        forgetful.api.kill()
        await forgetful.start()
        await until(lambda: informer.failing_with == "kubernetes_unauthorized")
        path.write_text(fresh)
        await client.create(CONFIG_MAPS, config_map(namespace, "a", "1"))
        await until(lambda: diary.mirror == {f"{namespace}/a": "1"})
        assert informer.failing_with == ""


async def test_a_throttled_informer_waits_as_long_as_it_was_told(
    client: Client, apiserver: ApiServer, namespace: str
) -> None:
    account = await service_account(client, namespace, "reader", verbs=["create", "get", "list", "watch"])
    async with (
        account.client(apiserver, timeout_seconds=1) as reader,
        informing(reader, namespace) as (informer, diary),
    ):
        async with throttled(client, apiserver, account):
            await until(lambda: informer.failing_with == "kubernetes_throttled")
            began = time.monotonic()
            await client.create(CONFIG_MAPS, config_map(namespace, "a", "1"))
            asked = informer.failures
            await until(lambda: informer.failures > asked + 1)
            assert time.monotonic() - began >= 1  # the wait that the API named
        await until(lambda: diary.mirror == {f"{namespace}/a": "1"})


async def test_a_kind_that_is_not_there_yet_is_waited_for(client: Client, namespace: str) -> None:
    crds = Resource(
        "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False
    )
    spices = Resource("tests.comanda.dev", "v1", "spices", "Spice")
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "spices", "kind": "Spice"}
    spec = {"group": spices.group, "scope": "Namespaced", "names": names, "versions": [version]}
    diary = Diary()
    informer = Informer(client, Selection(spices, namespace), value_of, diary, QUICK)
    async with running(informer):
        await until(lambda: informer.failing_with == "kubernetes_not_found")
        await client.create(crds, {"metadata": {"name": "spices.tests.comanda.dev"}, "spec": spec})
        try:
            await until(informer.synced.is_set)
            metadata = {"namespace": namespace, "name": "a"}
            await client.apply(spices, {"metadata": metadata, "data": {"value": "hot"}})
            await until(lambda: diary.mirror == {f"{namespace}/a": "hot"})
        finally:
            await client.delete(crds, "", "spices.tests.comanda.dev")


async def test_a_version_from_before_a_restored_backup_blinds_no_longer_than_until_the_next_list(
    client: Client, distant: Client, apiserver_proxy: FaultProxy, namespace: str
) -> None:
    """From a version that is not reached yet, the API sends nothing, and no error either."""
    async with informing(distant, namespace, pace=replace(QUICK, relist=3)) as (informer, diary):
        await until(lambda: informer.watches == 1)
        informer._version = str(2**62)
        apiserver_proxy.cut()
        await until(lambda: informer.watches == 2)
        await client.create(CONFIG_MAPS, config_map(namespace, "a", "1"))
        await until(lambda: diary.mirror == {f"{namespace}/a": "1"})
        assert informer.lists >= 2
