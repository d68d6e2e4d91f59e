"""One round: a fresh system, its cold start, its memory at rest, both kinds of load, and the check of every order."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import psutil
from bench.common.processes import rss_mib
from bench.path.load import Load, Phase, Placed
from bench.path.meta import ORDER_TOTAL, Customer, Meta, NoAnswerError, Phones
from bench.path.systems import Comanda, System

AT_ONCE = 32
OPEN_SHARE = 0.6
"""The open loop's rate, as a share of what the closed one has just reached."""
MEMORY_ORDERS = 1000
REST_SECONDS = 1.0


@dataclass
class Round:
    """What one round of one system showed. Memory in MiB by process, times in milliseconds."""

    system: str
    load_before: float
    """The machine's load average (one minute) before the round."""
    cold_start_ms: float = 0.0
    first_reply_ms: float = 0.0
    idle_mib: dict[str, float] = field(default_factory=dict)
    used_mib: dict[str, float] = field(default_factory=dict)
    used_orders: int = 0
    """Orders placed when `used_mib` was read."""
    supervisor_mib: float = 0.0
    phases: list[Phase] = field(default_factory=list)
    placed: int = 0
    wrong: int = 0
    """Orders that are missing, doubled, unasked for, or have another total."""
    refused: dict[str, int] = field(default_factory=dict)
    """Webhooks not answered 200, by status."""

    def phase(self, kind: str) -> Phase:
        """Return the phase of a kind of load: `closed` or `open`."""
        return next(phase for phase in self.phases if phase.load.startswith(kind))


@dataclass(frozen=True)
class Plan:
    """How long to load a system, and with what."""

    closed_seconds: float
    open_seconds: float
    statuses: bool
    seed: int
    whole: bool
    """Finish the orders that are under way when the closed loop ends, and go on to `MEMORY_ORDERS`."""


async def run_round(system: System, plan: Plan) -> Round:
    """Run one round and stop the system whatever happens. Raises `NoAnswerError` when something is not right."""
    result = Round(system.name, os.getloadavg()[0])
    try:
        meta = await system.start(statuses=plan.statuses)
        result.cold_start_ms, result.first_reply_ms = system.cold_start_ms, system.first_reply_ms
        processes = system.processes()
        await asyncio.sleep(REST_SECONDS)
        result.idle_mib = rss_mib(processes)
        placed = await _load(system, meta, processes, plan, result)
        if isinstance(system, Comanda):
            result.supervisor_mib = rss_mib({"up": system.supervisor()})["up"]
    except BaseException:
        with suppress(NoAnswerError):
            await system.stop()
        raise
    await system.stop()
    result.placed, result.refused = len(placed.times), dict(meta.refused)
    if isinstance(system, Comanda):
        result.wrong = wrong_orders(placed.customers, await system.orders())
        if result.wrong or meta.unexpected:
            raise NoAnswerError(f"{result.wrong} orders are wrong, {meta.unexpected} replies were not asked for.")
    return result


async def _load(
    system: System, meta: Meta, processes: Mapping[str, psutil.Process], plan: Plan, result: Round
) -> Placed:
    def on_count(orders: int) -> None:
        if orders <= MEMORY_ORDERS:
            result.used_orders = orders
        if orders == MEMORY_ORDERS:
            result.used_mib = rss_mib(processes)

    phones = Phones()
    placed = Placed(on_count)
    load = Load(meta, placed, lambda: phones.customer(system.numbers), processes)
    closed = await load.closed(AT_ONCE, plan.closed_seconds, whole=plan.whole)
    result.phases.append(closed)
    # A reply is a quarter of an order; whole ones are too few to count where an order takes as long as the phase.
    rate = max(closed.orders_per_second, closed.replies_per_second / 4)
    result.phases.append(await load.open(OPEN_SHARE * rate, plan.open_seconds, plan.seed))
    if plan.whole:
        await load.top_up(AT_ONCE, MEMORY_ORDERS)
        await meta.settle()
    if not result.used_mib:
        result.used_mib = rss_mib(processes)
    return placed


def wrong_orders(customers: list[Customer], rows: list[dict[str, Any]]) -> int:
    """Count the orders that are not in the database once, for the right restaurant and with the right total."""
    wanted = Counter((customer.number.tenant, customer.name, ORDER_TOTAL) for customer in customers)
    found = Counter((row["tenant"], row["customer_name"], row["total"]) for row in rows)
    return (wanted - found).total() + (found - wanted).total()
