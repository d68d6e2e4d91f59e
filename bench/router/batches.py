"""One POST with 1,000 messages for 300 tenants, as much as Meta puts into one, and where each message is afterwards.

No peer: to route such a webhook it has to be taken apart, which none of them can.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from bench.common.results import Row, Target
from bench.common.stats import median
from bench.path.wire import Client
from bench.router.bodies import change, contact, message
from bench.router.databases import KINDS, Database, running_databases
from bench.router.paced import Post, signed
from bench.router.pods import running_pods
from bench.router.report import Bench, Report, none_may
from bench.router.systems import numbers, ours_with, start_router

POSTS = 50
MESSAGES = 1000
TENANTS = 300
LIMIT_MS = 30


@dataclass(frozen=True)
class Batches:
    """The POSTs of one round, one after the other. Times in milliseconds, from the first byte to the answer."""

    database: str
    first_ms: float
    """Of the very first one, in which every customer is new."""
    median_ms: float
    worst_ms: float
    refused: int
    """POSTs not answered 200."""
    lost: int
    """Messages that are in no inbox afterwards."""
    crossed: int
    """Messages in the inbox of another number or tenant than their own."""
    doubled: int


async def measure(bench: Bench) -> Report:
    """Measure on both databases, each round with fresh ones."""
    found: list[Batches] = []
    async with running_databases(bench.folder / "databases") as databases:
        for number in range(1, bench.rounds + 1):
            for kind in KINDS:
                each = await _measure_one(await databases.fresh(kind))
                found.append(each)
                bench.tell(
                    f"round {number}: {kind}: first {each.first_ms:.1f}, median {each.median_ms:.1f}, worst "
                    f"{each.worst_ms:.1f} ms, {each.refused} refused, {each.lost} lost, {each.crossed} crossed"
                )
    rows = [row for kind in KINDS for row in _rows_of([each for each in found if each.database == kind], kind)]
    for what in ("refused", "lost", "crossed", "doubled"):
        unit = "POSTs" if what == "refused" else "messages"
        rows.append(none_may(f"large webhooks: {what}", (getattr(each, what) for each in found), unit))
    return Report(rows, found, _notes(bench))


async def _measure_one(database: Database) -> Batches:
    own = {str(index): _Batch(index) for index in range(POSTS + 1)}
    async with running_pods(database, TENANTS) as pods:
        router = await start_router(ours_with(TENANTS), database.folder / "router", pods)
        try:
            first, *others = await _post_all(router.port, [batch.post for batch in own.values()])
        finally:
            await router.stop()
    stored = await database.rows("select wamid, phone_number_id, tenant from inbox")
    sent = {wamid: number for batch in own.values() for wamid, number in batch.numbers.items()}
    waits = [milliseconds for milliseconds, _ in others]
    return Batches(
        database=database.kind,
        first_ms=first[0],
        median_ms=median(waits),
        worst_ms=max(waits),
        refused=sum(status != 200 for _, status in (first, *others)),
        lost=len(sent.keys() - {wamid for wamid, _, _ in stored}),
        crossed=sum((number, tenant) != (sent[wamid], f"default/t{sent[wamid]}") for wamid, number, tenant in stored),
        doubled=len(stored) - len({wamid for wamid, _, _ in stored}),
    )


class _Batch:
    """One webhook: its messages dealt to the tenants in turn, each tenant with an entry of its own."""

    def __init__(self, index: int) -> None:
        every = numbers(TENANTS)
        by_tenant: dict[str, list[dict[str, Any]]] = {number: [] for number in every}
        self.numbers: dict[str, str] = {}
        """Message id → number."""
        for place in range(MESSAGES):
            number, wamid = every[place % TENANTS], f"wamid.BATCH{index:04d}{place:08d}"
            self.numbers[wamid] = number
            by_tenant[number].append(message(f"5691111{place:04d}", wamid, "Hola, quiero 2 margarita y 1 coca cola"))
        entries = [{"id": number, "changes": [_change(number, items)]} for number, items in by_tenant.items()]
        self.post = signed(msgspec.json.encode({"object": "whatsapp_business_account", "entry": entries}))


def _change(number: str, items: list[dict[str, Any]]) -> dict[str, Any]:
    return change(number, items, [contact(item["from"]) for item in items])


async def _post_all(port: int, posts: Iterable[Post]) -> list[tuple[float, int]]:
    """Post one after the other on one connection; returns the milliseconds and the status of each."""
    client, loop = Client(port), asyncio.get_running_loop()
    found = []
    for headers, body in posts:
        begin = loop.time()
        status = await client.post("/webhook", body, headers)
        found.append(((loop.time() - begin) * 1000, status))
    client.close()
    return found


def _rows_of(found: Sequence[Batches], kind: str) -> list[Row]:
    what, limit = f"POST with {MESSAGES:,} messages for {TENANTS} tenants", Target("<=", LIMIT_MS)
    return [
        Row(f"{what}, median, {kind}", median([each.median_ms for each in found]), "ms", limit),
        Row(f"{what}, slowest of {POSTS}, {kind}", median([each.worst_ms for each in found]), "ms", limit),
        Row(f"{what}, all of new customers, {kind}", median([each.first_ms for each in found]), "ms"),
    ]


def _notes(bench: Bench) -> list[str]:
    return [
        f"Medians of {bench.rounds} rounds on fresh databases; router, two pods, {TENANTS} suspended tenants.",
        f"{POSTS} POSTs one after the other; all {MESSAGES:,} customers have written before.",
        "Every message is looked for in the database, with its number and its tenant.",
        "No peer, since none can take a webhook apart.",
    ]
