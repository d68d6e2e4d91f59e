"""Posts webhooks as Meta does: signed, at least once, retried on everything but 200, with faults on demand.

An update waits its delay, joins the queue of its callback URL, travels in one POST alone or with others, and goes back
into the queue when the answer is not 200: at once the first time, then ever more rarely, until the window closes. A
retry may travel in another batch than the first try did.
"""

from __future__ import annotations

import asyncio
import io
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence

import aiohttp
import msgspec
import structlog

from comanda_contract.cloud import limits
from comanda_simulator.config import SimulatorConfig
from comanda_simulator.faults import Chance
from comanda_simulator.ledger import Entry
from comanda_simulator.payloads import SIGNATURE_HEADER, Update, build_body, sign

_log = structlog.get_logger(__name__)

_BATCH_BYTES = limits.WEBHOOK_BYTES - 64 * 1024
"""Room for updates in one POST: Meta's largest body without its envelope."""

_PIECEMEAL_BYTES = 512 * 1024


class Shipment(msgspec.Struct, kw_only=True):
    """One update under way: what it acknowledges, how often it was tried, who waits for it."""

    app: str
    update: Update
    entries: Sequence[Entry] = ()
    created: float = 0.0
    attempts: int = 0
    duplicate: bool = False
    acked: asyncio.Event | None = None


class _Lane(msgspec.Struct, kw_only=True):
    """What waits for one callback URL; while `window` runs, a batch is still gathering."""

    app: str
    url: str
    queue: deque[Shipment] = msgspec.field(default_factory=deque)
    window: asyncio.TimerHandle | None = None


class Answer(msgspec.Struct, frozen=True):
    """What the webhook endpoint answered: 0 when there was no answer, with the reason as body."""

    status: int
    body: bytes = b""


