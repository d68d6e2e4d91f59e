"""Secrets stay where they belong: no object, log line or metric shows one, nor a digest that anybody could check."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from comanda_kube.resources import SECRETS, Json
from comanda_operator.reconcile import POOLS, TENANTS
from tests.harness import until
from tests.test_operator.cluster import HOME, MASTER_KEY, Cluster, Nodes, cluster
from tests.test_operator.stories import rotate, tell

pytestmark = [pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="module")]

TOKENS = ("EAAG-canary-first-token", "EAAG-canary-second-token")
CANARIES = (*TOKENS, "canary-app-secret", "canary-verify-token", "canary-password")


@dataclass(frozen=True)
class Shown:
    """All that anybody can read who may not read Secrets."""

    objects: dict[str, str]
    log: str
    metrics: str
    secrets: list[Json]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shown(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shown]:
    async with cluster(tmp_path_factory.mktemp("cluster")) as site, Nodes(site).running():
        await site.namespace("shop")
        async with site.operator() as operator:
            await tell(site, operator, TOKENS)
            await site.pool()
            await site.tenant("shop", "napoli", token=TOKENS[0])
            await site.tenant("shop", "farol", token=TOKENS[0], plan="enterprise", enterprise={})
            for name in ("napoli", "farol"):
                await site.becomes(TENANTS, "shop", name, "Acknowledged")
            await rotate(site, TOKENS)
            await site.becomes(POOLS, HOME, "default", "Available")
            await until(operator.is_settled)
            async with site.session.get(f"http://127.0.0.1:{operator.port}/metrics") as answer:
                metrics = await answer.text()
            health = json.dumps(await operator.health())
            objects = {kind: text async for kind, text in everything(site)}
        yield Shown(objects, operator.log.read_text(), metrics + health, await site.all(SECRETS))


async def everything(site: Cluster) -> AsyncIterator[tuple[str, str]]:
    """Yield every kind of object that the API has but Secrets, and all of that kind."""
    headers = {"Authorization": f"Bearer {site.server.token()}"}
    async with aiohttp.ClientSession(site.server.url, headers=headers) as session:

        async def get(path: str) -> Any:
            async with session.get(path, ssl=site.server.trust) as answer:
                assert answer.status == 200, path
                return await answer.json()

        groups = (await get("/apis"))["groups"]
        for version in ["api/v1", *(f"apis/{each['preferredVersion']['groupVersion']}" for each in groups)]:
            for resource in (await get(f"/{version}"))["resources"]:
                if "list" in resource["verbs"] and resource["name"] != "secrets":
                    yield f"{version}/{resource['name']}", json.dumps(await get(f"/{version}/{resource['name']}"))


def forms(secret: str) -> Iterator[str]:
    """Give a secret as it is, and in what anybody can make of it and compare."""
    content = secret.encode()
    yield secret
    yield base64.b64encode(content).decode().rstrip("=")
    for algorithm in ("md5", "sha1", "sha256", "sha512"):
        digest = hashlib.new(algorithm, content).digest()
        yield digest.hex()[:16]
        yield base64.b64encode(digest).decode()[:16]


FORMS = [(canary, form) for canary in CANARIES for form in forms(canary)]


async def test_the_story_left_the_objects_that_could_show_something(shown: Shown) -> None:
    kinds = {kind.rpartition("/")[2] for kind, text in shown.objects.items() if json.loads(text)["items"]}
    assert kinds >= {"whatsapptenants", "botpools", "whatsappapps", "events", "pods", "statefulsets", "leases"}
    assert "Acknowledged" in shown.objects["apis/events.k8s.io/v1/events"]
    assert "credentialsHash" in shown.objects["apis/comanda.dev/v1alpha1/whatsapptenants"]
    assert "comanda_operator_writes_total" in shown.metrics
    assert "leading" in shown.log


async def test_no_object_shows_a_secret(shown: Shown) -> None:
    assert [(kind, canary) for kind, text in shown.objects.items() for canary, form in FORMS if form in text] == []


async def test_no_log_line_or_metric_shows_a_secret(shown: Shown) -> None:
    assert [canary for canary, form in FORMS if form in shown.log + shown.metrics] == []
    assert MASTER_KEY.hex() not in shown.log + shown.metrics


async def test_of_secrets_none_but_those_that_must_hold_one_do_and_no_label_or_annotation_shows_it(
    shown: Shown,
) -> None:
    for secret in shown.secrets:
        metadata = json.dumps(secret["metadata"])
        assert [canary for canary, form in FORMS if form in metadata] == [], secret["metadata"]["name"]
    ours = {"app.kubernetes.io/managed-by": "comanda-operator"}.items()
    holding = {
        secret["metadata"]["name"]: {canary for canary in CANARIES if canary in text_of(secret)}
        for secret in shown.secrets
        if ours <= secret["metadata"].get("labels", {}).items()
    }
    assert {name: found for name, found in holding.items() if found and "-shard-" not in name} == {
        "comanda-apps": {"canary-app-secret", "canary-verify-token"}
    }
    assert {canary for name, found in holding.items() if "-shard-" in name for canary in found} == {TOKENS[1]}
    keys = [name for name in holding if name.endswith("-key")]
    assert keys
    assert MASTER_KEY.hex() not in "".join(map(text_of, shown.secrets))


def text_of(secret: Json) -> str:
    return "".join(base64.b64decode(value).decode() for value in secret.get("data", {}).values())
