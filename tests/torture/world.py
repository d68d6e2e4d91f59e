"""Pods on one database, Meta's side, and customers who order, all writing down what they do."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import aiohttp
import msgspec
from aiohttp import web

from comanda_cli.local.processes import free_port
from comanda_contract.deliveries import Delivery, DeliveryBatch, decode_answers, encode_batch
from comanda_contract.names import DELIVERIES_PATH, READY_PATH
from comanda_contract.tenancy import CredentialShard, TenantSettings, TenantShard
from comanda_store.sqlite.engine import sqlite_url
from tests.cluster.processes import LEASH
from tests.harness import until
from tests.postgres import DatabaseUrls
from tests.test_botpod.conftest import RESTAURANT
from tests.torture.history import WAITING, History, Send, Webhook

GROUP_KEY = "33" * 32
NUMBERS = ("10000011", "10000022", "10000033")
ORDER = ("Hola, quiero 2 margarita y 1 coca cola", "retiro", "sí")
HASTE = ("Hola", "¿Hay alguien?")
"""What a customer writes in one breath before ordering; the second webhook leaves before the first."""
ORDER_TOTAL = 2 * 8990 + 2490
PATIENCE_SECONDS = 12.0
"""A customer who has no reply by then writes on all the same."""
LEASE_SECONDS, UNKNOWN_SECONDS = 2.0, 2.0
HEADERS = {"Authorization": f"Bearer {GROUP_KEY}", "Content-Type": "application/json"}


@dataclass
class Graph:
    """Meta's side: takes messages, keeps a list, and misbehaves as it is told. Probabilities are between 0 and 1."""

    history: History
    draw: random.Random
    down: bool = False
    slow_seconds: float = 0.0
    lose_answer: float = 0.0
    refuse: float = 0.0
    status_first: float = 0.0
    refusals: int = 0
    port: int = 0
    replied: dict[tuple[str, str], asyncio.Event] = field(default_factory=lambda: defaultdict(asyncio.Event))
    statuses: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """Statuses to be delivered, as (number, status)."""
    _wamids: int = 0

    async def handle(self, request: web.Request) -> web.Response:
        if self.down:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        body = json.loads(await request.read())
        number = request.match_info["number"]
        if body.get("status") == "read":
            return web.json_response({"success": True})
        if self.slow_seconds:
            await asyncio.sleep(self.slow_seconds * self.draw.random())
        if self.draw.random() < self.refuse:
            self.refusals += 1
            code = self.draw.choice((130429, 131056, 131000))
            return web.json_response({"error": {"code": code, "message": "later"}}, status=400)
        return await self._take(request, number, body)

    async def _take(self, request: web.Request, number: str, body: dict[str, Any]) -> web.Response:
        self._wamids += 1
        wamid = f"wamid.OUT{self._wamids:06}"
        phone = body["to"].removeprefix("+")
        tag = int(body["biz_opaque_callback_data"].rpartition(":")[2])
        token = request.headers["Authorization"].removeprefix("Bearer ")
        text = json.dumps({key: value for key, value in body.items() if key != "to"}, ensure_ascii=False)
        send = Send(tag, number, phone, token, text, time.monotonic())
        self.history.sends.append(send)
        self.replied[number, phone].set()
        for name in ("sent", "delivered"):
            status = {"id": wamid, "status": name, "timestamp": str(int(time.time())), "recipient_id": phone}
            self.statuses.append((number, status | {"biz_opaque_callback_data": body["biz_opaque_callback_data"]}))
        if self.draw.random() < self.status_first:
            await asyncio.sleep(0.05)  # long enough for the statuses to be there before the answer
        if self.draw.random() < self.lose_answer:
            send.lost = True
            assert request.transport is not None
            request.transport.abort()
        return web.json_response({"messaging_product": "whatsapp", "messages": [{"id": wamid}]})


@dataclass
class PodProcess:
    """A pod that may be killed, frozen and started again."""

    name: str
    environment: dict[str, str]
    log: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            command = [*LEASH, sys.executable, "-m", "comanda_botpod"]
            environment = {**os.environ, **self.environment}
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    def tell(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    async def end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)
        self.process.send_signal(number)
        # Meta's side lives in this process and must go on answering meanwhile.
        return await asyncio.to_thread(self.process.wait, 60)


