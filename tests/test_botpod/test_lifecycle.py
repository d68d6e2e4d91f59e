"""How a pod says that it cannot start, and what it says of itself while something that it needs is away."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from comanda_cli.local.processes import free_port
from comanda_store import StorageError
from comanda_store.erase import ORDER
from comanda_store.postgres.migrate import migrate
from tests.harness import text_message, until
from tests.postgres.server import SERVICE, PostgresServer
from tests.test_botpod.conftest import GROUP_KEY, PHONE, PodUnderTest, tenant


async def status(pod: PodUnderTest) -> int:
    async with pod.session.get(f"{pod.url}/readyz") as response:
        return response.status


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        (
            {"DATABASE_URL": "postgresql://u:canary-password@127.0.0.1:9/x", "DATABASE_WAIT_SECONDS": "0"},
            "cannot be reached",
        ),
        ({"DATABASE_URL": "mysql://u:canary-password@127.0.0.1/x"}, "neither SQLite nor PostgreSQL"),
        ({"RATES_FILE": "/dev/null"}, "the columns must be"),
    ],
)
async def test_a_pod_that_cannot_start_says_why_in_a_sentence(
    tmp_path: Path, settings: dict[str, str], word: str
) -> None:
    base = {
        "POD": "pod-0",
        "TENANTS_DIR": str(tmp_path),
        "CREDENTIALS_DIR": str(tmp_path),
        "GROUP_KEY": GROUP_KEY,
        "DATABASE_URL": f"sqlite+pysqlite:///{tmp_path}/c.db",
    }
    environment = os.environ | {f"COMANDA_BOTPOD_{name}": value for name, value in (base | settings).items()}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "comanda_botpod", env=environment, stderr=asyncio.subprocess.PIPE
    )
    _, said = await asyncio.wait_for(process.communicate(), 60)
    told = json.loads(said.splitlines()[0])
    assert process.returncode not in {0, None}
    assert told["event"] == "pod_not_started"
    assert word in told["message"]
    assert told["hint"]
    assert b"Traceback" not in said
    assert b"canary" not in said


async def test_a_pod_waits_for_a_database_that_is_migrated_beside_it(tmp_path: Path, postgres: PostgresServer) -> None:
    urls = await postgres.new_database(template="template1")
    settings = {
        "POD": "pod-0",
        "PORT": str(free_port()),
        "METRICS_PORT": str(free_port()),
        "TENANTS_DIR": str(tmp_path),
        "CREDENTIALS_DIR": str(tmp_path),
        "GROUP_KEY": GROUP_KEY,
        "DATABASE_URL": urls.service,
        "DATABASE_WAIT_SECONDS": "120",
    }
    environment = os.environ | {f"COMANDA_BOTPOD_{name}": value for name, value in settings.items()}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "comanda_botpod", env=environment, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    try:
        told = json.loads(await asyncio.wait_for(process.stderr.readline(), 60))
        assert (told["event"], told["code"]) == ("database_awaited", "storage")
        assert "schema is empty" in told["message"]
        await migrate(urls.owner, SERVICE)
        while told["event"] == "database_awaited":
            told = json.loads(await asyncio.wait_for(process.stderr.readline(), 60))
        assert told["event"] == "pod_started"
    finally:
        process.terminate()
        await process.communicate()


@pytest.mark.parametrize("error", [StorageError("away"), RuntimeError("never expected")])
async def test_a_pod_whose_heartbeat_fails_is_not_ready_until_it_beats_again(
    pod: PodUnderTest, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    assert await status(pod) == 200
    store = pod.pod._store
    beaten = 0

    async def fails() -> None:
        nonlocal beaten
        beaten += 1
        raise error

    with monkeypatch.context() as away:
        away.setattr(store, "heartbeat", fails)
        await until(lambda: beaten > 0)
        # Meanwhile the other background work goes well, many times; that makes the pod no readier.
        before = pod.pod.tenants.loaded
        pod.write("tenants/shard-01.json", b'{"tenants": []}')
        await until(lambda: pod.pod.tenants.loaded != before)
        assert await status(pod) == 503
        await until(lambda: beaten > 1, what="it is tried again")

    async def ready() -> bool:
        return await status(pod) == 200

    await until(ready)
    assert await pod.write_items(text_message("w1")) == ["stored"]
    await pod.count_replies(1)


async def test_tenants_that_changed_while_the_database_was_away_are_published_when_it_is_back(
    pod: PodUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = pod.pod._store
    tried = asyncio.Event()

    async def fails(*_: object) -> None:
        tried.set()
        raise StorageError("away")

    with monkeypatch.context() as away:
        away.setattr(store, "publish", fails)
        pod.mount(tenant(), tenant("10000077"))
        await asyncio.wait_for(tried.wait(), 30)
    kept = "SELECT count(*) FROM tenants WHERE phone_number_id = '10000077'"
    await pod.sql_gives(kept, [(1,)])


async def test_a_pod_says_which_shards_it_has_loaded_by_a_digest_that_others_can_make(pod: PodUnderTest) -> None:
    assert await pod.has_loaded()
    before = await pod.shards()
    pod.mount(tenant(), tenant("10000022"))
    await until(pod.has_loaded)
    assert await pod.shards() != before
    pod.write("tenants/shard-01.json", b'{"tenants": []}')
    assert "shard-01" not in await pod.shards(), "half of a shard is none"


async def test_a_tenant_that_is_to_be_erased_is_before_the_pod_says_so(make_pod: Callable[..., Any]) -> None:
    gone, stays = tenant(), tenant("10000022")
    pods: list[PodUnderTest] = [await make_pod(gone, stays, name=name) for name in ("pod-0", "pod-1")]
    for number in ("10000011", "10000022"):
        for index in range(5):
            await pods[index % 2].write_items(text_message(f"{number}-{index}", PHONE), number=number)
    await pods[0].count_replies(10)
    pods[0].mount(stays, erase=[gone])
    for pod in pods:
        await until(pod.has_loaded, what=f"{pod.url} has erased it")
    for table in ORDER:
        assert await pods[0].sql(f"SELECT count(*) FROM {table} WHERE tenant = '{gone.tenant}'") == [(0,)], table
    assert await pods[0].sql(f"SELECT count(*) FROM inbox WHERE tenant = '{stays.tenant}'") == [(5,)]
    pods[0].mount(gone, stays)
    await until(pods[0].has_loaded)
    assert await pods[0].write_items(text_message("again", PHONE)) == ["stored"]


async def test_a_tenant_that_is_served_is_never_erased(pod: PodUnderTest) -> None:
    await pod.write_items(text_message("w1", PHONE))
    await pod.count_replies(1)
    pod.mount(tenant(), erase=[tenant()])
    await until(pod.has_loaded)
    assert await pod.sql("SELECT count(*) FROM inbox") == [(1,)]
