"""Start, drain and end of routers as real processes; COMANDA_ROLLING_RESTARTS=100 makes the last test a long one."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import msgspec
import psutil
import pytest

from comanda_contract.names import group_key
from tests.harness import APP_SECRET, VERIFY_TOKEN, change, serving, text_message, until, webhook
from tests.test_router.conftest import GROUPS, MASTER_KEY, RecordingPod, write_app, write_directory
from tests.test_router.processes import KeepAliveClient, RouterProcess, get, running_router, start_router

RESTARTS = int(os.environ.get("COMANDA_ROLLING_RESTARTS", "4"))
CLIENTS = 50


@dataclass
class Site:
    """Pods, and the files that a router is given."""

    folder: Path
    pods: dict[str, RecordingPod] = field(default_factory=dict)

    @property
    def keys(self) -> list[str]:
        return [key for pod in self.pods.values() for key in pod.keys]


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    made = Site(tmp_path)
    write_app(tmp_path, "default", appSecret=APP_SECRET, verifyToken=VERIFY_TOKEN)
    async with AsyncExitStack() as stack:
        for group, names in GROUPS.items():
            key = group_key(bytes.fromhex(MASTER_KEY), group, f"uid-{group}")
            for name in names:
                pod = made.pods[name] = RecordingPod(name)
                pod.url = await stack.enter_async_context(serving(pod.app(key)))
        write_directory(tmp_path, made.pods, {})
        yield made


def body(wamid: str, number: str = "11") -> bytes:
    return msgspec.json.encode(webhook(change(number, messages=[text_message(wamid)])))


def free_ports(count: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


class TestHealth:
    async def test_it_has_a_port_of_its_own(self, site: Site) -> None:
        port, health = free_ports(2)
        async with running_router(site.folder, port, health, DRAIN_SECONDS="0"):
            for path in ("/healthz", "/readyz", "/metrics", "/admin/route/11"):
                assert (await get(health, path)).startswith(b"HTTP/1.1 200"), path
                assert (await get(port, path)).startswith(b"HTTP/1.1 404"), path

    async def test_a_port_in_use_is_said_in_a_sentence(self, site: Site) -> None:
        port, health, other = free_ports(3)
        async with running_router(site.folder, port, health):
            with pytest.raises(AssertionError, match="cannot_listen"):
                await start_router(site.folder, port, other)


class TestDrain:
    async def test_readiness_goes_first_and_what_is_under_way_is_finished(self, site: Site) -> None:
        port, health = free_ports(2)
        for pod in site.pods.values():
            pod.thawed = asyncio.Event()
        async with running_router(site.folder, port, health, DRAIN_SECONDS="60") as router:
            client = KeepAliveClient(port)
            under_way = asyncio.create_task(client.post(body("w1")))
            await until(lambda: any(pod.waiting for pod in site.pods.values()))
            router.process.terminate()

            async def unready() -> bool:
                return (await get(health, "/readyz")).startswith(b"HTTP/1.1 503")

            await until(unready)
            for pod in site.pods.values():
                assert pod.thawed is not None
                pod.thawed.set()
            assert await under_way == 200
            # The listener is still open, and each answer says that it is the last one.
            assert b"connection: close" in (await get(port, "/webhook")).lower()
            assert await client.post(body("w2")) == 200
            assert await client.post(body("w3")) == 200
            assert client.repeated == 0
            assert sorted(site.keys) == ["w1", "w2", "w3"]
            assert await router.stop() == 0  # a second signal does not wait for the sixty seconds

    async def test_it_ends_with_0_after_the_drain(self, site: Site) -> None:
        port, health = free_ports(2)
        async with running_router(site.folder, port, health, DRAIN_SECONDS="0.1") as router:
            client = KeepAliveClient(port)
            assert await client.post(body("w1")) == 200
            assert await router.stop() == 0
            client.close()


class TestWorkers:
    async def test_one_that_is_killed_is_started_again_and_all_end_with_0(self, site: Site) -> None:
        port, health = free_ports(2)
        async with running_router(site.folder, port, health, WORKERS="2", DRAIN_SECONDS="0.1") as router:
            wamids = (f"w{index}" for index in count())
            await self.post_some(port, wamids)
            first = {each.pid for each in psutil.Process(router.process.pid).children()}
            assert len(first) == 2
            os.kill(min(first), signal.SIGKILL)

            async def two_again() -> bool:
                now = {each.pid for each in psutil.Process(router.process.pid).children() if each.is_running()}
                return len(now) == 2 and now != first and await router.is_ready()

            await until(two_again, 30)
            await self.post_some(port, wamids)
            assert await router.stop() == 0

    async def test_the_parent_speaks_for_all(self, site: Site) -> None:
        port, health = free_ports(2)
        async with running_router(site.folder, port, health, WORKERS="2", DRAIN_SECONDS="0.1") as router:
            await self.post_some(port, (f"w{index}" for index in count()))
            answer = await get(health, "/metrics")
            served = [
                line for line in answer.decode().splitlines() if line.startswith("comanda_router_webhooks_total{")
            ]
            assert sum(float(line.rpartition(" ")[2]) for line in served) == 40
            assert all('worker="' in line and 'status="200"' in line for line in served)
            assert answer.count(b"# TYPE comanda_router_webhooks_total counter") == 1
            route = json.loads((await get(health, "/admin/route/11")).partition(b"\r\n\r\n")[2])
            assert route["pod"] in site.pods
            assert await router.stop() == 0

    async def test_they_end_with_their_parent(self, site: Site) -> None:
        port, health = free_ports(2)
        async with running_router(site.folder, port, health, WORKERS="2", DRAIN_SECONDS="0") as router:
            children = psutil.Process(router.process.pid).children()
            assert await router.stop(signal.SIGKILL) == -signal.SIGKILL
            await until(lambda: not any(each.is_running() for each in children), 30)

    async def post_some(self, port: int, wamids: object) -> None:
        clients = [KeepAliveClient(port) for _ in range(20)]
        for _ in range(2):
            bodies = [body(next(wamids)) for _ in clients]  # type: ignore[call-overload]
            answers = await asyncio.gather(*(client.post(each) for client, each in zip(clients, bodies, strict=True)))
            assert answers == [200] * len(clients)
        for client in clients:
            client.close()


@pytest.mark.timeout(60 + 15 * RESTARTS)
async def test_no_webhook_fails_while_two_replicas_restart_in_turn(site: Site) -> None:
    port, *health = free_ports(3)
    settings = {"REUSE_PORT": "true", "DRAIN_SECONDS": "0.5"}
    async with AsyncExitStack() as stack:
        replicas = [
            await stack.enter_async_context(running_router(site.folder, port, each, **settings)) for each in health
        ]
        clients = [KeepAliveClient(port) for _ in range(CLIENTS)]
        wamids, posted, stopping = count(), list[str](), asyncio.Event()

        async def keep_posting(client: KeepAliveClient) -> None:
            while not stopping.is_set():
                wamid = f"w{next(wamids)}"
                assert await client.post(body(wamid, "22")) == 200
                posted.append(wamid)

        load = [asyncio.create_task(keep_posting(client)) for client in clients]
        for restart in range(RESTARTS):
            served = len(posted)
            old: RouterProcess = replicas[restart % 2]
            assert await old.stop() == 0
            replicas[restart % 2] = await stack.enter_async_context(
                running_router(site.folder, port, old.health_port, **settings)
            )
            await until(lambda: len(posted) > served + CLIENTS)  # noqa: B023 - looked at before the loop goes on
            assert not any(task.done() for task in load)
        stopping.set()
        await asyncio.gather(*load)
        for client in clients:
            client.close()
        stored = site.keys
        assert len(stored) == len(set(stored))
        assert set(stored) == set(posted)
