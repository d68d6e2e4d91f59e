"""What the real API says of the chart's objects and pods, where pods must be restricted; nothing is kept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path

import pytest
import pytest_asyncio

from comanda_kube.client import Client
from comanda_kube.kubeconfig import from_kubeconfig
from comanda_kube.resources import NAMESPACES
from tests.cluster import ApiServer, api_server
from tests.test_charts.chart import NAMESPACE, ROOT, SETS, Object, objects, pods, values_of

pytestmark = [pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="module")]

LEVELS = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
NOT_INSTALLED = ("postgresql.cnpg.io/", "gateway.networking.k8s.io/", "monitoring.coreos.com/")
"""Kinds whose CRDs are others'; what is said of them stands in the golden files alone."""


class Kubectl:
    """kubectl against one API; a warning counts as a refusal."""

    def __init__(self, server: ApiServer) -> None:
        self._words = [str(server.kubectl), f"--kubeconfig={server.kubeconfig()}", "--warnings-as-errors"]

    async def __call__(self, *words: str | Path, stdin: str = "") -> tuple[int, str]:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *self._words, *words, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.STDOUT
        )
        said, _ = await process.communicate(stdin.encode())
        return process.returncode or 0, said.decode()

    async def dry_run(self, verb: Sequence[str], found: Iterable[Object]) -> tuple[int, str]:
        items = {"apiVersion": "v1", "kind": "List", "items": list(found)}
        return await self(*verb, "--dry-run=server", "-f", "-", stdin=json.dumps(items))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def kubectl() -> AsyncIterator[Kubectl]:
    async with api_server() as server:
        async with Client(from_kubeconfig([server.kubeconfig()]), "tests") as admin:
            for namespace in (NAMESPACE, "shop", "parrilla"):
                await admin.create(NAMESPACES, {"metadata": {"name": namespace, "labels": LEVELS}})
        ask = Kubectl(server)
        status, said = await ask("create", "-f", ROOT / "crds")
        assert status == 0, said
        status, said = await ask("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
        assert status == 0, said
        yield ask


@pytest.mark.parametrize("name", SETS)
async def test_the_api_takes_each_object_of_a_set_without_a_warning(kubectl: Kubectl, name: str) -> None:
    found = [each for each in objects(values_of(name)) if not each["apiVersion"].startswith(NOT_INSTALLED)]
    status, said = await kubectl.dry_run(["apply", "--server-side", "--force-conflicts"], found)
    assert status == 0, said
    assert said.count("serverside-applied") == len(found)


@pytest.mark.parametrize("name", SETS)
async def test_each_pod_of_a_set_is_restricted_and_nothing_is_said_against_it(kubectl: Kubectl, name: str) -> None:
    found = [pod for _, pod in pods(objects(values_of(name)))]
    for pod in found:
        pod["spec"].pop("priorityClassName", None)  # a class that this cluster does not have
    status, said = await kubectl.dry_run(["create"], found)
    assert status == 0, said


BROKEN: dict[str, Object] = {
    "runs as root": {"runAsUser": 0, "runAsNonRoot": False},
    "no seccomp profile": {"seccompProfile": None},
}


@pytest.mark.parametrize("case", BROKEN)
async def test_the_namespace_does_refuse_what_is_not_restricted(kubectl: Kubectl, case: str) -> None:
    pod = dict(pods(objects()))["comanda-router"]
    pod["spec"]["securityContext"] |= BROKEN[case]
    status, said = await kubectl.dry_run(["create"], [pod])
    assert status != 0
    assert "violates PodSecurity" in said


@pytest.mark.parametrize("name", SETS)
async def test_pods_are_held_to_more_than_restricted(name: str) -> None:
    with_token = {"comanda-operator", "comanda-router", "comanda-startup"}
    for workload, pod in pods(objects(values_of(name))):
        spec = pod["spec"]
        (container,) = spec["containers"]
        assert spec["securityContext"]["runAsUser"] > 10_000
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert (spec.get("automountServiceAccountToken") is not False) is (workload in with_token)
        assert ("serviceAccountName" in spec) is (workload in with_token)
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
        assert "memory" in container["resources"]["limits"]
        for volume in spec["volumes"]:
            assert "sizeLimit" in volume.get("emptyDir", {"sizeLimit": ""}), volume
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
