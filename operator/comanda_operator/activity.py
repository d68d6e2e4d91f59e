"""When each tenant's last message came: pods are asked now and then, and the status says it to within an hour.

A tenant with traffic is written once an hour for it, not with each message.
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
from comanda_operator.acknowledge import ASK_SECONDS
from comanda_operator.live import PodRecord
from comanda_operator.state import State

_log = structlog.get_logger()

NEWS_SECONDS = 3600
"""A message so much later than the last one that the status tells of is news."""
_AT_ONCE = 8
"""Pods that are asked at the same time."""


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
        latest: dict[str, int] = {}
        for said in await asyncio.gather(*map(ask, pods)):
            for number, seconds in said.items():
                latest[number] = max(seconds, latest.get(number, 0))
        for number, seconds in latest.items():
            self._hear(number, seconds)

    async def _ask(self, session: aiohttp.ClientSession, pod: PodRecord, since: int) -> Mapping[str, int]:
        key = self._state.key_of(pod.group)
        if not key:
            return {}
        host = f"[{pod.address}]" if ":" in pod.address else pod.address
        url, headers = f"http://{host}:{self._port}{ACTIVITY_PATH}", {"Authorization": f"Bearer {key}"}
        try:
            async with session.get(url, params={"since": str(since)}, headers=headers) as answer:
                return decode_activity(await answer.read()).last_messages if answer.status == 200 else {}
        except (aiohttp.ClientError, OSError, TimeoutError, msgspec.DecodeError):
            return {}  # it is asked again

    def _hear(self, number: str, seconds: int) -> None:
        tenant = self._state.world.served_by(number)
        if tenant is not None and is_news(seconds, tenant.status.last_message_time):
            self._state.heard[tenant.key] = seconds
            self._on_news(tenant.key)


def is_news(seconds: int, told: str) -> bool:
    """Tell whether a message at this time (unix seconds) is worth a write, when the status tells of another."""
    return not told or seconds - datetime.fromisoformat(told).timestamp() >= NEWS_SECONDS


def time_of(seconds: int) -> str:
    """Return a time as the API has it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
