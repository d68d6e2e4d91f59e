"""What is measured of one pod, each on a fresh database."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec
from bench.common.processes import Child, cpu_seconds, free_port, rss_mib
from bench.common.stats import percentile
from bench.path.load import Load, Phase, Placed
from bench.path.meta import Number, Phones, accepted, text_value
from bench.path.restaurants import numbers
from bench.path.wire import Client, serve
from bench.pod.systems import Deliverer, Pod, PodMeta, delivery_of

from comanda_contract.deliveries import Delivery

ROUTERS = 4
"""Router processes that bring deliveries: each gathers its own while a batch of it is under way."""
AT_ONCE = 128
"""Deliveries under way, over all routers."""
CUSTOMERS = 32
TENANTS = 10_000
WARM_SECONDS = 1.0


@dataclass
class Deliveries:
    """Deliveries stored by one pod. Times in milliseconds, per delivery."""

    database: str
    seconds: float = 0.0
    stored: int = 0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    pod_cores: float = 0.0
    generator_cores: float = 0.0
    new_per_second: float = 0.0
    """First messages of customers: each makes a customer, an alias and a conversation as well."""
    waits: list[float] = field(default_factory=list, repr=False)

    @property
    def per_second(self) -> float:
        """Stored a second."""
        return self.stored / self.seconds


@dataclass
class Neighbours:
    """Reply times of everybody else while one tenant is flooded, in milliseconds."""

    database: str
    alone_p99_ms: float
    beside_p99_ms: float
    noisy_per_second: float

    @property
    def more_percent(self) -> float:
        """By how much the neighbours' p99 grew."""
        return 100 * (self.beside_p99_ms / self.alone_p99_ms - 1)


@dataclass
class Drain:
    """A pod that is told to stop with messages waiting."""

    database: str
    acknowledged: int
    exit_code: int
    exit_seconds: float
    waiting: int
    """Messages that had no turn yet when it was told."""
    lost: int
    doubled: int


@dataclass
class Orders:
    """Whole orders of one pod."""

    database: str
    phase: Phase
    start_mib: float = 0.0
    warm_mib: float = 0.0
    later_mib: float = 0.0
    later_orders: int = 0


@asynccontextmanager
async def running(pod: Pod) -> AsyncIterator[Pod]:
    """Mount and start a pod, and stop it at the end."""
    pod.mount()
    try:
        await pod.start()
        yield pod
        await pod.stop()
    finally:
        pod.kill()


