"""Granted is used: the chart gives the operator no right that it does not need, and it needs none that it lacks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest
import pytest_asyncio

from tests.test_operator.cluster import TOKEN, Nodes, cluster, rules
from tests.test_operator.stories import tell

pytestmark = [pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="module")]

Right = tuple[str, str, str]
"""API group, resource with subresource, verb."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def asked(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[list[dict[str, Any]]]:
    """All that an operator asked of the API in a life in which everything happens."""
    async with cluster(tmp_path_factory.mktemp("cluster")) as site, Nodes(site).running():
        await site.namespace("shop")
        async with site.operator() as operator:
            await tell(site, operator, (TOKEN, "another-token"))
        yield site.asked()


def rights(roles: Iterable[str]) -> set[Right]:
    return {
        (group, resource, verb)
        for role in roles
        for rule in rules(role)
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def used(asked: Iterable[dict[str, Any]]) -> set[Right]:
    found: set[Right] = set()
    for entry in asked:
        what = entry.get("objectRef")
        if what is None:
            continue
        resource = "/".join(filter(None, (what["resource"], what.get("subresource"))))
        verbs = {entry["verb"]}
        if entry["verb"] == "patch" and entry["responseStatus"]["code"] == 201:
            verbs.add("create")  # what is applied and not there is created, and needs the right for that
        found |= {(what.get("apiGroup", ""), resource, verb) for verb in verbs}
    return found


async def test_nothing_that_the_operator_asked_was_forbidden(asked: list[dict[str, Any]]) -> None:
    assert [entry["requestURI"] for entry in asked if entry["responseStatus"]["code"] in {401, 403}] == []


async def test_every_right_of_the_chart_was_used(asked: list[dict[str, Any]]) -> None:
    granted = rights(("operator", "operator-own-namespace"))
    assert sorted(granted - used(asked)) == []
    assert sorted(used(asked) - granted) == []


async def test_the_operators_own_namespace_alone_has_its_lease(asked: list[dict[str, Any]]) -> None:
    leases = [entry for entry in asked if entry.get("objectRef", {}).get("resource") == "leases"]
    assert {entry["objectRef"]["namespace"] for entry in leases} == {"comanda"}
    assert not {"leases"} & {resource for _, resource, _ in rights(("operator",))}


async def test_no_right_is_granted_by_a_star(asked: list[dict[str, Any]]) -> None:
    assert not [each for each in rights(("operator", "operator-own-namespace")) if "*" in "".join(each)]
