"""`comanda tenant describe` against a real API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from typer.testing import CliRunner

from comanda_cli.app import app
from comanda_kube.client import Client
from comanda_kube.kubeconfig import from_kubeconfig
from comanda_operator.reconcile import TENANTS
from tests.cluster import ApiServer, api_server
from tests.test_router.directory_cluster import install

SPEC = {
    "phoneNumberId": "106540352242922",
    "wabaId": "102290129340398",
    "displayName": "Pizzería Napoli",
    "credentials": {"secretRef": {"name": "napoli-token"}},
}
MESSAGE = "Secret shop/napoli-token does not exist; create it."


def condition(type_: str, status: str, reason: str, message: str = "") -> dict[str, object]:
    time = "2026-11-24T12:00:00Z"
    said = {"type": type_, "status": status, "reason": reason, "message": message}
    return {**said, "observedGeneration": 1, "lastTransitionTime": time}


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ApiServer]:
    async with api_server() as made:
        await install(made)
        monkeypatch.setenv("KUBECONFIG", str(made.kubeconfig()))
        monkeypatch.setenv("COLUMNS", "160")
        yield made


async def says(*words: str) -> tuple[int, str]:
    ran = await asyncio.to_thread(CliRunner().invoke, app, ["tenant", "describe", *words])
    return ran.exit_code, ran.output


async def test_a_tenant_is_described_with_what_is_wrong_and_what_to_do(server: ApiServer) -> None:
    metadata = {"namespace": await server.create_namespace(), "name": "napoli"}
    async with Client(from_kubeconfig([server.kubeconfig()]), "operator") as admin:
        await admin.apply(TENANTS, {"metadata": metadata, "spec": SPEC})
        code, said = await says("napoli", "-n", metadata["namespace"])
        assert (code, "is the operator running?" in said) == (0, True)
        conditions = [
            condition("Accepted", "True", "Accepted"),
            condition("CredentialsReady", "False", "SecretMissing", MESSAGE),
            condition("Connected", "True", "TokenExpiring"),
        ]
        quality = {"rating": "GREEN", "limit": "TIER_2K"}
        ends = "2026-12-01T00:00:00Z"
        status = {"observedGeneration": 1, "conditions": conditions, "quality": quality, "tokenExpiresAt": ends}
        await admin.apply_status(TENANTS, {"metadata": metadata, "status": status})
        code, said = await says("napoli", "-n", metadata["namespace"])
        assert code == 0
        assert "✗ CredentialsReady SecretMissing" in " ".join(said.split())
        assert MESSAGE in " ".join(said.split())
        assert "What to do: Create it;" in said
        assert "What to do: Make a new token" in said, "what holds may end soon"
        assert ends in said
        assert "GREEN TIER_2K" in said
        code, said = await says("napoli", "-n", metadata["namespace"], "-o", "json")
        assert json.loads(said)["status"] == status


async def test_a_tenant_that_is_not_there_says_where_to_look(server: ApiServer) -> None:
    code, said = await says("nobody", "-n", await server.create_namespace())
    assert code == 1
    assert "there is no WhatsAppTenant nobody" in said
    assert "kubectl get wat" in said
