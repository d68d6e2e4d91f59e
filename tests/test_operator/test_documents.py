"""Flows and menus from ConfigMaps: whatever is in one, its neighbours in the shard do not feel it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from comanda_contract.errors import InvalidInputError
from comanda_contract.names import shard_of
from comanda_kube.resources import CONFIG_MAPS
from comanda_operator.documents import LARGEST_TEXT, MOST_VALUES, read_documents
from comanda_operator.reconcile import APPS, TENANTS
from tests.harness import until
from tests.test_operator.cluster import HOME, SOURCE, Cluster, Nodes, cluster

MENU = "name: Napoli\nmenu: {categories: []}\n"
BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
HOSTILE = {
    "an alias a thousand million times": BOMB,
    "nested without end": "a: " + "[" * 20_000,
    "a list": "[1, 2]",
    "a text": "hello",
    "a date that is none": "a: 2026-13-45",
    "a key that is a list": "? [1, 2]\n: x",
    "no YAML": "a: [1, 2",
    "a tag of somebody else's": "a: !!python/object/apply:os.system ['true']",
    "too long": "a: " + "x" * LARGEST_TEXT,
    "too many": "a: [" + "1," * MOST_VALUES + "1]",
    "itself": "a: &a [*a]",
    "a control character": "a: \x00",
}


def test_flow_and_menu_are_read_and_other_keys_are_not() -> None:
    texts = {"restaurant.yaml": MENU, "flow.yaml": "", "notes.txt": "["}
    assert read_documents(texts) == {
        "flow.yaml": None,
        "restaurant.yaml": {"name": "Napoli", "menu": {"categories": []}},
    }


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_what_is_no_document_is_refused_with_its_key(text: str) -> None:
    with pytest.raises(InvalidInputError, match=r"^restaurant\.yaml: "):
        read_documents({"restaurant.yaml": text})


@given(st.text(max_size=200))
def test_whatever_a_text_holds_it_is_a_mapping_for_json_or_refused(text: str) -> None:
    try:
        found = read_documents({"flow.yaml": text})
    except InvalidInputError:
        return
    assert msgspec.json.decode(msgspec.json.encode(found)) == found


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with cluster(tmp_path) as made:
        await made.app()
        await made.pool()
        yield made


async def put_menu(site: Cluster, namespace: str, text: str) -> None:
    metadata = {"namespace": namespace, "name": "menu", "labels": SOURCE}
    await site.admin.apply(CONFIG_MAPS, {"metadata": metadata, "data": {"restaurant.yaml": text}})


async def menu_of(site: Cluster, namespace: str, name: str) -> object:
    """Return the menu that pods are told of a tenant, None when they are not told of it."""
    shard = (await site.get(TENANTS, namespace, name))["status"]["shard"]
    tenants = (await site.shard("pool-default", shard))["tenants.json"]["tenants"]
    return next((each["restaurant"] for each in tenants if each["tenant"] == f"{namespace}/{name}"), None)


@pytest.mark.timeout(240)
async def test_a_hostile_menu_or_token_is_told_of_its_tenant_alone_and_the_last_good_ones_stay(site: Cluster) -> None:
    shop = await site.namespace()
    same_shard = f"{shop}/neighbour"
    with_menu: dict[str, Any] = {"flow": {"configMapRef": {"name": "menu"}}}
    await put_menu(site, shop, MENU)
    await site.tenant(shop, "napoli", **with_menu)
    site.numbers[same_shard] = neighbour_of(site.numbers[f"{shop}/napoli"])
    await site.tenant(shop, "neighbour")
    async with site.operator() as operator, Nodes(site).running():
        for name in ("napoli", "neighbour"):
            await site.becomes(TENANTS, shop, name, "Acknowledged")
        for text in (BOMB, "[1]", "a: 2026-13-45"):
            await put_menu(site, shop, text)
            tenant = await site.becomes(TENANTS, shop, "napoli", "ConfigMapInvalid", "Scheduled")
            assert "restaurant.yaml" in str(tenant["status"]["conditions"])
            await site.tenant(shop, "neighbour", displayName=f"After {text[:5]}")
            await until(operator.is_settled)
            assert await site.condition(TENANTS, shop, "neighbour") == ("True", "Acknowledged")
            assert await menu_of(site, shop, "napoli") == {"name": "Napoli", "menu": {"categories": []}}
        await site.tenant(shop, "third", **with_menu)
        await site.becomes(TENANTS, shop, "third", "ConfigMapInvalid", "Scheduled")
        await until(operator.is_settled)
        assert await site.condition(TENANTS, shop, "third") == ("False", "NotLoaded"), "pods were told nothing of it"
        await operator.end()
        await operator.again()
        await until(operator.leads)
        await until(operator.is_settled)
        assert await site.condition(TENANTS, shop, "napoli", "Scheduled") == ("False", "ConfigMapInvalid")
        await put_menu(site, shop, "name: Mended")
        for name in ("napoli", "third"):
            await site.becomes(TENANTS, shop, name, "Acknowledged")
            await site.becomes(TENANTS, shop, name, "Scheduled", "Scheduled")
            assert await menu_of(site, shop, name) == {"name": "Mended"}
        for token in ("x" * 5000, "two words", "line\nbreak"):
            await site.secret(shop, "napoli-token", accessToken=token)
            await site.becomes(TENANTS, shop, "napoli", "SecretValueInvalid", "CredentialsReady")
        assert await site.condition(TENANTS, shop, "neighbour") == ("True", "Acknowledged")


@pytest.mark.timeout(240)
async def test_tenants_go_on_when_somebody_deletes_their_app(site: Cluster) -> None:
    shop = await site.namespace()
    await site.tenant(shop, "napoli")
    async with site.operator() as operator, Nodes(site).running():
        await site.becomes(TENANTS, shop, "napoli", "Acknowledged")
        await site.admin.delete(APPS, HOME, "default")
        await site.becomes(TENANTS, shop, "napoli", "AppNotReady", "CredentialsReady")
        await until(operator.is_settled)
        assert await menu_of(site, shop, "napoli") == {}, "its pods know it as before"


def neighbour_of(number: str) -> str:
    """Return another number that belongs into the same shard."""
    return next(str(each) for each in range(900_000_000, 900_001_000) if shard_of(str(each)) == shard_of(number))
