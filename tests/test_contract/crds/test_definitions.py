"""The API server takes our CRDs as they are: no warning, established, with everything that they promise."""

from __future__ import annotations

import secrets
from typing import Any

import aiohttp
import pytest

from comanda_contract.resources import CUSTOM_RESOURCES, BotPool
from comanda_contract.resources.crd import build_crd
from comanda_kube.client import Client
from comanda_kube.resources import Json
from tests.cluster import ApiServer
from tests.test_contract.crds.support import BASES, CRDS, in_group, resource_of

PARAMETERS = pytest.mark.parametrize("kind", CUSTOM_RESOURCES, ids=lambda kind: kind.__name__)


async def warnings_of(server: ApiServer, method: str, crd: Json, path: str = "", **query: str) -> list[str]:
    """Ask for a CRD, without keeping it, and return what the API server warns of."""
    type_ = "application/apply-patch+yaml" if method == "PATCH" else "application/json"
    headers = {"Authorization": f"Bearer {server.token()}", "Content-Type": type_}
    url = f"{server.url}{CRDS.path()}{path}"
    parameters = {"dryRun": "All", "fieldValidation": "Warn", **query}
    async with (
        aiohttp.ClientSession(headers=headers, raise_for_status=True) as session,
        session.request(method, url, json=crd, params=parameters, ssl=server.trust) as answer,
    ):
        await answer.read()  # a connection with something left in it is not closed in time
        return answer.headers.getall("Warning", [])


@PARAMETERS
async def test_a_new_crd_is_taken_without_a_warning(apiserver: ApiServer, kind: Any) -> None:
    new = in_group(build_crd(kind), f"{secrets.token_hex(4)}.example.com")
    assert await warnings_of(apiserver, "POST", new) == []


@PARAMETERS
async def test_a_crd_is_applied_without_a_warning(server: ApiServer, kind: Any) -> None:
    crd = build_crd(kind)
    path = f"/{crd['metadata']['name']}"
    assert await warnings_of(server, "PATCH", crd, path, fieldManager="helm", force="true") == []


async def test_a_warning_would_be_seen(apiserver: ApiServer) -> None:
    odd = in_group(build_crd(BotPool), f"{secrets.token_hex(4)}.example.com")
    odd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["colour"] = "red"
    assert await warnings_of(apiserver, "POST", odd) != []


@PARAMETERS
async def test_a_crd_is_established_and_its_schema_is_structural(client: Client, kind: Any) -> None:
    crd = await client.get(CRDS, "", build_crd(kind)["metadata"]["name"])
    conditions = {condition["type"]: condition["status"] for condition in crd["status"]["conditions"]}
    assert conditions["NamesAccepted"] == conditions["Established"] == "True"
    assert conditions.get("NonStructuralSchema", "False") == "False"
    assert crd["status"]["acceptedNames"]["categories"] == ["comanda", "whatsapp"]


@PARAMETERS
async def test_applying_a_crd_again_changes_nothing(client: Client, kind: Any) -> None:
    before = await client.apply(CRDS, build_crd(kind))
    after = await client.apply(CRDS, build_crd(kind))
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


@pytest.mark.parametrize("base", ["tenant", "python", "bridge", "app"])
async def test_a_resource_is_applied_again_without_a_change(client: Client, namespace: str, base: str) -> None:
    """What is filled in is nobody's: were it the applier's, each of its rounds would write, and wake the operator."""
    document = {**BASES[base], "metadata": {"name": "a", "namespace": namespace}}
    kind = resource_of(document["kind"])
    first = await client.apply(kind, document)
    again = await client.apply(kind, document)
    assert again["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


STATUSES: dict[str, Json] = {
    "tenant": {
        "observedGeneration": 3,
        "conditions": [
            {"type": "Accepted", "status": "True", "reason": "Accepted", "observedGeneration": 3},
            {
                "type": "Ready",
                "status": "False",
                "reason": "NotLoaded",
                "message": "No pod has loaded it yet.",
                "observedGeneration": 3,
                "lastTransitionTime": "2026-11-24T09:30:00Z",
            },
        ],
        "group": "comanda/pool-default",
        "pod": "pool-default-0",
        "shard": 7,
        "webhookPath": "/webhook",
        "credentialsHash": "5f0c1e9a7b3d48260e1f5a9c3b7d2e48",
        "lastMessageTime": "2026-11-24T09:30:00Z",
        "quality": {"rating": "GREEN", "limit": "TIER_2K"},
        "tokenExpiresAt": "2027-01-24T00:00:00Z",
        "movingFrom": "parrilla/tenant-napoli",
        "pausedSince": "2026-11-24T09:30:00.5Z",
    },
    "pool": {"observedGeneration": 1, "replicas": 2, "readyReplicas": 1, "tenants": 0, "selector": "a=b"},
    "app": {"observedGeneration": 1, "webhookPath": "/webhook", "conditions": []},
}


@pytest.mark.parametrize("base", STATUSES)
async def test_a_status_holds_all_that_the_operator_knows(client: Client, namespace: str, base: str) -> None:
    document = {**BASES[base], "metadata": {"name": "a", "namespace": namespace}}
    kind = resource_of(document["kind"])
    await client.apply(kind, document)
    told = await client.apply_status(kind, {"metadata": document["metadata"], "status": STATUSES[base]})
    assert told["status"] == STATUSES[base]
    assert told["metadata"]["generation"] == 1


async def test_one_writer_of_a_condition_leaves_those_of_others(client: Client, namespace: str) -> None:
    metadata = {"name": "a", "namespace": namespace}
    kind = resource_of("WhatsAppTenant")
    await client.apply(kind, {**BASES["tenant"], "metadata": metadata})
    for manager, type_ in (("one", "Accepted"), ("other", "Ready")):
        status = {"conditions": [{"type": type_, "status": "True"}]}
        body = {"metadata": metadata, "status": status}
        told = await client.apply(kind, body, manager=manager, subresource="status")
    assert [condition["type"] for condition in told["status"]["conditions"]] == ["Accepted", "Ready"]