class WebhookSender:
    """The queue of updates and the tasks that post them. Start it inside a running loop, stop it there.

    `target(app, waba_id)` says where an account's webhooks go; updates share a POST only when they go to one place.
    `on_acked(entry)` is told of each ledger entry whose webhook was answered 200.
    """

    def __init__(
        self,
        config: SimulatorConfig,
        chance: Chance,
        target: Callable[[str, str], str],
        on_acked: Callable[[Entry], None],
    ) -> None:
        self.config = config
        self.stats: Counter[str] = Counter()
        self._chance = chance
        self._target = target
        self._on_acked = on_acked
        self._lanes: dict[tuple[str, str], _Lane] = {}
        self._delayed: set[asyncio.TimerHandle] = set()
        self._posting: set[asyncio.Task[None]] = set()
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def start(self) -> None:
        """Open the one HTTP session."""
        self._loop = asyncio.get_running_loop()
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=30)
        self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())

    async def stop(self) -> None:
        """Drop what waits, end what is under way, close the session."""
        for handle in self._delayed:
            handle.cancel()
        for task in self._posting:
            task.cancel()
        await asyncio.gather(*self._posting, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    @property
    def pending(self) -> int:
        """Updates that wait or are under way."""
        return len(self._delayed) + len(self._posting) + sum(len(lane.queue) for lane in self._lanes.values())

    def submit(self, shipment: Shipment) -> None:
        """Queue an update; the faults in force decide its delay."""
        shipment.created = time.monotonic()
        self.stats["submitted"] += 1
        self._later(self._chance.webhook_delay_seconds(), shipment)

    async def post(self, app: str, url: str, body: bytes, *, signature: str | None = None) -> Answer:
        """Sign and post one body and return the answer; `signature` replaces the right one."""
        if self._session is None or app not in self.config.apps:
            return Answer(0, b"not started" if self._session is None else b"unknown app")
        headers = {
            "Content-Type": "application/json",
            SIGNATURE_HEADER: signature or sign(self.config.apps[app].app_secret, body),
        }
        timeout = aiohttp.ClientTimeout(total=self.config.settings.webhook_timeout_seconds)
        # aiohttp wants large bodies as a file, which it writes in pieces.
        data = io.BytesIO(body) if len(body) > _PIECEMEAL_BYTES else body
        self.stats["posted"] += 1
        try:
            async with self._session.post(url, data=data, headers=headers, timeout=timeout) as response:
                return Answer(response.status, await response.read())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return Answer(0, type(error).__name__.encode())

    async def deliver_now(self, shipment: Shipment) -> None:
        """Post an update before returning, out of turn; a failure is retried as ever."""
        shipment.created = time.monotonic()
        self.stats["submitted"] += 1
        await self._deliver(self._target(shipment.app, shipment.update.waba_id), [shipment])

    def _later(self, seconds: float, shipment: Shipment) -> None:
        if seconds <= 0 or self._loop is None:
            self._enqueue(shipment)
            return
        handle: asyncio.TimerHandle

        def due() -> None:
            self._delayed.discard(handle)
            self._enqueue(shipment)

        handle = self._loop.call_later(seconds, due)
        self._delayed.add(handle)

    def _enqueue(self, shipment: Shipment) -> None:
        if shipment.app not in self.config.apps:
            self.stats["dropped"] += 1
            return
        url = self._target(shipment.app, shipment.update.waba_id)
        lane = self._lanes.setdefault((shipment.app, url), _Lane(app=shipment.app, url=url))
        lane.queue.append(shipment)
        faults = self._chance.faults
        if len(lane.queue) < faults.batch and lane.window is None and self._loop is not None:
            lane.window = self._loop.call_later(faults.batch_window_seconds, self._close_window, lane)
        self._pump(lane)

    def _close_window(self, lane: _Lane) -> None:
        lane.window = None
        self._pump(lane)

    def _pump(self, lane: _Lane) -> None:
        if self._session is None or self._session.closed:
            return
        while lane.queue and len(self._posting) < self.config.settings.webhook_concurrency:
            if lane.window is not None and len(lane.queue) < self._chance.faults.batch:
                return
            task = asyncio.ensure_future(self._deliver(lane.url, self._take(lane.queue)))
            self._posting.add(task)
            task.add_done_callback(self._posted)

    def _posted(self, task: asyncio.Task[None]) -> None:
        self._posting.discard(task)
        if not task.cancelled():
            if (error := task.exception()) is not None:
                _log.error("webhook_lost", exc_info=error)
            for lane in self._lanes.values():
                self._pump(lane)

    def _take(self, queue: deque[Shipment]) -> list[Shipment]:
        taken = [queue.popleft()]
        size = len(taken[0].update.value)
        while queue and len(taken) < self._chance.faults.batch:
            size += len(queue[0].update.value)
            if size > _BATCH_BYTES:
                break
            taken.append(queue.popleft())
        return taken

    async def _deliver(self, target: str, shipments: list[Shipment]) -> None:
        escape = self.config.settings.escape_unicode
        body = build_body((shipment.update for shipment in shipments), escape_unicode=escape)
        self.stats["retried"] += sum(shipment.attempts > 0 for shipment in shipments)
        answer = await self.post(shipments[0].app, target, body)
        for shipment in shipments:
            shipment.attempts += 1
            if answer.status == 200:
                self._acknowledge(shipment)
            else:
                self._retry(shipment, answer)

    def _acknowledge(self, shipment: Shipment) -> None:
        self.stats["acked"] += 1
        for entry in shipment.entries:
            self._on_acked(entry)
        if shipment.acked is not None:
            shipment.acked.set()
        if not shipment.duplicate and self._chance.hits(self._chance.faults.duplicate):
            self.stats["duplicated"] += 1
            again = Shipment(app=shipment.app, update=shipment.update, duplicate=True, created=shipment.created)
            self._later(self._chance.webhook_delay_seconds(), again)

    def _retry(self, shipment: Shipment, answer: Answer) -> None:
        settings = self.config.settings
        self.stats["refused"] += 1
        wait = settings.retry_first_seconds
        if shipment.attempts > 1:
            # The exponent is bounded: the wait has long reached its maximum by then.
            wait = min(settings.retry_base_seconds * 2 ** min(shipment.attempts - 2, 30), settings.retry_max_seconds)
        if time.monotonic() + wait > shipment.created + settings.retry_window_seconds:
            self.stats["dropped"] += 1
            _log.warning("webhook_dropped", app=shipment.app, attempts=shipment.attempts, status=answer.status)
            return
        self._later(wait, shipment)
