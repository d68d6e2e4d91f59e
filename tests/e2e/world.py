"""The whole product on this machine: `comanda up` as a process, Meta's side as a server of the test's own.

Meta's side outlives the product here, so that both may be stopped, killed and started again and the ledger still knows
every webhook and every send.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from comanda_cli.customer import Customer, Say
from comanda_cli.folder import Folder
from comanda_cli.local.mounts import simulator_config
from comanda_cli.local.processes import free_port
from comanda_cli.orders import order_rows
from comanda_operator.plan import plan
from comanda_simulator.app import create_app
from comanda_simulator.config import Settings, SimulatorConfig
from tests.harness import serving, sign, until

DEMO_TENANTS = Path(__file__).parents[2] / "cli" / "comanda_cli" / "demo_tenants"
NAPOLI, FAROL, PARRILLA = "106540352242922", "106540352242933", "106540352242944"
APP_SECRET = "demo-app-secret"
ORDER_STEPS = (Say("Hola, quiero 2 margarita y 1 coca cola"), Say("retiro"), Say("sí"))
ORDER_TOTAL = 2 * 8990 + 2490


@dataclass
class Running:
    """One run of `comanda up`: its events so far."""

    process: asyncio.subprocess.Process
    events: list[dict[str, Any]] = field(default_factory=list)
    stderr: list[str] = field(default_factory=list)

    def named(self, event: str) -> list[dict[str, Any]]:
        return [each for each in self.events if each["event"] == event]

    def pid_of(self, name: str) -> int:
        return int(next(each["pid"] for each in reversed(self.events) if each.get("process") == name and "pid" in each))

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        if self.process.returncode is None:
            self.process.send_signal(number)
        return await asyncio.wait_for(self.process.wait(), 60)


@dataclass
class World:
    """Folder, data, ports, Meta's side and a client; `up` starts the product."""

    folder: Path
    data_dir: Path
    router_port: int
    graph_url: str
    session: aiohttp.ClientSession
    runs: list[Running] = field(default_factory=list)

    @property
    def router_url(self) -> str:
        return f"http://127.0.0.1:{self.router_port}"

    async def up(self, *options: str, wait: bool = True) -> Running:
        """Start `comanda up`, with more options; with `wait`, until it says that it is ready."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "comanda_cli.app", "up",
            "-f", str(self.folder), "--data-dir", str(self.data_dir),
            "--router-port", str(self.router_port), "--graph-url", self.graph_url, "--output", "json", *options,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        running = Running(process)
        self.runs.append(running)
        running.readers = [  # type: ignore[attr-defined]  # kept alive with the run
            asyncio.create_task(_read_events(process, running.events)),
            asyncio.create_task(_read_lines(process, running.stderr)),
        ]
        if wait:
            await until(lambda: bool(running.named("ready")) or process.returncode is not None, 60, "ready")
            assert process.returncode is None, running.events + running.stderr
        return running

    def customer(self, phone: str, number: str = NAPOLI, name: str = "Ana") -> Customer:
        return Customer(
            self.session, self.graph_url, phone_number_id=number, phone=phone, name=name, patience_seconds=60
        )

    async def order(self, phone: str, number: str = NAPOLI) -> None:
        """Let a customer order two margaritas and a coke, to pick up."""
        customer = self.customer(phone, number)
        for step in ORDER_STEPS:
            await customer.do(step)

    async def post(self, document: Any) -> int:
        """Post one signed webhook; returns the HTTP status, 0 when the connection broke."""
        body = document if isinstance(document, bytes) else msgspec.json.encode(document)
        headers = {"X-Hub-Signature-256": sign(body, APP_SECRET)}
        try:
            async with self.session.post(f"{self.router_url}/webhook", data=body, headers=headers) as response:
                return response.status
        except aiohttp.ClientError:
            return 0

    def post_at_once(self, documents: list[Any]) -> list[int]:
        """Post webhooks on a connection each, in this order, none waiting for the answer to another. Blocks.

        Each request is written in one piece, so that the router can read the requests in the order they were written.
        """
        connections = [http.client.HTTPConnection("127.0.0.1", self.router_port, timeout=30) for _ in documents]
        # The router has accepted each connection before the race begins. The one that is closed again makes sure that
        # it has waited for news once more since: epoll reports a connection that it still has on its list first.
        closed = http.client.HTTPConnection("127.0.0.1", self.router_port, timeout=30)
        for connection in (*connections, closed):
            connection.request("GET", "/healthz")
            connection.getresponse().read()
        closed.close()
        for connection, document in zip(connections, documents, strict=True):
            body = msgspec.json.encode(document)
            head = f"POST /webhook HTTP/1.1\r\nHost: router\r\nContent-Length: {len(body)}\r\n"
            connection.sock.sendall(f"{head}X-Hub-Signature-256: {sign(body, APP_SECRET)}\r\n\r\n".encode() + body)
        return [_status(connection) for connection in connections]

    async def post_until_taken(self, document: Any) -> None:
        """Post as Meta does: again and again until the answer is 200."""

        async def taken() -> bool:
            return await self.post(document) == 200

        await until(taken, 30, "the webhook is taken")

    async def let_write(self, phone: str, text: str, number: str = NAPOLI, *, acked: bool = True) -> str:
        """Let a customer write through Meta's side; returns the wamid, once it was acknowledged."""
        message = {"type": "text", "text": {"body": text}}
        body = {"phone_number_id": number, "from": phone, "name": "Ana", "message": message}
        wait = "?wait=acked&timeout=30" if acked else ""
        async with self.session.post(f"{self.graph_url}/simulator/messages{wait}", json=body) as response:
            answer = await response.json()
        assert answer.get("acked", not acked) is acked or not acked
        return str(answer["wamid"])

    async def faults(self, **faults: Any) -> None:
        async with self.session.put(f"{self.graph_url}/simulator/faults", json=faults) as response:
            assert response.status == 200, await response.text()

    async def replies(self, phone: str = "", number: str = "") -> list[dict[str, Any]]:
        """Return the sends that Meta accepted, in order."""
        params = {"after": "0", "direction": "out", "customer": phone, "phone_number_id": number}
        async with self.session.get(f"{self.graph_url}/simulator/ledger", params=params) as response:
            entries: list[dict[str, Any]] = await response.json()
            return entries

    async def count_replies(self, count: int, phone: str = "", number: str = "", seconds: float = 30) -> None:
        """Wait until so many replies have been accepted, and hold that there are no more."""

        async def enough() -> bool:
            return len(await self.replies(phone, number)) >= count

        await until(enough, seconds, f"{count} replies")
        assert len(await self.replies(phone, number)) == count

    def orders(self, tenant: str | None = None) -> list[dict[str, Any]]:
        return order_rows(self.data_dir, tenant)


