"""Whether pods have loaded what was written for them: they are asked, since only they know.

Pods report a keyed digest for each shard that they have loaded. A group is asked while something is outstanding, often
at first and then less; its nodes look at Secrets at once only when a pod is touched, which is said again while a pod
has not loaded what it should.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Self

import aiohttp
import msgspec
import structlog

from comanda_contract.names import READY_PATH
from comanda_operator.live import PodRecord
from comanda_operator.manifests.names import DELIVERIES
from comanda_operator.state import ShardKey

_log = structlog.get_logger()

ASK_SECONDS = 2.0
"""How long a pod may take to answer."""
ANSWER_BYTES = 4 * 1024 * 1024
"""What is read of a pod's answer; the last messages of 100,000 numbers are 3 MB."""
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0
TOUCH_AGAIN_SECONDS = 2.0
"""A pod that has not loaded a shard for so long is touched again: the node's watch may have come after the touch."""


class _Said(msgspec.Struct):
    shards: dict[str, str] = {}


_read = msgspec.json.Decoder(_Said).decode


async def read_answer(answer: aiohttp.ClientResponse) -> bytes:
    """Read what a pod says, or as much of it as is read of any: its image may be somebody else's."""
    content = b""
    while len(content) < ANSWER_BYTES and not answer.content.at_eof():
        content += await answer.content.read(ANSWER_BYTES - len(content))
    return content


@dataclass
class _Group:
    wanted: dict[int, str] = field(default_factory=dict)
    task: asyncio.Task[None] | None = None
    pause: float = FIRST_PAUSE
    touched_at: float = 0.0
    hurry: asyncio.Event = field(default_factory=asyncio.Event)


class Acknowledger:
    """Asks pods until they have loaded what is wanted. `on_loaded` hears of each shard once all ready pods have it."""

    def __init__(
        self,
        pods_of: Callable[[str], Iterable[PodRecord]],
        on_loaded: Callable[[ShardKey, str], None],
        touch: Callable[[str], None],
        *,
        port: int = DELIVERIES,
    ) -> None:
        self._pods_of = pods_of
        self._on_loaded = on_loaded
        self._touch = touch
        self._port = port
        self._groups: dict[str, _Group] = {}
        self._places = asyncio.Semaphore(32)

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=ASK_SECONDS)
        self._session = aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = [group.task for group in self._groups.values() if group.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._session.close()

    @property
    def outstanding(self) -> int:
        """How many shards are not loaded everywhere."""
        return sum(len(group.wanted) for group in self._groups.values())

    def want(self, key: ShardKey, content: str) -> None:
        """Ask the group's pods until they have this content."""
        group = self._groups.setdefault(key.group, _Group())
        if group.wanted.get(key.number) != content:
            group.wanted[key.number] = content
            group.touched_at = monotonic()
        self.look_again(key.group)

    def forget(self, group: str) -> None:
        """Ask a group's pods no more."""
        known = self._groups.pop(group, None)
        if known is not None and known.task is not None:
            known.task.cancel()

    def look_again(self, group: str) -> None:
        """Ask soon: a pod of the group came, went or became ready, or something new is wanted of it."""
        known = self._groups.get(group)
        if known is None or not known.wanted:
            return
        known.pause = FIRST_PAUSE
        known.hurry.set()
        if known.task is None or known.task.done():
            known.task = asyncio.create_task(self._ask_until_loaded(group, known), name=f"acknowledge {group}")

    async def _ask_until_loaded(self, name: str, group: _Group) -> None:
        while group.wanted:
            try:
                await self._ask(name, group)
            except Exception:  # noqa: BLE001 - a task that nobody awaits; what it asks for is asked again
                _log.exception("acknowledge_broken", group=name)
            if not group.wanted:
                return
            group.hurry.clear()
            try:
                async with asyncio.timeout(group.pause):
                    await group.hurry.wait()
                await asyncio.sleep(FIRST_PAUSE / 2)  # what hurries us comes in bursts
            except TimeoutError:
                group.pause = min(1.5 * group.pause, LONGEST_PAUSE)

    async def _ask(self, name: str, group: _Group) -> None:
        pods = [pod for pod in self._pods_of(name) if pod.is_ready and pod.address]
        if not pods:
            return
        said = await asyncio.gather(*(self._shards_of(pod) for pod in pods))
        for number, content in list(group.wanted.items()):
            if all(shards.get(f"shard-{number:02}") == content for shards in said):
                del group.wanted[number]
                self._on_loaded(ShardKey(name, number), content)
        if group.wanted and monotonic() - group.touched_at > TOUCH_AGAIN_SECONDS:
            group.touched_at = monotonic()
            self._touch(name)

    async def _shards_of(self, pod: PodRecord) -> Mapping[str, str]:
        host = f"[{pod.address}]" if ":" in pod.address else pod.address
        try:
            async with self._places, self._session.get(f"http://{host}:{self._port}{READY_PATH}") as answer:
                found: Any = _read(await read_answer(answer)).shards
        except (aiohttp.ClientError, OSError, TimeoutError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return {}  # it will be asked again; its readiness is not ours to judge
        return found if isinstance(found, dict) else {}