@dataclass
class World:
    """Everything of one run; `enter` starts it."""

    folder: Path
    database: DatabaseUrls | None
    """None: SQLite in the folder."""
    seed: int
    pods: list[PodProcess] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    """More settings of the pods, without their prefix."""

    reorder: float = 0.0
    """How many customers' first two messages arrive in the other order, between 0 and 1."""

    def __post_init__(self) -> None:
        self.history = History(self.seed)
        self.draw = random.Random(self.seed)
        self.graph = Graph(self.history, self.draw)

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/{version}/{number}/messages", self.graph.handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        self.graph.port = free_port()
        await web.TCPSite(self._runner, "127.0.0.1", self.graph.port).start()
        timeout = aiohttp.ClientTimeout(total=8, connect=2)
        self.session = aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0))
        self._mount()
        self.pods = [self._pod(f"pool-{index}") for index in range(2)]
        for pod in self.pods:
            pod.start()
        for pod in self.pods:
            await self.ready(pod)
        self._statuses = asyncio.create_task(self._deliver_statuses())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._statuses.cancel()
        with suppress(asyncio.CancelledError):
            await self._statuses
        for pod in self.pods:
            if pod.process is not None and pod.process.poll() is None:
                await pod.end(signal.SIGKILL)
        await self.session.close()
        await self._runner.cleanup()

    def _mount(self) -> None:
        settings = [
            TenantSettings(
                tenant=f"shop/t{number}",
                phone_number_id=number,
                waba_id="2",
                display_name=f"Pizzería {number}",
                app="default",
                locale="es-CL",
                timezone="America/Santiago",
                currency="CLP",
                outbound_per_second=200,
                restaurant=RESTAURANT | {"name": f"Pizzería {number}"},
            )
            for number in NUMBERS
        ]
        files = {
            "tenants": TenantShard(tenants=tuple(settings)),
            "credentials": CredentialShard(access_tokens={number: f"token-{number}" for number in NUMBERS}),
        }
        for name, shard in files.items():
            (self.folder / name).mkdir(parents=True, exist_ok=True)
            (self.folder / name / "shard-00.json").write_bytes(msgspec.json.encode(shard))

    @property
    def sqlite_path(self) -> Path:
        return self.folder / "data" / "comanda.db"

    def _pod(self, name: str) -> PodProcess:
        self.sqlite_path.parent.mkdir(exist_ok=True)
        port = free_port()
        environment = {
            "POD": name,
            "PORT": str(port),
            "TENANTS_DIR": str(self.folder / "tenants"),
            "CREDENTIALS_DIR": str(self.folder / "credentials"),
            "GROUP_KEY": GROUP_KEY,
            "DATABASE_URL": self.database.service if self.database is not None else sqlite_url(self.sqlite_path),
            "GRAPH_URL": f"http://127.0.0.1:{self.graph.port}",
            "LEASE_SECONDS": str(LEASE_SECONDS),
            "UNKNOWN_SECONDS": str(UNKNOWN_SECONDS),
            "SEND_TIMEOUT_SECONDS": "3",
        }
        settings = environment | self.environment
        named = {f"COMANDA_BOTPOD_{key}": value for key, value in settings.items()}
        return PodProcess(name, named, self.folder / f"{name}.log", port)

    async def ready(self, pod: PodProcess) -> None:
        """Wait until a pod takes deliveries."""

        async def answers() -> bool:
            assert pod.process is not None
            assert pod.process.poll() is None, pod.log.read_text()[-3000:]
            with suppress(aiohttp.ClientError, TimeoutError):
                async with self.session.get(f"http://127.0.0.1:{pod.port}{READY_PATH}") as response:
                    return response.status == 200
            return False

        await until(answers, 60, f"{pod.name} is ready")

    async def order(self, number: str, phone: str) -> None:
        """Be a customer who orders once; every message goes on to the next when it is answered, or after a while."""
        if self.draw.random() < self.reorder:
            await self._write_in_haste(number, phone)
        for step, text in enumerate(ORDER):
            replied = self.graph.replied[number, phone]
            replied.clear()
            await self._deliver(self._webhook(f"wamid.{phone}.{step}", number, phone, text))
            with suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await replied.wait()

    def _webhook(self, wamid: str, number: str, phone: str, text: str) -> Webhook:
        webhook = Webhook(wamid, number, phone, text, time.monotonic(), sent=int(time.time()))
        self.history.webhooks.append(webhook)
        return webhook

    async def _write_in_haste(self, number: str, phone: str) -> None:
        """Write two messages in one breath, and let their webhooks arrive in the other order, or side by side."""
        second = self._webhook(f"wamid.{phone}.second", number, phone, HASTE[1])
        delivering = asyncio.create_task(self._deliver(second))
        if self.draw.random() < 0.5:
            await delivering
        # The clock of Meta has a grain of a second, and these two are not of the same one.
        first = self._webhook(f"wamid.{phone}.first", number, phone, HASTE[0])
        first.sent, first.overtaken = second.sent - 1, True
        await asyncio.gather(delivering, self._deliver(first))

    async def _deliver(self, webhook: Webhook) -> None:
        """Deliver as router and Meta do together: to either pod, again until it is stored, now and then twice."""
        item = {
            "from": webhook.phone,
            "id": webhook.wamid,
            "timestamp": str(webhook.sent),
            "type": "text",
            "text": {"body": webhook.text},
        }
        contact = {"profile": {"name": "Ana"}, "wa_id": webhook.phone}
        delivery = Delivery(
            kind="message",
            phone_number_id=webhook.number,
            key=webhook.wamid,
            app="default",
            item=msgspec.Raw(msgspec.json.encode(item)),
            contact=msgspec.Raw(msgspec.json.encode(contact)),
        )
        copies = 2 if self.draw.random() < 0.05 else 1
        await asyncio.gather(*(self._until_stored([delivery]) for _ in range(copies)))
        webhook.acked = time.monotonic()

    async def _until_stored(self, deliveries: Sequence[Delivery]) -> None:
        async with asyncio.timeout(120):
            while not await self._post(self.draw.choice(self.pods), deliveries):  # noqa: ASYNC110 - as Meta comes again
                await asyncio.sleep(0.05 + 0.2 * self.draw.random())

    async def _post(self, pod: PodProcess, deliveries: Sequence[Delivery]) -> bool:
        url = f"http://127.0.0.1:{pod.port}{DELIVERIES_PATH}"
        body = encode_batch(DeliveryBatch(deliveries=list(deliveries)))
        try:
            async with self.session.post(url, data=body, headers=HEADERS) as response:
                if response.status != 200:
                    return False
                answers = decode_answers(await response.read()).answers
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False
        return all(answer.outcome != "refused" for answer in answers)

    async def _deliver_statuses(self) -> None:
        """Deliver what Meta says of sends: late, in any order, in batches that have nothing to do with each other."""
        while True:
            await asyncio.sleep(0.02)
            waiting, self.graph.statuses = self.graph.statuses, []
            if not waiting:
                continue
            self.draw.shuffle(waiting)
            deliveries = [
                Delivery(
                    kind="status",
                    phone_number_id=number,
                    key=f"{status['id']}/{status['status']}",
                    app="default",
                    item=msgspec.Raw(msgspec.json.encode(status)),
                )
                for number, status in waiting
            ]
            if not await self._post(self.draw.choice(self.pods), deliveries):
                self.graph.statuses += waiting

    async def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement beside the pods."""
        if self.database is not None:
            return await self.database.sql(statement)
        with closing(sqlite3.connect(self.sqlite_path, timeout=30)) as connection, connection:
            return connection.execute(statement).fetchall()

    async def settle(self) -> None:
        """Wait until everything that was stored has been handled and nothing is left to be sent."""

        async def done() -> bool:
            return not self.graph.statuses and await self.rows(WAITING) == [(0,)]

        await until(done, 90, "everything is handled")

    async def record(self) -> History:
        """Read the rows into the history and return it."""
        await self.history.read(self.rows)
        return self.history
