from __future__ import annotations

import asyncio

import msgspec
import pytest

from comanda_kube.client import Client
from comanda_kube.informer import Informer
from comanda_kube.resources import CONFIG_MAPS, NAMESPACES, SECRETS, Selection
from comanda_kube.store import Change
from tests.cluster import ApiServer
from tests.harness import until
from tests.test_kube.support import QUICK, Diary, config_map, create_many, informing, running, value_of


async def test_many_objects_are_listed_in_pages_and_told_once(
    client: Client, apiserver: ApiServer, namespace: str
) -> None:
    names = [f"c-{number:04}" for number in range(1200)]
    await create_many(client, namespace, names)
    async with informing(client, namespace) as (informer, diary):
        assert len(diary.changes) == 1200
        assert diary.mirror == {f"{namespace}/{name}": name for name in names}
        assert informer.lists == 1
    pages = [entry for entry in apiserver.audit() if entry["verb"] == "list" and namespace in entry["requestURI"]]
    assert ["limit=500" in entry["requestURI"] for entry in pages] == [True] * 3


async def test_what_is_added_changed_and_removed_is_told_in_order(client: Client, namespace: str) -> None:
    await client.create(CONFIG_MAPS, config_map(namespace, "early", "1"))
    async with informing(client, namespace) as (informer, diary):
        await client.create(CONFIG_MAPS, config_map(namespace, "late", "1"))
        await client.apply(CONFIG_MAPS, config_map(namespace, "late", "2"))
        await client.delete(CONFIG_MAPS, namespace, "early")
        await until(lambda: len(diary.changes) == 4)
        assert diary.told == [
            ("added", "early", "1"),
            ("added", "late", "1"),
            ("changed", "late", "2"),
            ("removed", "early", "1"),
        ]
        assert diary.changes[2].previous == "1"
        assert informer.lists == 1


async def test_a_new_version_of_the_same_record_is_no_change(client: Client, namespace: str) -> None:
    await client.create(CONFIG_MAPS, config_map(namespace, "a", "1"))
    async with informing(client, namespace) as (_, diary):
        await client.apply(CONFIG_MAPS, config_map(namespace, "a", "1", touched="yes"))
        await client.apply(CONFIG_MAPS, config_map(namespace, "b", "1"))
        await until(lambda: f"{namespace}/b" in diary.mirror)
        assert diary.told == [("added", "a", "1"), ("added", "b", "1")]


async def test_an_object_made_again_under_its_name_is_a_removal_and_an_addition(client: Client, namespace: str) -> None:
    await client.create(CONFIG_MAPS, config_map(namespace, "a", "same"))
    async with informing(client, namespace) as (_, diary):
        await client.delete(CONFIG_MAPS, namespace, "a")
        await client.create(CONFIG_MAPS, config_map(namespace, "a", "same"))
        await until(lambda: len(diary.changes) == 3)
        assert [kind for kind, *_ in diary.told] == ["added", "removed", "added"]


async def test_an_object_far_longer_than_a_socket_buffer_arrives(client: Client, namespace: str) -> None:
    large = "x" * 900_000
    async with informing(client, namespace) as (informer, diary):
        await client.create(CONFIG_MAPS, config_map(namespace, "large", large))
        await client.create(CONFIG_MAPS, config_map(namespace, "small", "1"))
        await until(lambda: len(diary.mirror) == 2)
        assert diary.mirror[f"{namespace}/large"] == large
        assert informer.failures == 0


async def test_what_leaves_a_label_selector_is_removed(client: Client, namespace: str) -> None:
    selection = Selection(CONFIG_MAPS, namespace, labels="kind=ours,other!=yes")
    await client.apply(CONFIG_MAPS, config_map(namespace, "a", "1", kind="ours"))
    await client.apply(CONFIG_MAPS, config_map(namespace, "b", "1", kind="theirs"))
    async with informing(client, selection) as (_, diary):
        await client.apply(CONFIG_MAPS, config_map(namespace, "b", "2", kind="ours"))
        await client.apply(CONFIG_MAPS, config_map(namespace, "a", "2", kind="theirs"))
        await until(lambda: len(diary.changes) == 3)
        assert diary.told == [("added", "a", "1"), ("added", "b", "2"), ("removed", "a", "1")]


async def test_a_field_selector_names_one_object(client: Client, namespace: str) -> None:
    await create_many(client, namespace, ["a", "b"])
    async with informing(client, Selection(CONFIG_MAPS, namespace, fields="metadata.name=b")) as (_, diary):
        assert diary.told == [("added", "b", "b")]


