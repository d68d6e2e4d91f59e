"""The last step of an installation, with the chart's rights on a real API: it waits for a pool and says why."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
import pytest_asyncio

from comanda_kube.resources import SERVICE_ACCOUNTS
from comanda_operator.reconcile import POOLS
from tests.cluster import FaultProxy
from tests.harness import until
from tests.test_charts.chart import objects, pick, pods
from tests.test_operator.cluster import HOME, ROLE_BINDINGS, ROLES, Cluster, cluster, new_token

pytestmark = pytest.mark.asyncio(loop_scope="module")

KINDS = {"ServiceAccount": SERVICE_ACCOUNTS, "Role": ROLES, "RoleBinding": ROLE_BINDINGS}
NAME = "comanda-startup"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    async with cluster(tmp_path_factory.mktemp("cluster")) as made:
        chart = objects()
        for kind, resource in KINDS.items():
            body = pick(chart, kind, NAME)
            assert body["metadata"]["namespace"] == HOME
            await made.admin.apply(resource, body)
        yield made


class Startup:
    """One run of the step."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.said: list[dict[str, Any]] = []
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.said.append(json.loads(line))

    async def says(self, message: str) -> None:
        await until(lambda: any(each.get("message") == message for each in self.said), 30, message)

    async def ends(self) -> int:
        code = await asyncio.wait_for(self.process.wait(), 60)
        await self._reading
        return code


async def startup(site: Cluster, *options: str, port: int | None = None) -> Startup:
    """Start the command of the chart's job, with the token of its account; options come last and so win."""
    environment = {
        **os.environ,
        "KUBECONFIG": str(site.server.kubeconfig(port, token=await new_token(site.admin, NAME))),
    }
    command = [*command_of_the_chart()[1:], *options]
    return Startup(
        await asyncio.create_subprocess_exec(sys.executable, *command, stderr=asyncio.subprocess.PIPE, env=environment)
    )


def command_of_the_chart() -> Sequence[str]:
    command: Sequence[str] = dict(pods(objects()))[NAME]["spec"]["containers"][0]["command"]
    return command


async def pool_is(site: Cluster, status: str, message: str, *, generation: int | None = None) -> None:
    """Give the pool a condition Ready, as the operator does."""
    found = await site.get(POOLS, HOME, "default")
    ready = {
        "type": "Ready",
        "status": status,
        "reason": "Any",
        "message": message,
        "lastTransitionTime": "2026-11-29T12:00:00Z",
        "observedGeneration": found["metadata"]["generation"] if generation is None else generation,
    }
    body = {"metadata": {"namespace": HOME, "name": "default"}, "status": {"conditions": [ready]}}
    await site.admin.apply_status(POOLS, body)


async def test_it_waits_until_the_pool_serves_and_says_what_it_waits_for(site: Cluster) -> None:
    running = await startup(site)
    await running.says("There is no such BotPool.")
    await site.pool()
    await running.says("The operator has not come to it yet.")
    await pool_is(site, "False", "None of 2 pods is ready.")
    await running.says("None of 2 pods is ready.")
    await pool_is(site, "True", "1 of 2 pods are ready.")
    assert await running.ends() == 0
    assert running.said[-1]["event"] == "pool_serves"


async def test_what_was_ready_before_an_edit_does_not_count(site: Cluster) -> None:
    await site.pool()
    await pool_is(site, "True", "2 of 2 pods are ready.", generation=0)
    running = await startup(site, "--seconds=6")
    assert await running.ends() == 1
    assert running.said[-1]["message"] == "The operator has not come to it yet."


async def test_a_pool_that_never_serves_fails_the_installation_with_the_reason(site: Cluster) -> None:
    await site.pool()
    await pool_is(site, "False", "None of 2 pods is ready.")
    running = await startup(site, "--seconds=6")
    assert await running.ends() == 1
    assert running.said[-1]["event"] == "pool_does_not_serve"
    assert running.said[-1]["message"] == "None of 2 pods is ready."


async def test_it_may_ask_for_its_own_pool_alone(site: Cluster) -> None:
    environment = {**os.environ, "KUBECONFIG": str(site.server.kubeconfig(token=await new_token(site.admin, NAME)))}
    other = ["-m", "comanda_operator.startup", "other", f"--namespace={HOME}"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *other, stderr=asyncio.subprocess.PIPE, env=environment
    )
    _, said = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 2
    assert json.loads(said.splitlines()[-1])["event"] == "pool_not_asked"


async def test_an_api_that_is_away_is_asked_again(site: Cluster) -> None:
    await site.pool()
    await pool_is(site, "True", "2 of 2 pods are ready.")
    async with FaultProxy(site.server.port) as proxy:
        await proxy.refuse()
        running = await startup(site, port=proxy.port)
        await until(lambda: bool(running.said), 40, "it says that it waits")
        assert running.said[0]["event"] == "pool_not_ready"
        await proxy.accept()
        assert await running.ends() == 0
