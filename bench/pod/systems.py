"""One bot pod under test, as its own process, on either database; the generator stands where the router would."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import psutil
from bench.common.processes import Child, free_port
from bench.path.meta import Meta, NoAnswerError, Number
from bench.path.restaurants import restaurant
from bench.path.wire import Client

from comanda_contract.deliveries import NO_CONTACT, Answer, Delivery, DeliveryBatch, decode_answers, encode_batch
from comanda_contract.names import DELIVERIES_PATH, READY_PATH
from comanda_contract.tenancy import CredentialShard, TenantSettings, TenantShard

GROUP_KEY = "5a" * 32
START_SECONDS = 120.0


class Pod:
    """A pod with its mounted files. Leave the context to stop it."""

    def __init__(
        self, folder: Path, database: str, numbers: list[Number], *, suspended: bool = False, outbound: int = 1000
    ) -> None:
        self.numbers = numbers
        self.database = database
        self.port = free_port()
        self._folder = folder
        self._suspended = suspended
        self._outbound = outbound
        self._child: Child | None = None
        self._stack = AsyncExitStack()
        self.graph_port = free_port()

    @property
    def process(self) -> psutil.Process:
        """The pod's process."""
        if self._child is None:
            raise NoAnswerError("The pod is not running.")
        return psutil.Process(self._child.pid)

    def mount(self) -> None:
        """Write the files that a cluster would mount."""
        for kind in ("tenants", "credentials"):
            (self._folder / kind).mkdir(parents=True, exist_ok=True)
        shard = TenantShard(tenants=tuple(self._settings(number) for number in self.numbers))
        tokens = CredentialShard(access_tokens={number.phone_number_id: "token" for number in self.numbers})
        (self._folder / "tenants" / "shard-00.json").write_bytes(msgspec.json.encode(shard))
        (self._folder / "credentials" / "shard-00.json").write_bytes(msgspec.json.encode(tokens))

    def _settings(self, number: Number) -> TenantSettings:
        return TenantSettings(
            tenant=number.tenant,
            phone_number_id=number.phone_number_id,
            waba_id=number.waba_id,
            display_name=number.tenant,
            app="default",
            locale="es-CL",
            timezone="America/Santiago",
            currency="CLP",
            outbound_per_second=self._outbound,
            suspended=self._suspended,
            restaurant=restaurant(number.tenant),
        )

    async def start(self) -> None:
        """Start it and wait until it is ready. Raises `NoAnswerError`."""
        environment = {
            "COMANDA_BOTPOD_POD": "bench-0",
            "COMANDA_BOTPOD_PORT": str(self.port),
            "COMANDA_BOTPOD_TENANTS_DIR": str(self._folder / "tenants"),
            "COMANDA_BOTPOD_CREDENTIALS_DIR": str(self._folder / "credentials"),
            "COMANDA_BOTPOD_GROUP_KEY": GROUP_KEY,
            "COMANDA_BOTPOD_DATABASE_URL": self.database,
            "COMANDA_BOTPOD_GRAPH_URL": f"http://127.0.0.1:{self.graph_port}",
            "COMANDA_BOTPOD_PENDING_PER_TENANT": "1000000",
        }
        command = [sys.executable, "-m", "comanda_botpod"]
        log = self._folder / "pod.log"
        self._child = await Child.start(command, log=log, cwd=self._folder, environment=environment)
        try:
            async with asyncio.timeout(START_SECONDS):
                while not await self._is_ready():
                    if self._child.process.returncode is not None:
                        raise NoAnswerError(f"The pod ended while it started.\n{self._child.log_tail()}")
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise NoAnswerError(f"The pod did not become ready.\n{self._child.log_tail()}") from None

    async def _is_ready(self) -> bool:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.write(f"GET {READY_PATH} HTTP/1.1\r\nHost: pod\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
        return answer.startswith(b"HTTP/1.1 200")

    async def stop(self) -> int:
        """End it with SIGTERM; returns its exit code."""
        code = await self._child.stop() if self._child is not None else 0
        self._child = None
        return code

    def kill(self) -> None:
        """End it at once, whatever it does."""
        if self._child is not None and self._child.process.returncode is None:
            self._child.process.kill()


class PodMeta(Meta):
    """Meta's side and the router in one: what a webhook would bring reaches the pod as a batch of deliveries."""

    def __init__(self, pod: Pod, *, statuses: bool) -> None:
        super().__init__(pod.port, DELIVERIES_PATH, "", statuses=statuses)
        self._deliverer = Deliverer(pod.port)

    async def try_once(self, number: Number, value: dict[str, Any]) -> int:
        """Deliver one item; 200 when it is stored or known, 503 when not, as the router would tell Meta."""
        answer = await self._deliverer.deliver(delivery_of(number, value))
        return 200 if answer.outcome != "refused" else 503

    async def close(self) -> None:
        """Close every connection."""
        self._deliverer.close()
        await super().close()


class Deliverer:
    """Deliveries to one pod as the router makes them: what waits while a batch is under way goes with the next one."""

    def __init__(self, port: int, lines: int = 2) -> None:
        self._client = Client(port)
        self._waiting: list[tuple[Delivery, asyncio.Future[Answer]]] = []
        self._free = lines
        self._tasks: set[asyncio.Task[None]] = set()

    async def deliver(self, delivery: Delivery) -> Answer:
        """Deliver one item with those that wait beside it."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((delivery, future))
        if self._free:
            self._free -= 1
            task = asyncio.create_task(self._send())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await future

    async def _send(self) -> None:
        await asyncio.sleep(0)
        while self._waiting:
            group, self._waiting = self._waiting[:256], self._waiting[256:]
            answers = await post_batch(self._client, [delivery for delivery, _ in group])
            for (_, future), answer in zip(group, answers, strict=True):
                if not future.done():
                    future.set_result(answer)
        self._free += 1

    def close(self) -> None:
        """Leave what is under way, and close every connection."""
        for task in self._tasks:
            task.cancel()
        self._client.close()


HEADERS = f"Authorization: Bearer {GROUP_KEY}\r\n"


async def post_batch(client: Client, deliveries: list[Delivery]) -> list[Answer]:
    """Post a batch and return the answers. Raises `NoAnswerError` for any other status than 200."""
    body = encode_batch(DeliveryBatch(deliveries=deliveries))
    status, content = await client.post_and_read(DELIVERIES_PATH, body, HEADERS)
    if status != 200:
        raise NoAnswerError(f"The pod answered {status}: {content[:200].decode(errors='replace')}")
    return decode_answers(content).answers


def delivery_of(number: Number, value: dict[str, Any]) -> Delivery:
    """Return the one item of a webhook's value as the router hands it to a pod."""
    kind = "messages" if "messages" in value else "statuses"
    (item,) = value[kind]
    contacts = value.get("contacts")
    is_message = kind == "messages"
    return Delivery(
        kind="message" if is_message else "status",
        phone_number_id=number.phone_number_id,
        key=item["id"] if is_message else f"{item['id']}/{item['status']}",
        app="default",
        waba_id=number.waba_id,
        item=msgspec.Raw(msgspec.json.encode(item)),
        contact=msgspec.Raw(msgspec.json.encode(contacts[0])) if contacts else NO_CONTACT,
    )