async def test_all_namespaces_are_watched_when_none_is_named(client: Client, apiserver: ApiServer) -> None:
    one, other = await apiserver.create_namespace(), await apiserver.create_namespace()
    await client.create(CONFIG_MAPS, config_map(one, "a", "1", mark=one))
    async with informing(client, Selection(CONFIG_MAPS, labels=f"mark={one}")) as (_, diary):
        await client.create(CONFIG_MAPS, config_map(other, "a", "2", mark=one))
        await until(lambda: diary.mirror == {f"{one}/a": "1", f"{other}/a": "2"})
    await apiserver.erase(one)
    await apiserver.erase(other)


async def test_objects_without_a_namespace_go_by_their_name(client: Client, namespace: str) -> None:
    changes: list[Change[int]] = []
    selection = Selection(NAMESPACES, fields=f"metadata.name={namespace}")
    informer = Informer(client, selection, len, changes.append, QUICK)
    async with running(informer):
        await until(informer.synced.is_set)
    assert [change.key for change in changes] == [namespace]


async def test_contents_of_secrets_never_come_when_metadata_is_asked_for(client: Client, namespace: str) -> None:
    secret = {"metadata": {"namespace": namespace, "name": "a"}, "stringData": {"token": "canary"}}
    await client.create(SECRETS, secret)
    seen: list[Change[bytes]] = []
    informer: Informer[bytes] = Informer(
        client, Selection(SECRETS, namespace, metadata_only=True), bytes, seen.append, QUICK
    )
    async with running(informer):
        await until(informer.synced.is_set)
        await client.create(SECRETS, {**secret, "metadata": {"namespace": namespace, "name": "b"}})
        await until(lambda: len(seen) == 2)
    for change in seen:
        content = msgspec.json.decode(change.record)
        assert content["kind"] == "PartialObjectMetadata"
        assert set(content) == {"kind", "apiVersion", "metadata"}


async def test_a_record_that_cannot_be_read_leaves_the_last_good_one_and_blinds_for_no_other(
    client: Client, namespace: str
) -> None:
    await client.create(CONFIG_MAPS, config_map(namespace, "a", "good"))
    async with informing(client, namespace) as (informer, diary):
        broken = {**config_map(namespace, "a"), "data": {"other": "no value"}}
        await client.replace(CONFIG_MAPS, broken)
        await client.create(CONFIG_MAPS, config_map(namespace, "b", "good"))
        await until(lambda: f"{namespace}/b" in diary.mirror)
        assert informer.unreadable == 1
        assert diary.mirror == {f"{namespace}/a": "good", f"{namespace}/b": "good"}
        await client.delete(CONFIG_MAPS, namespace, "a")
        await until(lambda: f"{namespace}/a" not in diary.mirror)


async def test_a_quiet_watch_is_renewed_and_says_how_long_it_heard_nothing(client: Client, namespace: str) -> None:
    async with informing(client, namespace) as (informer, diary):
        assert informer.age_seconds < 60
        await until(lambda: informer.watches >= 3)
        assert (informer.failures, informer.gone, informer.lists) == (0, 0, 1)
        await client.create(CONFIG_MAPS, config_map(namespace, "a", "1"))
        await until(lambda: len(diary.changes) == 1)


async def test_a_list_that_was_asked_for_comes_with_the_end_of_the_watch(client: Client, namespace: str) -> None:
    await client.create(CONFIG_MAPS, config_map(namespace, "a", "1"))
    async with informing(client, namespace) as (informer, diary):
        informer.list_again()
        await until(lambda: informer.lists == 2)
        assert diary.told == [("added", "a", "1")]


async def test_before_the_first_list_nothing_is_synced_and_the_age_is_infinite(client: Client, namespace: str) -> None:
    informer = Informer(client, Selection(CONFIG_MAPS, namespace), value_of, Diary(), QUICK)
    assert not informer.synced.is_set()
    assert informer.age_seconds == float("inf")


async def test_an_error_of_the_listener_ends_the_informer(client: Client, namespace: str) -> None:
    def refuse(_change: Change[str]) -> None:
        raise LookupError("a fault of the listener")

    informer = Informer(client, Selection(CONFIG_MAPS, namespace), value_of, refuse, QUICK)
    await client.create(CONFIG_MAPS, config_map(namespace, "a", "1"))
    with pytest.raises(LookupError):
        async with asyncio.timeout(60):
            await informer.run()