async def deliveries(folder: Path, database: str, name: str, seconds: float) -> tuple[Deliveries, float]:
    """Store messages as fast as it goes, `AT_ONCE` under way, over `TENANTS` tenants; and the pod's memory at rest.

    The tenants are suspended: what they are sent is stored and gets no turn, so this is the inbox alone.
    """
    restaurants = numbers(TENANTS)
    async with running(Pod(folder, database, restaurants, suspended=True)) as pod:
        idle = rss_mib({"pod": pod.process})["pod"]
        routers = [Deliverer(pod.port) for _ in range(ROUTERS)]
        result = Deliveries(name)
        made = _messages(restaurants)
        started_at = monotonic()
        senders = routers * (AT_ONCE // ROUTERS)
        await asyncio.gather(*(_deliver_some(router, made, TENANTS // AT_ONCE) for router in senders))
        result.new_per_second = TENANTS // AT_ONCE * AT_ONCE / (monotonic() - started_at)
        begin = monotonic() + WARM_SECONDS
        end = begin + seconds
        before = (0.0, 0.0)

        async def one_after_the_other(router: Deliverer) -> None:
            while (started := monotonic()) < end:
                answer = await router.deliver(next(made))
                done = monotonic()
                assert answer.outcome == "stored", answer
                if begin <= started and done < end:
                    result.waits.append((done - started) * 1000)

        async def watch() -> None:
            nonlocal before
            await asyncio.sleep(WARM_SECONDS)
            before = (cpu_seconds([pod.process]), time.process_time())

        await asyncio.gather(watch(), *map(one_after_the_other, senders))
        result.pod_cores = (cpu_seconds([pod.process]) - before[0]) / seconds
        result.generator_cores = (time.process_time() - before[1]) / seconds
        result.seconds, result.stored = seconds, len(result.waits)
        result.p50_ms, result.p99_ms = percentile(result.waits, 50), percentile(result.waits, 99)
        result.waits.clear()
        for router in routers:
            router.close()
    return result, idle


async def _deliver_some(deliverer: Deliverer, made: Iterator[Delivery], count_: int) -> None:
    for _ in range(count_):
        await deliverer.deliver(next(made))


def _messages(restaurants: list[Number]) -> Iterator[Delivery]:
    padding = "x" * 500  # with its frame about 1 KB, as Meta's webhooks are
    now = int(time.time())
    template = delivery_of(restaurants[0], text_value("56900000000", "Ana", "wamid.TEMPLATE", padding))
    for serial in count():
        customer = serial * 7919 % len(restaurants)  # one a tenant, all of them before the first comes again
        number, phone = restaurants[customer], f"569{customer:08d}"
        wamid = f"wamid.BENCH{now}{serial:012d}"
        item = bytes(template.item).replace(b"wamid.TEMPLATE", wamid.encode()).replace(b"56900000000", phone.encode())
        contact = bytes(template.contact).replace(b"56900000000", phone.encode())
        yield msgspec.structs.replace(
            template,
            phone_number_id=number.phone_number_id,
            key=wamid,
            item=msgspec.Raw(item),
            contact=msgspec.Raw(contact),
        )


async def orders(folder: Path, database: str, name: str, seconds: float, *, until_orders: int = 0) -> Orders:
    """Place whole orders with `CUSTOMERS` at once for so long; then, if asked, go on to `until_orders`."""
    async with running(Pod(folder, database, numbers(10))) as pod:
        start = rss_mib({"pod": pod.process})["pod"]
        meta = PodMeta(pod, statuses=True)
        await meta.listen(pod.graph_port)
        result: dict[int, float] = {}

        def on_count(placed: int) -> None:
            if placed % 1000 == 0:
                result[placed] = rss_mib({"pod": pod.process})["pod"]

        phones = Phones()
        placed = Placed(on_count)
        load = Load(meta, placed, lambda: phones.customer(pod.numbers), {"pod": pod.process})
        phase = await load.closed(CUSTOMERS, seconds)
        if until_orders:
            await load.top_up(CUSTOMERS, until_orders)
        await meta.settle()
        await meta.close()
        if meta.unexpected or meta.refused:
            print(f"unexpected replies {meta.unexpected}, refused {dict(meta.refused)}")
    warm = result.get(1000, 0.0)
    return Orders(name, phase, start, warm, result.get(until_orders, 0.0), len(placed.times))


async def neighbours(folder: Path, database: str, name: str, seconds: float) -> Neighbours:
    """Measure nine tenants' replies in an open loop, alone and beside a tenth that gets 100 times as much as each."""
    everybody = numbers(10)
    # At Meta's own pace of 80 messages a second and number: that is what bounds a flood's replies.
    async with running(Pod(folder, database, everybody, outbound=80)) as pod:
        meta = PodMeta(pod, statuses=True)
        await meta.listen(pod.graph_port)
        phones = Phones()
        quiet = everybody[1:]
        load = Load(meta, Placed(lambda _: None), lambda: phones.customer(quiet), {"pod": pod.process})
        # Two messages a second for each of the nine: an order is four.
        rate = 2 * len(quiet) / 4
        await load.open(rate, WARM_SECONDS * 3, 1)
        alone = await load.open(rate, seconds, 2)
        noise = asyncio.create_task(_flood(meta, phones, everybody[0], 200.0))
        try:
            beside = await load.open(rate, seconds, 2)
        finally:
            noise.cancel()
        await meta.close()
    return Neighbours(name, alone.p99_ms, beside.p99_ms, 200.0)


async def _flood(meta: PodMeta, phones: Phones, number: Number, per_second: float) -> None:
    """Let new customers of one tenant write at a fixed rate, whatever comes of it."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        due += 1 / per_second
        await asyncio.sleep(due - loop.time())
        # A number of its own for each: nobody's reply time is counted among the neighbours'.
        customer = phones.customer([number])
        await meta.try_once(number, text_value(customer.phone, customer.name, f"wamid.NOISE{customer.phone}", "hola"))


async def drain(folder: Path, database: str, name: str, rows: Rows, count_: int = 10_000) -> Drain:
    """Stop a pod that has acknowledged `count_` messages a moment ago; start it again and see that all are answered."""
    pod = Pod(folder, database, numbers(10))
    pod.mount()
    try:
        return await _drained(pod, name, rows, count_)
    finally:
        pod.kill()


async def _drained(pod: Pod, name: str, rows: Rows, count_: int) -> Drain:
    await pod.start()
    replies: Counter[str] = Counter()
    server = await serve(pod.graph_port, partial(_count_replies, replies))
    deliverer = Deliverer(pod.port)
    phones = Phones()
    customers = [phones.customer(pod.numbers) for _ in range(count_)]
    answers = await asyncio.gather(
        *(
            deliverer.deliver(
                delivery_of(each.number, text_value(each.phone, each.name, f"wamid.DRAIN{each.phone}", "hola"))
            )
            for each in customers
        )
    )
    stored = sum(answer.outcome == "stored" for answer in answers)
    waiting = (await rows("select count(*) from inbox where state = 'pending'"))[0][0]
    began = time.perf_counter()
    code = await pod.stop()
    took = time.perf_counter() - began
    deliverer.close()
    await pod.start()
    deadline = monotonic() + 120
    while sum(map(bool, replies.values())) < stored and monotonic() < deadline:
        await asyncio.sleep(0.2)
    await asyncio.sleep(1)
    await pod.stop()
    server.close()
    lost = stored - len(replies)
    return Drain(name, stored, code, took, waiting, lost, sum(count - 1 for count in replies.values()))


Rows = Callable[[str], Awaitable[list[tuple[Any, ...]]]]


def _count_replies(replies: Counter[str], path: str, body: bytes) -> tuple[int, bytes]:
    if not path.endswith("/messages") or b'"status":"read"' in body or b'"status": "read"' in body:
        return 200, b'{"success":true}'
    phone = msgspec.json.decode(body)["to"].removeprefix("+")
    replies[phone] += 1
    return 200, accepted(phone, f"wamid.R{replies.total()}")


async def inserts(folder: Path, database: str, name: str, seconds: float) -> Deliveries:
    """Store messages with the peer: one request, one insert, one commit each."""
    port = free_port()
    command = [sys.executable, str(Path(__file__).with_name("peer.py")), str(port), database]
    folder.mkdir(parents=True, exist_ok=True)
    child = await Child.start(command, log=folder / "peer.log", cwd=folder)
    client = Client(port)
    result = Deliveries(name)
    serials = count()

    async def post() -> int:
        serial = next(serials)
        message = {"phone_number_id": str(serial % TENANTS), "wamid": f"w{serial}", "payload": "x" * 700, "sent_at": 1}
        return await client.post("/messages", msgspec.json.encode(message))

    async def up() -> bool:
        try:
            return await post() == 200
        except OSError:
            return False

    while not await up():
        await asyncio.sleep(0.1)
    begin, end = monotonic() + WARM_SECONDS, monotonic() + WARM_SECONDS + seconds

    async def one_after_the_other() -> None:
        while (started := monotonic()) < end:
            assert await post() == 200
            if begin <= started and monotonic() < end:
                result.waits.append((monotonic() - started) * 1000)

    await asyncio.gather(*(one_after_the_other() for _ in range(AT_ONCE)))
    result.seconds, result.stored = seconds, len(result.waits)
    result.p50_ms, result.p99_ms = percentile(result.waits, 50), percentile(result.waits, 99)
    result.waits.clear()
    client.close()
    await child.stop()
    return result
