"""When each tenant's last message came: pods are asked now and then, and the status says it to within an hour.

A tenant with traffic is written once an hour for it, not with each message. Pods may run somebody else's image: what
one says is bounded, counts for the tenants of its own group alone, and never ends the operator.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from time import time

import aiohttp
import msgspec
import structlog

from comanda_contract.activity import ACTIVITY_PATH, decode_activity
from comanda_operator.acknowledge import ASK_SECONDS, read_answer
from comanda_operator.live import PodRecord
from comanda_operator.state import State

_log = structlog.get_logger()

NEWS_SECONDS = 3600
"""A message so much later than the last one that the status tells of is news."""
_AT_ONCE = 8
"""Pods that are asked at the same time."""
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class ActivityReader:
    """Asks all pods every `seconds`; `on_news` is told of tenants of which there is something to say."""

    def __init__(self, state: State, on_news: Callable[[str], None], *, seconds: float, port: int) -> None:
        self._state = state
        self._on_news = on_news
        self._seconds = seconds
        self._port = port

    async def run(self) -> None:
        """Ask until cancelled."""
        since = 0
        timeout = aiohttp.ClientTimeout(total=ASK_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session:
            while True:
                began = int(time())
                await self._ask_all(session, since)
                since = began - int(self._seconds)  # a pod that did not answer is asked of it once more
                await asyncio.sleep(self._seconds)

    async def _ask_all(self, session: aiohttp.ClientSession, since: int) -> None:
        places = asyncio.Semaphore(_AT_ONCE)

        async def ask(pod: PodRecord) -> Mapping[str, int]:
            async with places:
                return await self._ask(session, pod, since)

        pods = [pod for pod in self._state.pods.values() if pod.is_ready and pod.address]
        said, now = await asyncio.gather(*map(ask, pods)), int(time())
        latest: dict[tuple[str, str], int] = {}
        for pod, times in zip(pods, said, strict=True):
            for number, seconds in times.items():
                if 0 <= seconds <= now + NEWS_SECONDS:
                    latest[pod.group, number] = max(seconds, latest.get((pod.group, number), 0))
        for (group, number), seconds in latest.items():
            self._hear(group, number, seconds)

    async def _ask(self, session: aiohttp.ClientSession, pod: PodRecord, since: int) -> Mapping[str, int]:
        key = self._state.key_of(pod.group)
        if not key:
            return {}
        host = f"[{pod.address}]" if ":" in pod.address else pod.address
        url, headers = f"http://{host}:{self._port}{ACTIVITY_PATH}", {"Authorization": f"Bearer {key}"}
        try:
            async with session.get(url, params={"since": str(since)}, headers=headers) as answer:
                content = await read_answer(answer)
                return decode_activity(content).last_messages if answer.status == 200 else {}
        except (aiohttp.ClientError, OSError, TimeoutError, *_UNREADABLE):
            return {}  # it is asked again

    def _hear(self, group: str, number: str, seconds: int) -> None:
        tenant = self._state.world.served_by(number)
        place = self._state.placed.get(tenant.key) if tenant is not None else None
        if tenant is None or place is None or place.group != group:
            return  # not this group's to speak of
        if is_news(seconds, tenant.status.last_message_time):
            self._state.heard[tenant.key] = seconds
            self._on_news(tenant.key)


def is_news(seconds: int, told: str) -> bool:
    """Tell whether a message at this time (unix seconds) is worth a write, when the status tells of another."""
    return not told or seconds - datetime.fromisoformat(told).timestamp() >= NEWS_SECONDS


def time_of(seconds: int) -> str:
    """Return a time as the API has it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
