"""`kubectl comanda` on a real API with a real operator."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from comanda_cli.kubectl.app import app
from comanda_cli.kubectl.doctor import examine
from comanda_cli.kubectl.snapshot import Snapshot
from comanda_kube.resources import PODS, SECRETS
from comanda_operator.reconcile import TENANTS
from tests.harness import until
from tests.test_operator.cluster import HOME, Cluster, Nodes, cluster

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
async def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Cluster]:
    async with cluster(tmp_path) as made:
        monkeypatch.setenv("KUBECONFIG", str(made.server.kubeconfig()))
        monkeypatch.setenv("COLUMNS", "200")
        yield made


async def says(*words: str) -> tuple[int, str]:
    ran = await asyncio.to_thread(CliRunner().invoke, app, [*words, "--home", HOME] if words[0] != "explain" else words)
    return ran.exit_code, ran.output


async def finds() -> dict[str, list[dict[str, Any]]]:
    """Return what the doctor finds, by what was looked at."""
    _, said = await says("doctor", "-o", "json")
    found: dict[str, list[dict[str, Any]]] = {}
    for finding in json.loads(said):
        found.setdefault(finding["what"], []).append(finding)
    return found


async def test_an_empty_cluster_is_told_what_it_lacks(site: Cluster) -> None:
    code, said = await says("doctor")
    assert code == 1
    assert "✓ CRDs" in said
    assert "✗ Operator: none has ever led here" in said
    assert "✗ Router: has no pods in this namespace" in said
    assert "✗ Apps: there is no WhatsAppApp" in said
    code, said = await says("status")
    assert (code, "nobody leads" in said, "0 of 0 are well" in said) == (0, True, True)


async def test_a_tenant_is_well_or_explained(site: Cluster) -> None:
    shop = await site.namespace()
    await site.app()
    await site.pool()
    await site.tenant(shop, "napoli")
    await site.tenant(shop, "farol", token="")
    metadata = {"namespace": shop, "name": "farol-token"}
    await site.admin.create(SECRETS, {"metadata": metadata, "data": {"accessToken": "dG9rZW4="}})
    async with site.operator() as operator, Nodes(site).running():
        await site.becomes(TENANTS, shop, "napoli", "Acknowledged")
        await site.becomes(TENANTS, shop, "farol", "SecretMissing", "CredentialsReady")
        await until(operator.is_settled)
        found = await finds()
        assert [each["level"] for each in found["Operator"]] == ["ok"]
        assert found["BotPool default"][0]["found"] == "2 of 2 pods are ready."
        assert found["Secrets"][0]["hint"] == f"kubectl -n {shop} label secret farol-token comanda.dev/source=true"
        tenants = " ".join(each["found"] for each in found["Tenants"])
        assert f"SecretMissing: {shop}/farol" in tenants
        assert "1 of 2 are well" in tenants
        code, said = await says("status")
        assert code == 0
        assert f"{shop}/farol" in said
        assert f"{shop}/napoli" not in said
        code, said = await says("status", "--all")
        assert f"{shop}/napoli" in said
        code, said = await says("explain", "napoli", "-n", shop)
        assert code == 0
        first = (await site.get(TENANTS, shop, "napoli"))["status"]["pod"]
        pods = said.partition("Webhooks go")[2].splitlines()
        assert pods[2].startswith(first), "the pod that placement wants most comes first"
        code, said = await says("explain", "farol", "-n", shop)
        assert "What to do: Create it;" in said

        metadata = {"namespace": HOME, "name": "pool-default-1"}
        waiting = {"name": "bot", "ready": False, "image": "x", "imageID": "", "restartCount": 0}
        state = {"waiting": {"reason": "ImagePullBackOff"}}
        status = {
            "containerStatuses": [{**waiting, "state": state}],
            "conditions": [{"type": "Ready", "status": "False"}],
        }
        await site.admin.apply_status(PODS, {"metadata": metadata, "status": status})
        assert f"ImagePullBackOff: {HOME}/pool-default-1" in (await finds())["Bot pods"][0]["found"]


async def test_kubectl_finds_the_plugin_on_the_path(site: Cluster) -> None:
    program = shutil.which("kubectl-comanda", path=str(Path(sys.executable).parent))
    assert program is not None
    process = await asyncio.create_subprocess_exec(
        site.server.kubectl,
        "comanda",
        "doctor",
        "--help",
        env={**os.environ, "PATH": f"{Path(program).parent}:{os.environ['PATH']}"},
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    assert b"kubectl comanda doctor" in said


def test_a_cluster_without_our_kinds_is_told_to_install_them() -> None:
    missing = ["WhatsAppTenant", "BotPool", "WhatsAppApp"]
    first = examine(Snapshot([], [], [], [], [], None, missing))[0]
    assert (first.level, first.hint) == ("error", "Install them: kubectl apply --server-side -f crds/")
