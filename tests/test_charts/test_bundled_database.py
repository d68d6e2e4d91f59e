"""The bundled database's script and the chart's own commands, on a real PostgreSQL: after them, pods could connect."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import asyncpg
import pytest

from tests.postgres import PostgresServer, postgres_server
from tests.test_charts.chart import CHART, Object, objects, pods

PASSWORDS = {"OWNER_PASSWORD": "own'er \"$1", "SERVICE_PASSWORD": "ser;vice"}


def commands_of(pod: Object) -> list[str]:
    (container,) = pod["spec"]["containers"]
    found: list[str] = container["command"]
    return found


async def run(command: Sequence[str], environment: Mapping[str, str]) -> None:
    await asyncio.to_thread(subprocess.run, command, env=environment, check=True, timeout=60)


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """A server of this test's own: roles belong to all databases of one."""
    with postgres_server() as made:
        yield made


@pytest.mark.timeout(180)
async def test_the_script_makes_what_migrations_and_pods_need(server: PostgresServer) -> None:
    await server.accepts()
    environment = {
        **os.environ,
        **PASSWORDS,
        "PATH": f"{server.binaries}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PGHOST": "127.0.0.1",
        "PGPORT": str(server.port),
    }
    script = Path(CHART / "files" / "create-roles.sh")
    await run(["bash", "-eu", str(script)], environment)

    (job,) = [pod for name, pod in pods(objects()) if name.startswith("comanda-migrate")]
    url = f"postgresql://comanda_owner@127.0.0.1:{server.port}/comanda"
    program, *words = commands_of(job)
    command = [shutil.which(program, path=environment["PATH"]) or program, *words]
    await run(command, environment | {"COMANDA_DATABASE_OWNER_URL": url})

    pod = await asyncpg.connect(f"postgresql://comanda_service@127.0.0.1:{server.port}/comanda", timeout=10)
    try:
        assert await pod.fetchval("select count(*) from orders") == 0
        assert await pod.fetchval("select rolsuper or rolbypassrls from pg_roles where rolname = current_user") is False
        stored = "select rolpassword like 'SCRAM-SHA-256$%' from pg_authid where rolname = $1"
        superuser = await asyncpg.connect(f"postgresql://postgres@127.0.0.1:{server.port}/comanda", timeout=10)
        assert [await superuser.fetchval(stored, f"comanda_{role}") for role in ("owner", "service")] == [True, True]
        await superuser.close()
    finally:
        await pod.close()
