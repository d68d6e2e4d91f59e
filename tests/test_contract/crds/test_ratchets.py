"""A rule that comes with a later version: what breaks it already stays editable, but for the field that breaks it."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from comanda_contract.resources import WhatsAppTenant
from comanda_contract.resources.crd import build_crd
from comanda_kube.resources import Json
from tests.cluster import ApiServer
from tests.harness import until
from tests.test_contract.crds.support import BASES, CRDS, Judge, in_group, installed, judging, patched

pytestmark = pytest.mark.asyncio(loop_scope="session")

GROUP = "ratchets.example.com"
FULL = in_group(build_crd(WhatsAppTenant), GROUP)


def without_rules(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: without_rules(value) for key, value in node.items() if key != "x-kubernetes-validations"}
    return [without_rules(item) for item in node] if isinstance(node, list) else node


@dataclass(frozen=True)
class Aged:
    """A resource from before the rules, which came since."""

    judge: Judge
    made: Json

    async def edited(self, patch: Json, *, subresource: str = "") -> tuple[bool, tuple[str, ...]]:
        verdict = await self.judge.replace(dict(patched(self.made, patch)), subresource=subresource)
        return verdict.accepted, verdict.fields


@asynccontextmanager
async def aged(server: ApiServer, namespace: str, base: str, patch: Json) -> AsyncIterator[Aged]:
    old = copy.deepcopy(FULL)
    old["spec"]["versions"] = without_rules(FULL["spec"]["versions"])
    async with installed(server, old) as client, judging(server, namespace) as judge:
        made = (await judge.create(in_group(patched(BASES[base], patch), GROUP), keep=True)).made
        assert made, "the CRD without rules takes it"
        await client.apply(CRDS, FULL)

        async def is_in_force() -> bool:
            another = in_group(patched(BASES[base], {**patch, "metadata": {"name": "another"}}), GROUP)
            return not (await judge.create(another)).accepted

        await until(is_in_force, what="the new rules are in force")
        yield Aged(judge, made)


# Every field and section in which a rule is broken.
OLD: Json = {
    "spec": {
        "displayName": " Napoli ",
        "timezone": "-03:00",
        "enterprise": {
            "image": "Napoli:latest",
            "handler": {"type": "flow", "entryPoint": "left-over"},
            "resources": {"requests": {"memory": "1Gi"}, "limits": {"cpu": "a lot"}},
        },
    }
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def tenant(apiserver: ApiServer) -> AsyncIterator[Aged]:
    namespace = await apiserver.create_namespace()
    async with aged(apiserver, namespace, "enterprise", OLD) as tenant:
        yield tenant
    await apiserver.erase(namespace)


ELSEWHERE: dict[str, Json] = {
    "a field beside it": {"suspended": True},
    "a section beside it": {"limits": {"inboundBurst": 5}},
    "a field of the section that holds broken ones": {"enterprise": {"replicas": 3}},
    "a section beside broken ones": {"enterprise": {"scheduling": {"priorityClassName": "bots"}}},
}


@pytest.mark.parametrize("edit", ELSEWHERE.values(), ids=ELSEWHERE)
async def test_an_old_resource_is_edited_elsewhere(tenant: Aged, edit: Json) -> None:
    assert await tenant.edited({"spec": edit}) == (True, ())


async def test_the_operator_may_still_say_what_is_wrong_with_an_old_resource(tenant: Aged) -> None:
    condition = {"type": "Accepted", "status": "False", "reason": "SpecInvalid"}
    status = {"status": {"conditions": [condition]}}
    assert await tenant.edited(status, subresource="status") == (True, ())


async def test_an_old_resource_is_labelled_and_annotated(tenant: Aged) -> None:
    assert await tenant.edited({"metadata": {"labels": {"city": "santiago"}}}) == (True, ())


BROKEN: dict[str, Json] = {
    "spec.displayName": {"displayName": " Napoli 2 "},
    "spec.timezone": {"timezone": "-04:00"},
    "spec.enterprise.image": {"enterprise": {"image": "Napoli:newest"}},
    "spec.enterprise.handler.entryPoint": {"enterprise": {"handler": {"timeoutSeconds": 5}}},
    "spec.enterprise.resources.requests.memory": {"enterprise": {"resources": {"requests": {"memory": "2Gi"}}}},
}


@pytest.mark.parametrize(("field", "edit"), BROKEN.items(), ids=BROKEN)
async def test_what_breaks_a_rule_is_not_changed_for_the_worse(tenant: Aged, field: str, edit: Json) -> None:
    assert await tenant.edited({"spec": edit}) == (False, (field,))


async def test_what_breaks_a_rule_is_mended_bit_by_bit(tenant: Aged) -> None:
    assert await tenant.edited({"spec": {"timezone": "America/Santiago"}}) == (True, ())
    assert await tenant.edited({"spec": {"enterprise": {"handler": {"entryPoint": None}}}}) == (True, ())
