from __future__ import annotations

import asyncio

import pytest

from comanda_kube.client import Client, Preconditions
from comanda_kube.errors import (
    AlreadyExistsError,
    FencedError,
    ForbiddenError,
    InvalidObjectError,
    NotFoundError,
    ObjectConflictError,
    UnauthorizedError,
)
from comanda_kube.kubeconfig import from_kubeconfig
from comanda_kube.resources import CONFIG_MAPS, NAMESPACES, POD_DISRUPTION_BUDGETS, SECRETS, Selection
from tests.cluster import ApiServer
from tests.test_kube.support import config_map, create_many, service_account


async def test_an_object_is_made_read_replaced_and_deleted(client: Client, namespace: str) -> None:
    made = await client.create(CONFIG_MAPS, config_map(namespace, "a", "1"))
    read = await client.get(CONFIG_MAPS, namespace, "a")
    assert read == made
    replaced = await client.replace(CONFIG_MAPS, {**read, "data": {"value": "2"}})
    assert replaced["data"] == {"value": "2"}
    assert await client.delete(CONFIG_MAPS, namespace, "a") is True
    assert await client.delete(CONFIG_MAPS, namespace, "a") is False
    with pytest.raises(NotFoundError, match=f"get configmaps {namespace}/a: not found"):
        await client.get(CONFIG_MAPS, namespace, "a")


async def test_kubectl_sees_what_the_client_made(client: Client, apiserver: ApiServer, namespace: str) -> None:
    await client.create(CONFIG_MAPS, config_map(namespace, "a", "1"))
    words = [f"--kubeconfig={apiserver.kubeconfig()}", "get", "configmaps", f"--namespace={namespace}", "--output=name"]
    kubectl = await asyncio.create_subprocess_exec(apiserver.kubectl, *words, stdout=asyncio.subprocess.PIPE)
    said, _ = await kubectl.communicate()
    assert said == b"configmap/a\n"


async def test_a_second_of_a_name_exists_already(client: Client, namespace: str) -> None:
    await client.create(CONFIG_MAPS, config_map(namespace, "a"))
    with pytest.raises(AlreadyExistsError):
        await client.create(CONFIG_MAPS, config_map(namespace, "a"))


async def test_a_version_that_moved_on_is_not_replaced(client: Client, namespace: str) -> None:
    old = await client.create(CONFIG_MAPS, config_map(namespace, "a", "1"))
    await client.replace(CONFIG_MAPS, {**old, "data": {"value": "2"}})
    with pytest.raises(ObjectConflictError):
        await client.replace(CONFIG_MAPS, {**old, "data": {"value": "3"}})
    assert (await client.get(CONFIG_MAPS, namespace, "a"))["data"] == {"value": "2"}


async def test_applying_makes_then_changes_then_gives_up_what_is_left_out(client: Client, namespace: str) -> None:
    body = config_map(namespace, "a", "1")
    await client.apply(CONFIG_MAPS, {**body, "data": {"one": "1", "two": "2"}})
    applied = await client.apply(CONFIG_MAPS, {**body, "data": {"two": "3"}})
    assert applied["data"] == {"two": "3"}
    again = await client.apply(CONFIG_MAPS, {**body, "data": {"two": "3"}})
    assert again["metadata"]["resourceVersion"] == applied["metadata"]["resourceVersion"]


async def test_a_field_of_another_manager_is_taken_by_force_only(client: Client, namespace: str) -> None:
    await client.apply(CONFIG_MAPS, config_map(namespace, "a", "theirs"), manager="somebody-else")
    ours = config_map(namespace, "a", "ours")
    with pytest.raises(ObjectConflictError):
        await client.apply(CONFIG_MAPS, ours, force=False)
    assert (await client.apply(CONFIG_MAPS, ours))["data"] == {"value": "ours"}


async def test_applying_to_a_uid_neither_makes_an_object_nor_touches_another(client: Client, namespace: str) -> None:
    first = await client.create(CONFIG_MAPS, config_map(namespace, "a", "first"))
    only = Preconditions(uid=first["metadata"]["uid"])
    await client.delete(CONFIG_MAPS, namespace, "a", only=only)
    with pytest.raises(ObjectConflictError):
        await client.apply(CONFIG_MAPS, config_map(namespace, "a", "ghost"), only=only)
    await client.create(CONFIG_MAPS, config_map(namespace, "a", "second"))
    with pytest.raises(ObjectConflictError):
        await client.apply(CONFIG_MAPS, config_map(namespace, "a", "ghost"), only=only)
    with pytest.raises(ObjectConflictError):
        await client.delete(CONFIG_MAPS, namespace, "a", only=only)
    assert (await client.get(CONFIG_MAPS, namespace, "a"))["data"] == {"value": "second"}


