"""The load: customers in a closed loop, as people chat, and orders in an open one, as they come on a busy evening.

*Closed*: so many customers at once, each waits for the reply before the next message, and the next customer comes when
an order is placed. The rate is what the system gives. *Open*: orders begin at random moments of a fixed mean rate
whatever the system does, and a customer writes every `GAP_SECONDS`, answered or not.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import psutil
from bench.common.processes import cpu_seconds, machine_busy_seconds
from bench.common.stats import percentile
from bench.path.meta import ORDER, PLACED, Customer, Meta, NoAnswerError

WARM_SECONDS = 2.0
"""The start of a closed loop that is not counted: all customers begin in the same instant then."""
GAP_SECONDS = 1.0
REPLY_SECONDS = 60.0
"""A customer who waits longer ends the benchmark."""
LAG_SECONDS = 0.01

NewCustomer = Callable[[], Customer]


@dataclass(frozen=True)
class Phase:
    """What one stretch of load showed. Times of replies in milliseconds, processor use in cores."""

    load: str
    seconds: float
    orders: int
    """Orders whose last reply came within the time that counts."""
    replies: int
    orders_per_second: float
    replies_per_second: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    worst_ms: float
    cores: dict[str, float]
    """Processor use of each process under test, of the generator, and of everything else on the machine."""
    generator_lag_p99_ms: float


class Placed:
    """Orders that were placed, in the order of time; `on_count` is called with each new count."""

    def __init__(self, on_count: Callable[[int], None]) -> None:
        self.times: list[float] = []
        self.customers: list[Customer] = []
        self._on_count = on_count

    def add(self, customer: Customer, at: float) -> None:
        """Note one order."""
        self.times.append(at)
        self.customers.append(customer)
        self._on_count(len(self.times))


@dataclass
class Load:
    """Puts load on one system under test and measures meanwhile."""

    meta: Meta
    placed: Placed
    new_customer: NewCustomer
    processes: Mapping[str, psutil.Process]

    async def closed(self, at_once: int, seconds: float, *, whole: bool = True) -> Phase:
        """Chat with `at_once` customers for this long after the start; `whole`: orders begun are finished after it."""
        loop = asyncio.get_running_loop()
        end = loop.time() + WARM_SECONDS + seconds

        async def chat() -> None:
            while loop.time() < end:
                await self._order(self.new_customer(), lambda: whole or loop.time() < end)

        return await self._measured(
            f"closed, {at_once} customers", WARM_SECONDS, seconds, _together(chat() for _ in range(at_once))
        )

    async def open(self, rate: float, seconds: float, seed: int) -> Phase:
        """Begin `rate` orders a second for this long. Those under way when it begins to count are few, so all count."""
        draw = random.Random(seed)
        loop = asyncio.get_running_loop()
        begin = loop.time() + 0.1
        starts: list[float] = []
        at = begin + draw.expovariate(rate)
        while at < begin + seconds:
            starts.append(at)
            at += draw.expovariate(rate)

        work = _together([self._timed_order(self.new_customer(), start) for start in starts])
        return await self._measured(f"open, {rate:.2f} orders/s", 0.0, seconds + len(ORDER) * GAP_SECONDS, work)

    async def top_up(self, at_once: int, orders: int) -> None:
        """Place orders until there are this many in all; nothing is measured."""

        async def chat() -> None:
            while len(self.placed.times) < orders:
                await self._order(self.new_customer(), lambda: True)

        await _together(chat() for _ in range(at_once))

    async def _order(self, customer: Customer, goes_on: Callable[[], bool]) -> None:
        """Write the messages of an order, each when the one before is answered."""
        intended = asyncio.get_running_loop().time()
        reply = b""
        for text in ORDER:
            if not goes_on():
                return
            reply = await self._reply(customer, self.meta.say(customer, text, intended))
            intended = asyncio.get_running_loop().time()
        self._finish(customer, reply)

    async def _timed_order(self, customer: Customer, start: float) -> None:
        """Write the messages of an order at their times, answered or not."""
        loop = asyncio.get_running_loop()
        replies: list[asyncio.Future[bytes]] = []
        for position, text in enumerate(ORDER):
            intended = start + position * GAP_SECONDS
            await asyncio.sleep(intended - loop.time())
            replies.append(self.meta.say(customer, text, intended))
        for reply in replies[:-1]:
            await self._reply(customer, reply)
        self._finish(customer, await self._reply(customer, replies[-1]))

    async def _reply(self, customer: Customer, reply: asyncio.Future[bytes]) -> bytes:
        try:
            async with asyncio.timeout(REPLY_SECONDS):
                return await reply
        except TimeoutError:
            raise NoAnswerError(
                f"{customer.name} of {customer.number.tenant} had {len(customer.waiting)} messages without a reply for "
                f"{REPLY_SECONDS:.0f} s; {self.meta.state()}."
            ) from None

    def _finish(self, customer: Customer, reply: bytes) -> None:
        if PLACED not in reply:
            raise NoAnswerError(f"The last reply does not say that the order was placed: {reply.decode()[:300]}")
        self.placed.add(customer, asyncio.get_running_loop().time())
        self.meta.forget(customer)

    async def _measured(self, load: str, warm: float, seconds: float, work: Coroutine[Any, Any, None]) -> Phase:
        """Run the work; what is counted begins after `warm` and lasts `seconds`, though the work may go on."""
        loop = asyncio.get_running_loop()
        start = loop.time() + warm
        end = start + seconds
        first_sample, first_order = len(self.meta.samples), len(self.placed.times)
        lags: list[float] = []
        lagging = asyncio.create_task(_watch_lag(lags))
        using = asyncio.create_task(self._watch_cores(warm, seconds))
        try:
            await work
            cores = await using
        finally:
            lagging.cancel()
            using.cancel()
        await self.meta.settle()
        samples = [s for s in self.meta.samples[first_sample:] if start <= s.replied < end]
        waits = [s.milliseconds for s in samples]
        orders = sum(start <= at < end for at in self.placed.times[first_order:])
        return Phase(
            load=load,
            seconds=seconds,
            orders=orders,
            replies=len(samples),
            orders_per_second=orders / seconds,
            replies_per_second=len(samples) / seconds,
            p50_ms=percentile(waits, 50),
            p95_ms=percentile(waits, 95),
            p99_ms=percentile(waits, 99),
            worst_ms=percentile(waits, 100),
            cores=cores,
            generator_lag_p99_ms=percentile(lags, 99),
        )

    async def _watch_cores(self, warm: float, seconds: float) -> dict[str, float]:
        """Return how many cores each party used on average."""
        await asyncio.sleep(warm)
        before, began = self._used(), time.monotonic()
        await asyncio.sleep(seconds)
        after, elapsed = self._used(), time.monotonic() - began
        cores = {name: (after[name] - before[name]) / elapsed for name in before}
        cores["others"] = max(0.0, cores.pop("machine") - sum(cores.values()))
        return cores

    def _used(self) -> dict[str, float]:
        used = {name: cpu_seconds([process]) for name, process in self.processes.items()}
        # `sum` of the rest is taken from the machine's time, so it must come last.
        return used | {"generator": time.process_time(), "machine": machine_busy_seconds()}


async def _together(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run all at once; the first failure ends the others and is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for each in work:
                group.create_task(each)
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None


async def _watch_lag(lags: list[float]) -> None:
    """Note by how many milliseconds the event loop wakes us late: that much of a reply's time may be our own."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + LAG_SECONDS
        await asyncio.sleep(LAG_SECONDS)
        lags.append((loop.time() - due) * 1000)
