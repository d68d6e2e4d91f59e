"""Two replicas restart again and again under load, and no client notices; COMANDA_ROLLING_RESTARTS=100 is a long run.

As with a Kubernetes Service, a client asks for a replica when it connects, and is sent to one whose readiness has been
seen; a connection stays where it is. A restart is what a rolling update does: the new replica is started and becomes
ready, then the old one gets SIGTERM and has to end with 0.

What counts as a failure is strict. A client that has written one byte of a request must get the whole answer, with
status 200, on that connection: nothing is ever repeated. Being refused when it connects is a failure too. After an
answer with `Connection: close` it makes a new connection, as HTTP says; and it does so when it sees, before it writes,
that the server has closed a connection that was idle.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from pathlib import Path

import msgspec
import pytest

from comanda_contract.names import group_key
from tests.harness import APP_SECRET, VERIFY_TOKEN, change, serving, text_message, until, webhook
from tests.test_router.conftest import GROUPS, MASTER_KEY, RecordingPod, write_app, write_directory
from tests.test_router.processes import RouterProcess, request_of, running_router
from tests.test_router.test_server import free_ports

RESTARTS = int(os.environ.get("COMANDA_ROLLING_RESTARTS", "20"))
CLIENTS = 200
THINK_SECONDS = 0.4
"""From a client's answer to its next request: the load is constant, and each writes once while a replica drains."""
DRAIN_SECONDS = 1.5
PROBE_SECONDS = 0.1


class Service:
    """Knows which replicas are ready, as far as it has heard, and deals new connections to them in turn."""

    def __init__(self) -> None:
        self.replicas: list[RouterProcess] = []
        self._ready: list[RouterProcess] = []
        self._turns = count()

    def choose(self) -> int:
        """Return the port of a replica that was ready when it was last asked."""
        return self._ready[next(self._turns) % len(self._ready)].port

    def knows(self, replica: RouterProcess) -> bool:
        return replica in self._ready

    async def probe(self) -> None:
        """Ask every replica for its readiness, again and again."""
        while True:
            self._ready = [replica for replica in list(self.replicas) if await replica.is_ready()]
            await asyncio.sleep(PROBE_SECONDS)


class StrictClient:
    """One keep-alive connection at a time; see the module for what it puts up with."""

    def __init__(self, service: Service, tally: Tally) -> None:
        self._service = service
        self._tally = tally
        self._port = 0
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def post(self, wamid: str) -> None:
        """Post one webhook and note what became of it."""
        document = webhook(change("22", messages=[text_message(wamid)]))
        try:
            head = await self._ask(request_of(msgspec.json.encode(document)))
        except (OSError, asyncio.IncompleteReadError) as error:
            self._tally.failures.append(f"{wamid} at port {self._port}: {error!r}")
            self.close()
            return
        if not head.startswith(b"HTTP/1.1 200 "):
            self._tally.failures.append(f"{wamid} at port {self._port}: {head!r}")
        else:
            self._tally.acknowledged.append(wamid)
        self._tally.served[self._port] += 1
        if b"\r\nconnection: close\r\n" in head.lower():
            self._tally.told_to_close += 1
            self.close()

    async def _ask(self, request: bytes) -> bytes:
        if self._reader is not None and self._reader.at_eof():
            self._tally.closed_idle += 1
            self.close()
        if self._reader is None or self._writer is None:
            self._port = self._service.choose()
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        await self._reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))
        return head

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None


class Tally:
    """What all clients saw."""

    def __init__(self) -> None:
        self.acknowledged: list[str] = []
        self.failures: list[str] = []
        self.served: Counter[int] = Counter()
        """Answers by port."""
        self.told_to_close = 0
        self.closed_idle = 0


@asynccontextmanager
async def recording_pods(folder: Path) -> AsyncIterator[list[RecordingPod]]:
    """Give the pods, with the files that a router needs to find them."""
    write_app(folder, "default", appSecret=APP_SECRET, verifyToken=VERIFY_TOKEN)
    pods: dict[str, RecordingPod] = {}
    async with AsyncExitStack() as stack:
        for group, names in GROUPS.items():
            key = group_key(bytes.fromhex(MASTER_KEY), group, f"uid-{group}")
            for name in names:
                pod = pods[name] = RecordingPod(name)
                pod.url = await stack.enter_async_context(serving(pod.app(key)))
        write_directory(folder, pods, {})
        yield list(pods.values())


@asynccontextmanager
async def loading(service: Service, tally: Tally) -> AsyncIterator[None]:
    """Let every client write at its pace meanwhile; at the end each gets its last answer."""
    wamids, stopping = count(), asyncio.Event()

    async def write(client: StrictClient) -> None:
        while not stopping.is_set():
            await client.post(f"w{next(wamids)}")
            await asyncio.sleep(THINK_SECONDS)
        client.close()

    clients = [asyncio.create_task(write(StrictClient(service, tally))) for _ in range(CLIENTS)]
    try:
        yield
    finally:
        stopping.set()
        await asyncio.gather(*clients)


@pytest.mark.timeout(60 + 20 * RESTARTS)
async def test_nobody_notices_that_replicas_restart(tmp_path: Path) -> None:
    service, tally = Service(), Tally()
    async with AsyncExitStack() as stack:
        pods = await stack.enter_async_context(recording_pods(tmp_path))
        lives = [await start(stack, tmp_path) for _ in range(2)]
        service.replicas = lives[:]
        probing = asyncio.create_task(service.probe())
        await until(lambda: all(map(service.knows, lives)))
        async with loading(service, tally):
            for _ in range(RESTARTS):
                fresh = await start(stack, tmp_path)
                service.replicas.append(fresh)
                await until(lambda: service.knows(fresh))  # noqa: B023 - looked at before the loop goes on
                old = service.replicas[0]
                assert await old.stop() == 0
                service.replicas.remove(old)
                lives.append(fresh)
                assert tally.failures == []
            # Whoever lives to the end has had its share too.
            await until(lambda: all(tally.served[each.port] for each in lives))
        probing.cancel()
    stored = Counter(key for pod in pods for key in pod.keys)
    assert tally.failures == []
    assert stored == Counter(tally.acknowledged)
    assert max(stored.values()) == 1
    assert tally.told_to_close >= RESTARTS


async def start(stack: AsyncExitStack, folder: Path) -> RouterProcess:
    """Start a replica on ports of its own."""
    port, health = free_ports(2)
    router = running_router(folder, port, health, DRAIN_SECONDS=str(DRAIN_SECONDS))
    return await stack.enter_async_context(router)
