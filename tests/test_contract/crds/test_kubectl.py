"""What a person sees: kubectl explains every field, lists with our columns, selects by our fields and scales pools."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from comanda_kube.client import Client
from comanda_kube.resources import Json
from tests.cluster import ApiServer
from tests.golden import assert_golden
from tests.test_contract.crds.support import BASES, HERE, patched, resource_of

GOLDEN = HERE / "golden"
Kubectl = Callable[..., Awaitable[str]]


@pytest.fixture
async def kubectl(server: ApiServer, namespace: str, tmp_path: Path) -> Kubectl:
    """Run kubectl in this test's namespace and return what it says; fails when it fails or warns."""
    options = [f"--kubeconfig={server.kubeconfig()}", f"--namespace={namespace}", f"--cache-dir={tmp_path}"]

    async def run(*words: str) -> str:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(server.kubectl, *words, *options, stdout=pipe, stderr=pipe)
        said, complaint = await process.communicate()
        assert not complaint, complaint.decode()
        assert process.returncode == 0
        return said.decode()

    return run


@pytest.mark.parametrize("field", ["wat.spec", "wat.spec.enterprise", "botpool.spec", "wapp.spec"])
async def test_every_field_is_explained(kubectl: Kubectl, field: str) -> None:
    assert_golden(GOLDEN / f"explain-{field}.txt", await kubectl("explain", field))


@pytest.mark.parametrize("field", ["wat.status", "wat.status.conditions", "botpool.status", "wapp.status"])
async def test_a_status_is_explained_too(kubectl: Kubectl, field: str) -> None:
    said = await kubectl("explain", field)
    assert "FIELDS:" in said
    assert "<no description>" not in said


OBJECTS: tuple[tuple[str, Json, Json], ...] = (
    ("app", {}, {"webhookPath": "/webhook", "conditions": [{"type": "Ready", "status": "True", "reason": "Ready"}]}),
    ("pool", {"spec": {"replicas": 3}}, {"replicas": 3, "readyReplicas": 2, "tenants": 1, "selector": "a=b"}),
    (
        "tenant",
        {"spec": {"poolRef": "default"}},
        {
            "group": "comanda/pool-default",
            "pod": "pool-default-0",
            "quality": {"rating": "GREEN"},
            "conditions": [{"type": "Ready", "status": "True", "reason": "Acknowledged", "message": "All is well."}],
        },
    ),
    (
        "enterprise",
        {"spec": {"appRef": "brand"}},
        {
            "group": "parrilla/tenant-parrilla",
            "conditions": [
                {"type": "Accepted", "status": "True", "reason": "Accepted"},
                {"type": "Ready", "status": "False", "reason": "NotLoaded", "message": "No pod has loaded it yet."},
            ],
        },
    ),
    ("tenant", {"metadata": {"name": "nuevo"}, "spec": {"phoneNumberId": "106540352242977"}}, {}),
)
"""Base, what is other in it, and the status that the operator has given."""


@pytest.fixture
async def shown(client: Client, namespace: str) -> None:
    for base, patch, status in OBJECTS:
        document = patched(BASES[base], patched(patch, {"metadata": {"namespace": namespace}}))
        kind = resource_of(document["kind"])
        await client.apply(kind, document)
        if status:
            await client.apply_status(kind, {"metadata": document["metadata"], "status": status})


def without_ages(table: str) -> str:
    """Take away the last column, which is the age of each."""
    return re.sub(r" +\S+$", "", table, flags=re.MULTILINE)


async def test_a_list_shows_what_one_wants_to_know(kubectl: Kubectl, shown: None) -> None:
    assert_golden(GOLDEN / "get.txt", without_ages(await kubectl("get", "wat,botpool,wapp")))


async def test_a_wide_list_shows_more(kubectl: Kubectl, shown: None) -> None:
    said = await kubectl("get", "wat,bp,wapp", "--output=wide")
    # Ages stand between the columns here.
    assert_golden(GOLDEN / "get-wide.txt", re.sub(r"\b\d+s\b", "<age>", said))


@pytest.mark.parametrize("category", ["comanda", "whatsapp"])
async def test_one_word_shows_all_that_is_ours(kubectl: Kubectl, shown: None, category: str) -> None:
    said = await kubectl("get", category, "--output=name")
    assert sorted(said.split()) == [
        "botpool.comanda.dev/default",
        "whatsappapp.comanda.dev/default",
        "whatsapptenant.comanda.dev/napoli",
        "whatsapptenant.comanda.dev/nuevo",
        "whatsapptenant.comanda.dev/parrilla",
    ]


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("spec.plan=enterprise", ["parrilla"]),
        ("spec.plan=standard", ["napoli", "nuevo"]),
        ("spec.phoneNumberId=106540352242922", ["napoli"]),
        ("spec.poolRef=default", ["napoli"]),
        ("spec.poolRef=,spec.plan=standard", ["nuevo"]),
        ("spec.appRef=brand", ["parrilla"]),
        ("spec.appRef!=brand", ["napoli", "nuevo"]),
    ],
)
async def test_tenants_are_selected_by_field(kubectl: Kubectl, shown: None, selector: str, names: list[str]) -> None:
    said = await kubectl("get", "wat", f"--field-selector={selector}", "--output=name")
    assert said.split() == [f"whatsapptenant.comanda.dev/{name}" for name in names]


async def test_a_pool_is_scaled(kubectl: Kubectl, client: Client, namespace: str, shown: None) -> None:
    assert await kubectl("scale", "botpool/default", "--current-replicas=3", "--replicas=4") == (
        "botpool.comanda.dev/default scaled\n"
    )
    pool = await client.get(resource_of("BotPool"), namespace, "default")
    assert pool["spec"]["replicas"] == 4
    assert pool["spec"]["maxTenants"] == 5000


async def test_an_autoscaler_reads_how_many_pods_there_are_and_which(kubectl: Kubectl, shown: None) -> None:
    scale = "{.spec.replicas} {.status.replicas} {.status.selector}"
    said = await kubectl("get", "botpool", "default", "--subresource=scale", f"--output=jsonpath={scale}")
    assert said == "3 3 a=b"


async def test_a_pool_is_not_scaled_beyond_its_bound(client: Client, kubectl: Kubectl, shown: None) -> None:
    with pytest.raises(AssertionError, match="should be less than or equal to 500"):
        await kubectl("scale", "botpool/default", "--replicas=501")
