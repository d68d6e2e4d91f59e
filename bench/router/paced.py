"""An open loop: webhooks leave at their moments, whatever the answers do.

The wait of a webhook begins when it was meant to leave: when something stalls, every webhook that should have left
meanwhile counts as long as it had to wait, and so does a generator that is late itself.
"""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import Sequence
from dataclasses import dataclass

from bench.common.alarm import Alarm
from bench.common.stats import percentile
from bench.path.wire import Client
from bench.router.bodies import signature, values_of

CONNECTIONS = 300
"""Kept alive from the beginning, as proxies before a router keep them."""
UNDER_WAY = 800
"""With so many answers outstanding the next webhook waits for one; its wait counts all the same."""


@dataclass(frozen=True)
class Paced:
    """What an open loop showed. Times in milliseconds."""

    answers: int
    failed: int
    """Answers other than 200, and none."""
    p50_ms: float
    p99_ms: float
    p999_ms: float
    worst_ms: float
    late_p99_ms: float
    """By how much the generator itself was late."""


Post = tuple[str, bytes]
"""A line of headers, and a body."""


def signed(body: bytes) -> Post:
    """Return a body with the header that signs it."""
    return f"X-Hub-Signature-256: {signature(body)}\r\n", body


def posts_of(form: bytes, indices: range) -> list[Post]:
    """Return the signed webhooks of a form with these indices."""
    return [signed(form % values_of(index)) for index in indices]


class OpenLoop:
    """A generator that keeps its connections from stretch to stretch."""

    def __init__(self, port: int) -> None:
        self._client = Client(port)
        self._loop = asyncio.get_running_loop()
        self._waits: list[float] = []
        self._failed = 0

    async def connect(self, posts: Sequence[Post]) -> int:
        """Post all at once, so that each gets a connection, which stays; returns how many were answered 200."""
        answers = await asyncio.gather(*(self._client.post("/webhook", body, headers) for headers, body in posts))
        return sum(status == 200 for status in answers)

    async def run(self, posts: Sequence[Post], per_second: float, seed: int) -> Paced:
        """Post at random moments of this mean rate, and wait for every answer."""
        self._waits, self._failed = [], 0
        gc.collect()
        gc.freeze()  # a collection of all that was prepared would be a pause of ours
        with Alarm() as alarm:
            late = await self._post_all(posts, alarm, per_second, seed)
        gc.unfreeze()
        p50, p99, p999, worst = (percentile(self._waits, percent) for percent in (50, 99, 99.9, 100))
        return Paced(len(self._waits), self._failed, p50, p99, p999, worst, percentile(late, 99))

    async def _post_all(self, posts: Sequence[Post], alarm: Alarm, per_second: float, seed: int) -> list[float]:
        """Return by how much each left late, in milliseconds, when all are answered."""
        draw, loop, places, late = random.Random(seed), self._loop, asyncio.Semaphore(UNDER_WAY), list[float]()
        due = loop.time()
        async with asyncio.TaskGroup() as group:
            for post in posts:
                due += draw.expovariate(per_second)
                await alarm.at(due)
                late.append((loop.time() - due) * 1000)
                await places.acquire()
                group.create_task(self._post(due, post)).add_done_callback(lambda _: places.release())
        return late

    async def _post(self, due: float, post: Post) -> None:
        headers, body = post
        try:
            status = await self._client.post("/webhook", body, headers)
        except OSError:
            status = 0
        self._waits.append((self._loop.time() - due) * 1000)
        self._failed += status != 200

    def close(self) -> None:
        """Close every connection."""
        self._client.close()
