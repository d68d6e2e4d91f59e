"""Customers of Meta's simulated side: they write, wait for their replies, and order."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import cycle

import aiohttp

from comanda_kube.resources import Json
from tests.harness import until
from tests.torture.history import Webhook

ORDER = ("Hola, quiero 2 margarita y 1 coca cola", "retiro", "sí")
"""What a customer says to order; `pizzeria.yaml` has it all."""


@dataclass(kw_only=True)
class Customers:
    """Everybody who writes to restaurants by one simulator."""

    session: aiohttp.ClientSession
    simulator: str
    """URL of Meta's side."""
    webhooks: list[Webhook] = field(default_factory=list)
    """All that customers wrote, and when it was acknowledged."""
    _serial: int = 0

    def customer(self) -> str:
        """Return the phone of somebody who has not written yet."""
        self._serial += 1
        return f"5691{self._serial:07}"

    async def write(self, number: str, phone: str, text: str) -> str:
        """Let a customer write; returns the message's id once its webhook was acknowledged, Meta's repeats included."""
        message = {"type": "text", "text": {"body": text}}
        body = {"phone_number_id": number, "from": phone, "name": "Ana", "message": message}
        webhook = Webhook("", number, phone, text, time.monotonic(), sent=int(time.time()))
        async with self.session.post(f"{self.simulator}/simulator/messages?wait=acked&timeout=60", json=body) as answer:
            assert answer.status == 200, await answer.text()
            said = await answer.json()
        assert said["acked"], f"the webhook of {said['wamid']} was not acknowledged"
        webhook.wamid, webhook.acked = str(said["wamid"]), time.monotonic()
        self.webhooks.append(webhook)
        return webhook.wamid

    async def replies(self, number: str, phone: str) -> list[Json]:
        """Return what a customer was sent."""
        return [
            entry["payload"] for entry in await self.ledger(phone_number_id=number, customer=phone, direction="out")
        ]

    async def ledger(self, **filters: str) -> list[Json]:
        """Return all that went between customers and bots, oldest first."""
        entries: list[Json] = []
        while True:
            query = {"after": str(entries[-1]["seq"] if entries else 0), **filters}
            async with self.session.get(f"{self.simulator}/simulator/ledger", params=query) as answer:
                page = await answer.json()
            if not page:
                return entries
            entries += page

    async def say(self, number: str, phone: str, text: str, seconds: float = 60.0) -> str:
        """Write and wait for what the bot says to it; returns that as JSON."""
        before = len(await self.replies(number, phone))
        await self.write(number, phone, text)

        async def answered() -> bool:
            return len(await self.replies(number, phone)) > before

        await until(answered, seconds, f"{phone} has a reply to {text!r}")
        return json.dumps((await self.replies(number, phone))[-1], ensure_ascii=False)

    async def order(self, number: str, phone: str = "") -> None:
        """Be a customer who orders once."""
        phone = phone or self.customer()
        for text in ORDER:
            await self.say(number, phone, text)

    @asynccontextmanager
    async def crowd(self, numbers: Sequence[str], per_second: float) -> AsyncIterator[None]:
        """Have new customers write meanwhile, so many a second and each once; at the end all have been acknowledged."""
        over = asyncio.Event()

        async def come() -> None:
            async with asyncio.TaskGroup() as customers:
                for number in cycle(numbers):
                    customers.create_task(self.write(number, self.customer(), "Hola"))
                    with suppress(TimeoutError):
                        await asyncio.wait_for(over.wait(), 1 / per_second)
                        return

        coming = asyncio.create_task(come())
        try:
            yield
        finally:
            over.set()
            await coming

    async def reply_seconds(self, numbers: Sequence[str], phones: set[str]) -> list[float]:
        """Return how long each of these customers waited for a first reply, by Meta's clock."""
        wrote: dict[str, float] = {}
        answered: dict[str, float] = {}
        for number in numbers:
            for entry in await self.ledger(phone_number_id=number):
                noted = {"in": wrote, "out": answered}.get(entry["direction"])
                if noted is not None and entry["customer"] in phones:
                    noted.setdefault(entry["customer"], entry["at"])
        return [answered[phone] - at for phone, at in wrote.items() if phone in answered]

    async def stats(self) -> Json:
        """Return the simulator's counts."""
        async with self.session.get(f"{self.simulator}/simulator/stats") as answer:
            found: Json = await answer.json()
            return found
