"""The operator as a process, on a real API, with the chart's rights: what a platform engineer sees of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from comanda_contract.names import shard_of
from comanda_kube.resources import (
    NETWORK_POLICIES,
    POD_DISRUPTION_BUDGETS,
    PODS,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    STATEFUL_SETS,
)
from comanda_operator.reconcile import APPS, POOLS, TENANTS
from tests.harness import until
from tests.test_operator.cluster import HOME, TOKEN, Cluster, Nodes, cluster

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with cluster(tmp_path) as made:
        await made.app()
        await made.pool()
        yield made


async def test_a_tenant_that_is_applied_is_served_once_its_pods_have_loaded_it(site: Cluster) -> None:
    shop = await site.namespace()
    await site.tenant(shop, "napoli")
    nodes = Nodes(site)
    nodes.frozen = True
    async with site.operator(), nodes.running():
        tenant = await site.becomes(TENANTS, shop, "napoli", "NotLoaded")
        assert tenant["status"]["group"] == f"{HOME}/pool-default"
        assert tenant["status"]["webhookPath"] == "/webhook"
        number = site.numbers[f"{shop}/napoli"]
        assert tenant["status"]["shard"] == shard_of(number)
        nodes.frozen = False
        tenant = await site.becomes(TENANTS, shop, "napoli", "Acknowledged")
        assert all(each["status"] == "True" for each in tenant["status"]["conditions"])
        assert TOKEN not in str(tenant)
        held = await site.shard("pool-default", shard_of(number))
        assert held["credentials.json"] == {"access_tokens": {number: TOKEN}}
        assert [each["tenant"] for each in held["tenants.json"]["tenants"]] == [f"{shop}/napoli"]
        pool = await site.becomes(POOLS, HOME, "default", "Available")
        assert (pool["status"]["tenants"], pool["status"]["readyReplicas"]) == (1, 2)
        app = await site.becomes(APPS, HOME, "default", "Answered")
        assert app["status"]["webhookPath"] == "/webhook"


async def test_credentials_are_rotated_without_touching_the_pod_template_and_a_broken_secret_keeps_the_last_good_one(
    site: Cluster,
) -> None:
    shop = await site.namespace()
    await site.tenant(shop, "napoli")
    await site.tenant(shop, "farol")
    async with site.operator(), Nodes(site).running():
        before = await site.becomes(TENANTS, shop, "napoli", "Acknowledged")
        await site.becomes(TENANTS, shop, "farol", "Acknowledged")
        template = (await site.get(STATEFUL_SETS, HOME, "pool-default"))["spec"]["template"]
        number = site.numbers[f"{shop}/napoli"]

        async def token() -> str:
            found = await site.shard("pool-default", shard_of(number))
            return str(found["credentials.json"]["access_tokens"].get(number))

        await site.secret(shop, "napoli-token", accessToken="another-token")

        async def rotated() -> bool:
            status = (await site.get(TENANTS, shop, "napoli"))["status"]
            return bool(status["credentialsHash"] != before["status"]["credentialsHash"])

        await until(rotated, what="the new token is acknowledged")
        assert await token() == "another-token"
        await site.secret(shop, "napoli-token", wrongKey="x")
        tenant = await site.becomes(TENANTS, shop, "napoli", "SecretKeyMissing", "CredentialsReady")
        assert tenant["status"]["group"] == f"{HOME}/pool-default", "it stays where it is served"
        await site.tenant(shop, "third")
        await site.becomes(TENANTS, shop, "third", "Acknowledged")
        assert await token() == "another-token", "the last good one"
        assert await site.condition(TENANTS, shop, "farol") == ("True", "Acknowledged")
        assert (await site.get(STATEFUL_SETS, HOME, "pool-default"))["spec"]["template"] == template


async def test_of_two_tenants_with_one_number_the_older_one_is_served_and_the_other_when_it_goes(site: Cluster) -> None:
    first, second = await site.namespace(), await site.namespace()
    await site.tenant(first, "napoli")
    async with site.operator(), Nodes(site).running():
        await site.becomes(TENANTS, first, "napoli", "Acknowledged")
        site.numbers[f"{second}/twin"] = site.numbers[f"{first}/napoli"]
        await site.tenant(second, "twin")
        twin = await site.becomes(TENANTS, second, "twin", "PhoneNumberConflict", "Accepted")
        assert "group" not in twin["status"]
        assert f"{first}/napoli" in str(twin["status"]["conditions"])
        await site.admin.delete(TENANTS, first, "napoli")
        await site.becomes(TENANTS, second, "twin", "Acknowledged")


async def test_an_enterprise_tenant_gets_pods_of_its_own_in_its_own_namespace_and_loses_them_when_it_goes(
    site: Cluster,
) -> None:
    shop = await site.namespace(**{"pod-security.kubernetes.io/enforce": "restricted"})
    async with site.operator(), Nodes(site).running():
        await site.tenant(shop, "napoli", plan="enterprise", enterprise={"image": "napoli/bot:1.0"})
        tenant = await site.becomes(TENANTS, shop, "napoli", "Acknowledged")
        assert tenant["status"]["group"] == f"{shop}/tenant-napoli"
        assert "shard" not in tenant["status"]
        pods = await site.all(PODS, shop)
        assert [pod["spec"]["containers"][0]["image"] for pod in pods] == ["napoli/bot:1.0"]
        await site.admin.delete(TENANTS, shop, "napoli")

        async def is_gone() -> bool:
            kinds = (STATEFUL_SETS, SERVICES, SERVICE_ACCOUNTS, POD_DISRUPTION_BUDGETS, NETWORK_POLICIES)
            left = [each for kind in kinds for each in await site.all(kind, shop)]
            secrets = [each["metadata"]["name"] for each in await site.all(SECRETS, shop)]
            return not left and secrets == ["napoli-token"]

        await until(is_gone, what="all that was made for it is gone")


async def test_what_is_changed_or_deleted_by_hand_is_mended_with_one_write_each(site: Cluster) -> None:
    async with site.operator() as operator:
        await site.becomes(POOLS, HOME, "default", "PodsNotReady")
        await until(operator.is_idle)
        begun = len(site.server.audit())
        stateful = await site.get(STATEFUL_SETS, HOME, "pool-default")
        image = stateful["spec"]["template"]["spec"]["containers"][0]["image"]
        metadata = {"namespace": HOME, "name": "pool-default"}
        vandal = {"template": {"spec": {"containers": [{"name": "bot", "image": "evil/bot:1"}]}}}
        await site.admin.apply(STATEFUL_SETS, {"metadata": metadata, "spec": vandal})
        await site.admin.delete(NETWORK_POLICIES, HOME, "pool-default")
        await site.admin.delete(SECRETS, HOME, "comanda-apps")

        async def is_mended() -> bool:
            found = await site.get(STATEFUL_SETS, HOME, "pool-default")
            others = [
                await site.get(NETWORK_POLICIES, HOME, "pool-default"),
                await site.get(SECRETS, HOME, "comanda-apps"),
            ]
            return found["spec"]["template"]["spec"]["containers"][0]["image"] == image and all(others)

        await until(is_mended, what="everything is as it was planned")
        await until(operator.is_idle)
        written = [entry["objectRef"]["resource"] for entry in site.writes(begun)]
        assert sorted(written) == ["networkpolicies", "secrets", "statefulsets"]


async def test_what_is_new_an_edit_and_a_rotation_are_one_write_of_the_status_each(site: Cluster) -> None:
    shop = await site.namespace()
    async with site.operator() as operator, Nodes(site).running():
        await site.becomes(POOLS, HOME, "default", "Available")
        begun = len(site.server.audit())
        await site.tenant(shop, "napoli")
        await site.becomes(TENANTS, shop, "napoli", "Acknowledged")
        await until(operator.is_settled)
        await site.tenant(shop, "napoli", displayName="Another name")
        generation = (await site.get(TENANTS, shop, "napoli"))["metadata"]["generation"]

        async def is_told() -> bool:
            status = (await site.get(TENANTS, shop, "napoli"))["status"]
            return bool(status["observedGeneration"] == generation and status["conditions"][-1]["status"] == "True")

        await until(is_told)
        before = (await site.get(TENANTS, shop, "napoli"))["status"]["credentialsHash"]
        await site.secret(shop, "napoli-token", accessToken="another-token")

        async def is_rotated() -> bool:
            return bool((await site.get(TENANTS, shop, "napoli"))["status"]["credentialsHash"] != before)

        await until(is_rotated)
        await until(operator.is_settled)
        resources = [entry["objectRef"]["resource"] for entry in site.writes(begun)]
        assert resources.count("whatsapptenants") == 3


async def test_an_edit_goes_before_what_waits_for_its_turn_to_be_written(site: Cluster) -> None:
    shop = await site.namespace()
    await site.tenant(shop, "first")
    async with site.operator(WRITES_PER_SECOND="1") as operator:
        await site.becomes(TENANTS, shop, "first", "NotLoaded")
        for number in range(80):
            await site.tenant(shop, f"t{number}")
        await site.tenant(shop, "first", displayName="Another name")

        async def untold() -> set[str]:
            tenants = await site.all(TENANTS, shop)
            return {
                each["metadata"]["name"]
                for each in tenants
                if each.get("status", {}).get("observedGeneration") != each["metadata"]["generation"]
            }

        async def is_told() -> bool:
            return "first" not in await untold()

        await until(is_told)
        assert await untold(), "others wait for their turn"
        assert await operator.leads()


async def test_a_second_look_writes_nothing(site: Cluster) -> None:
    shop = await site.namespace()
    for name in ("a", "b", "c"):
        await site.tenant(shop, name)
    async with site.operator() as operator, Nodes(site).running():
        for name in ("a", "b", "c"):
            await site.becomes(TENANTS, shop, name, "Acknowledged")
        await site.becomes(POOLS, HOME, "default", "Available")
        await until(operator.is_idle)
        assert await operator.end() == 0
        begun = len(site.server.audit())
        await operator.again()
        await until(operator.leads)
        await until(operator.is_idle)

        async def has_asked_the_pods() -> bool:
            return bool((await operator.health())["outstanding"] == 0)

        await until(has_asked_the_pods)
        await until(operator.is_idle)
        assert site.writes(begun) == []


async def test_a_pool_that_is_deleted_serves_its_tenants_until_they_have_gone(site: Cluster) -> None:
    shop = await site.namespace()
    await site.tenant(shop, "napoli")
    async with site.operator() as operator, Nodes(site).running():
        await site.becomes(TENANTS, shop, "napoli", "Acknowledged")
        await site.admin.delete(POOLS, HOME, "default")
        tenant = await site.becomes(TENANTS, shop, "napoli", "PoolMissing", "Scheduled")
        await until(operator.is_idle)
        assert tenant["status"]["group"] == f"{HOME}/pool-default"
        assert await site.get(STATEFUL_SETS, HOME, "pool-default")
        await operator.end()
        await operator.again()
        await until(operator.is_settled)
        assert await site.get(STATEFUL_SETS, HOME, "pool-default"), "a new leader knows as much"

        async def has_the_new_token() -> bool:
            found = [await site.shard("pool-default", number) for number in range(16)]
            return any(
                "another-token" in shard["credentials.json"]["access_tokens"].values() for shard in found if shard
            )

        await site.secret(shop, "napoli-token", accessToken="another-token")
        await until(has_the_new_token, what="credentials are rotated in a pool that is gone")
        await until(operator.is_settled)
        await site.admin.delete(TENANTS, shop, "napoli")

        async def is_gone() -> bool:
            return not await site.get(STATEFUL_SETS, HOME, "pool-default")

        await until(is_gone, what="nobody needs the pods any more")
