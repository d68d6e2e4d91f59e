"""What is measured of one pod, each on a fresh database."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import msgspec
from bench.common.processes import cpu_seconds, rss_mib
from bench.common.stats import percentile
from bench.path.load import Load, Phase, Placed
from bench.path.meta import Number, Phones, text_value
from bench.path.restaurants import numbers
from bench.pod.systems import Deliverer, Pod, PodMeta, delivery_of

from comanda_contract.deliveries import Delivery

AT_ONCE = 64
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
    waits: list[float] = field(default_factory=list, repr=False)

    @property
    def per_second(self) -> float:
        """Stored a second."""
        return self.stored / self.seconds


@dataclass
class Orders:
    """Whole orders of one pod."""

    database: str
    phase: Phase
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
    """Store messages as fast as it goes, `AT_ONCE` under way, over `TENANTS` tenants; the memory of the pod at rest.

    The tenants are suspended: what they are sent is stored and gets no turn, so this is the inbox alone.
    """
    restaurants = numbers(TENANTS)
    async with running(Pod(folder, database, restaurants, suspended=True)) as pod:
        idle = rss_mib({"pod": pod.process})["pod"]
        deliverer = Deliverer(pod.port)
        result = Deliveries(name)
        made = _messages(restaurants)
        loop = asyncio.get_running_loop()
        begin = loop.time() + WARM_SECONDS
        end = begin + seconds
        before = (0.0, 0.0)

        async def one_after_the_other() -> None:
            while (started := loop.time()) < end:
                answer = await deliverer.deliver(next(made))
                done = loop.time()
                assert answer.outcome == "stored", answer
                if begin <= started and done < end:
                    result.waits.append((done - started) * 1000)

        async def watch() -> None:
            nonlocal before
            await asyncio.sleep(WARM_SECONDS)
            before = (cpu_seconds([pod.process]), time.process_time())

        await asyncio.gather(watch(), *(one_after_the_other() for _ in range(AT_ONCE)))
        result.pod_cores = (cpu_seconds([pod.process]) - before[0]) / seconds
        result.generator_cores = (time.process_time() - before[1]) / seconds
        result.seconds, result.stored = seconds, len(result.waits)
        result.p50_ms, result.p99_ms = percentile(result.waits, 50), percentile(result.waits, 99)
        result.waits.clear()
        deliverer.close()
    return result, idle


def _messages(restaurants: list[Number]) -> AsyncIterator[Delivery] | object:
    padding = "x" * 500  # with its frame about 1 KB, as Meta's webhooks are
    now = int(time.time())
    template = delivery_of(restaurants[0], text_value("56900000000", "Ana", "wamid.TEMPLATE", padding))
    for serial in count():
        number = restaurants[serial * 7919 % len(restaurants)]
        phone = f"569{serial * 7919 % (3 * len(restaurants)):08d}"
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
    return Orders(name, phase, warm, result.get(until_orders, 0.0), len(placed.times))