def _status(connection: http.client.HTTPConnection) -> int:
    response = http.client.HTTPResponse(connection.sock, method="POST")
    response.begin()
    response.read()
    connection.close()
    return response.status


async def _read_events(process: asyncio.subprocess.Process, events: list[dict[str, Any]]) -> None:
    assert process.stdout is not None
    while line := await process.stdout.readline():
        events.append(json.loads(line))


async def _read_lines(process: asyncio.subprocess.Process, lines: list[str]) -> None:
    assert process.stderr is not None
    while line := await process.stderr.readline():
        lines.append(line.decode())


@asynccontextmanager
async def world_in(path: Path, **settings: Any) -> AsyncIterator[World]:
    """Make a world with the demo's three restaurants; ends whatever of it still runs."""
    folder = path / "tenants"
    shutil.copytree(DEMO_TENANTS, folder)
    port = free_port()
    meta = meta_config(folder, port, **settings)
    async with serving(create_app(meta)) as graph_url, aiohttp.ClientSession() as session:
        world = World(folder, path / "data", port, graph_url, session)
        try:
            yield world
        finally:
            for running in world.runs:
                await running.stop()
                await asyncio.gather(*running.readers)  # type: ignore[attr-defined]


def meta_config(folder: Path, router_port: int, **settings: Any) -> SimulatorConfig:
    """Return Meta's side for a folder of tenants: its apps and numbers, impatient with retries."""
    contents = Folder(folder).read()
    config = simulator_config(
        plan(contents.observed()), contents.secret_values(), f"http://127.0.0.1:{router_port}/webhook"
    )
    quick = {"retry_base_seconds": 0.1, "retry_max_seconds": 0.5, "webhook_timeout_seconds": 6.0} | settings
    return msgspec.structs.replace(config, settings=Settings(**quick))


def kill(pid: int) -> None:
    """End a process as a power cut would."""
    os.kill(pid, signal.SIGKILL)
