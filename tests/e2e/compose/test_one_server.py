"""One server without Kubernetes: the compose file as its page says, with images of this checkout."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import aiohttp
import pytest
from tools.images import ROOT

from comanda_cli.local.processes import free_port
from tests.e2e.customers import Customers
from tests.e2e.world import DEMO_TENANTS, NAPOLI
from tests.harness import until
from tests.kind.engine import Engine, needed, run
from tests.kind.images import REGISTRY, TAG, comanda_images, postgres_image

pytestmark = pytest.mark.timeout(1800)

Compose = Callable[..., str]


@pytest.fixture
def compose(tmp_path: Path, engine: Engine) -> Iterator[tuple[Compose, int]]:
    """`docker-compose` for a folder of tenants, and the port of the simulator; all of it is gone at the end."""
    tenants = tmp_path / "tenants"
    shutil.copytree(DEMO_TENANTS, tenants)
    for path in (tmp_path, tenants, *tenants.iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)
    chat = free_port()
    told = {
        "POSTGRES_PASSWORD": "one",
        "OWNER_PASSWORD": "two",
        "SERVICE_PASSWORD": "three",
        "COMANDA_TENANTS": str(tenants),
        "COMANDA_GRAPH_URL": "",
        "COMANDA_IMAGES": f"{REGISTRY}/",
        "COMANDA_VERSION": TAG,
        "COMANDA_PORT": str(free_port()),
        "COMANDA_CHAT_PORT": str(chat),
    }
    env = tmp_path / ".env"
    env.write_text("".join(f"{name}={value}\n" for name, value in told.items()))
    comanda_images(engine, ["migrate"])
    environment = {**engine.environment, "POSTGRES_IMAGE": postgres_image(engine)}
    file = ROOT / "compose" / "compose.yaml"
    command = [needed("docker-compose"), "--project-name=comanda-tests", f"--file={file}", f"--env-file={env}"]

    def call(*words: str) -> str:
        return run([*command, *words], environment, seconds=300)

    try:
        yield call, chat
    finally:
        call("down", "--volumes", "--timeout=30")


async def test_a_restaurant_takes_orders_and_they_outlive_its_containers(compose: tuple[Compose, int]) -> None:
    call, chat = compose
    await asyncio.to_thread(call, "up", "--detach")
    async with aiohttp.ClientSession() as session:
        customers = Customers(session=session, simulator=f"http://127.0.0.1:{chat}")

        async def answers() -> bool:
            try:
                await customers.stats()
            except aiohttp.ClientError:
                return False
            return True

        await until(answers, 120, "the simulator answers")
        await customers.order(NAPOLI)
        await asyncio.to_thread(call, "up", "--detach", "--force-recreate", "--timeout=60")
        await until(answers, 120, "the simulator answers again")
        await customers.order(NAPOLI)
    counted = ["psql", "--username=postgres", "--dbname=comanda", "--no-align", "--tuples-only"]
    said = await asyncio.to_thread(call, "exec", "-T", "database", *counted, "--command=select count(*) from orders")
    assert said.strip() == "2"
