from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from tests.cluster import ApiServer, api_server
from tests.cluster.processes import Process
from tests.harness import until


async def ask(server: ApiServer, path: str, *, token: str = "", **body: Any) -> tuple[int, Any]:
    """GET, or POST when there is a body; as the administrator unless a token is given."""
    headers = {"Authorization": f"Bearer {token or server.token()}"}
    method = "POST" if body else "GET"
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.request(method, server.url + path, json=body or None, ssl=server.trust) as answer,
    ):
        return answer.status, await answer.json()


async def test_kubernetes_is_of_the_pinned_version(apiserver: ApiServer) -> None:
    _, version = await ask(apiserver, "/version")
    assert version["gitVersion"].startswith("v1.35.")


async def test_several_run_side_by_side_and_know_nothing_of_each_other(apiserver: ApiServer, namespace: str) -> None:
    async with api_server() as other:
        assert (await ask(apiserver, f"/api/v1/namespaces/{namespace}"))[0] == 200
        assert (await ask(other, f"/api/v1/namespaces/{namespace}"))[0] == 404
        assert (await ask(other, "/version", token=apiserver.token()))[0] == 401


async def test_who_has_no_role_may_do_nothing_and_everything_is_audited(tmp_path: Path) -> None:
    server = ApiServer(tmp_path)
    token = server.add_user("somebody")
    try:
        await server.start()
        assert (await ask(server, "/api/v1/secrets", token=token))[0] == 403
    finally:
        server.stop()
    entry = next(entry for entry in server.audit() if entry["user"]["username"] == "somebody")
    assert (entry["verb"], entry["objectRef"]["resource"]) == ("list", "secrets")
    assert entry["responseStatus"]["code"] == 403


async def test_what_was_written_survives_the_killing_of_both_processes() -> None:
    async with api_server() as server:
        namespace = await server.create_namespace()
        server.api.kill()
        server.etcd.kill()
        await server.start()
        assert (await ask(server, f"/api/v1/namespaces/{namespace}"))[0] == 200


async def test_a_frozen_api_answers_when_it_is_thawed(apiserver: ApiServer) -> None:
    apiserver.api.freeze()
    try:
        await until(lambda: psutil.Process(apiserver.api.pid).status() == psutil.STATUS_STOPPED)
        asking = asyncio.create_task(ask(apiserver, "/version"))
        assert not (await asyncio.wait({asking}, timeout=0.2))[0]
    finally:
        apiserver.api.thaw()
    assert (await asking)[0] == 200


async def test_an_erased_namespace_is_gone_with_all_that_was_in_it(apiserver: ApiServer) -> None:
    namespace = await apiserver.create_namespace()
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    metadata = {"name": "stubborn", "finalizers": ["tests.comanda.dev/never"]}
    assert (await ask(apiserver, path, metadata=metadata))[0] == 201
    await apiserver.erase(namespace)

    async def gone() -> bool:
        listed = await ask(apiserver, path)
        return (await ask(apiserver, f"/api/v1/namespaces/{namespace}"))[0] == 404 and listed[1]["items"] == []

    await until(gone)


async def test_a_process_that_ignores_being_asked_is_killed(tmp_path: Path) -> None:
    script = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
    )
    process = Process([sys.executable, "-c", script], tmp_path)
    process.start()
    await until(lambda: "up" in process.log_tail())
    await asyncio.to_thread(process.stop, 0.1)
    assert process.pid is None


async def test_nothing_outlives_a_test_run_that_was_killed(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from tests.cluster.processes import Process\n"
        f"p = Process(['sleep', '600'], Path({str(tmp_path)!r})); p.start(); print(p.pid, flush=True); time.sleep(600)"
    )
    run = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE)
    assert run.stdout is not None
    child = int(await run.stdout.readline())
    assert psutil.pid_exists(child)
    run.send_signal(signal.SIGKILL)
    await run.wait()
    await until(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE)