async def test_applying_to_a_version_leaves_a_later_one_alone(client: Client, namespace: str) -> None:
    first = await client.create(CONFIG_MAPS, config_map(namespace, "a", "1"))
    only = Preconditions(resource_version=first["metadata"]["resourceVersion"])
    await client.apply(CONFIG_MAPS, config_map(namespace, "a", "2"), only=only)
    with pytest.raises(ObjectConflictError):
        await client.apply(CONFIG_MAPS, config_map(namespace, "a", "3"), only=only)


async def test_a_status_has_a_manager_of_its_own(client: Client, namespace: str) -> None:
    metadata = {"namespace": namespace, "name": "a"}
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"a": "b"}}}
    made = await client.apply(POD_DISRUPTION_BUDGETS, {"metadata": metadata, "spec": spec})
    status = {
        "currentHealthy": 3,
        "desiredHealthy": 1,
        "disruptionsAllowed": 2,
        "expectedPods": 3,
    }
    only = Preconditions(uid=made["metadata"]["uid"])
    await client.apply_status(POD_DISRUPTION_BUDGETS, {"metadata": metadata, "status": status}, only=only)
    now = await client.get(POD_DISRUPTION_BUDGETS, namespace, "a")
    assert now["status"]["disruptionsAllowed"] == 2
    assert now["spec"] == made["spec"]
    assert {entry["manager"] for entry in now["metadata"]["managedFields"]} == {"tests", "tests-status"}


async def test_an_invalid_object_names_the_field(client: Client, namespace: str) -> None:
    body = {"metadata": {"namespace": namespace, "name": "a"}, "spec": {"minAvailable": "lots"}}
    with pytest.raises(InvalidObjectError, match=r"spec\.minAvailable") as caught:
        await client.apply(POD_DISRUPTION_BUDGETS, body)
    assert caught.value.fields


async def test_a_list_comes_in_pages_of_one_version(client: Client, namespace: str) -> None:
    await create_many(client, namespace, [f"c-{number}" for number in range(7)])
    pages = []
    async for page in client.list(Selection(CONFIG_MAPS, namespace), limit=3):
        pages.append(page)
        await client.create(CONFIG_MAPS, config_map(namespace, f"later-{len(pages)}"))
    assert [len(page.items) for page in pages] == [3, 3, 1]
    assert len({page.metadata.resource_version for page in pages}) == 1


async def test_who_has_no_right_is_forbidden_and_told_so(client: Client, apiserver: ApiServer, namespace: str) -> None:
    account = await service_account(client, namespace, "nobody")
    async with account.client(apiserver) as nobody:
        with pytest.raises(ForbiddenError, match=r"get secrets default/x: no rule allows it. Grant the verb"):
            await nobody.get(SECRETS, "default", "x")


async def test_who_is_unknown_is_unauthorized(apiserver: ApiServer) -> None:
    async with Client(from_kubeconfig([apiserver.kubeconfig(token="wrong-token")]), "tests") as stranger:
        with pytest.raises(UnauthorizedError) as caught:
            await stranger.get(NAMESPACES, "", "default")
    assert "wrong-token" not in repr(caught.value)


async def test_a_fence_that_falls_before_the_first_byte_keeps_the_call_back(
    apiserver: ApiServer, namespace: str
) -> None:
    asked: list[str] = []

    def may_write() -> bool:
        asked.append("once")
        return len(asked) == 1

    async with Client(from_kubeconfig([apiserver.kubeconfig()]), "tests") as fenced:
        fenced.fence(may_write)
        with pytest.raises(FencedError):
            await fenced.create(CONFIG_MAPS, config_map(namespace, "late"))
        assert len(asked) == 2
        with pytest.raises(NotFoundError):
            await fenced.get(CONFIG_MAPS, namespace, "late")


async def test_a_client_behind_a_fence_reads_and_writes_nothing(apiserver: ApiServer, namespace: str) -> None:
    open_ = True
    async with Client(from_kubeconfig([apiserver.kubeconfig()]), "tests") as fenced:
        fenced.fence(lambda: open_)
        await fenced.create(CONFIG_MAPS, config_map(namespace, "before"))
        open_ = False
        with pytest.raises(FencedError):
            await fenced.create(CONFIG_MAPS, config_map(namespace, "after"))
        with pytest.raises(FencedError):
            await fenced.delete(CONFIG_MAPS, namespace, "before")
        assert (await fenced.get(CONFIG_MAPS, namespace, "before"))["metadata"]["name"] == "before"
        with pytest.raises(NotFoundError):
            await fenced.get(CONFIG_MAPS, namespace, "after")
