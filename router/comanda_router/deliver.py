"""Deliveries to pods, coalesced: while one batch is on its way to a pod, what comes for it gathers and goes together.

There is no timer: at rest a delivery leaves alone and at once, under load a request carries many. One batch at a time,
on one connection that is kept alive, keeps the order in which webhooks came; two or four at a time were not faster.

A pod that does not answer costs nobody else anything: what waits for it is bounded, each webhook has its deadline, and
after a stall or a few failed connections the pod gets a rest (`breaker.py`) in which its numbers go to the next one.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from time import monotonic

import msgspec
import structlog

from comanda_contract.deliveries import MAX_BATCH, STORAGE, STORED, Answer, BatchAnswer, decode_answers, encode_answers
from comanda_contract.names import DELIVERIES_PATH, group_key
from comanda_router.breaker import Breaker
from comanda_router.connection import PodConnection
from comanda_router.metrics import BATCH_SECONDS, BATCH_SIZE, BATCHES, BREAKS, LIMITS
from comanda_router.parcels import Batch, Parcel
from comanda_router.places import Place

_log = structlog.get_logger()

BATCH_BYTES = 4 * 1024 * 1024
"""A batch is closed when it holds this much; a pod reads up to 8 MiB."""

IDLE_SECONDS = 60.0
"""A connection that has carried nothing for this long is closed; pods keep theirs open for 75 s."""

LOOK_SECONDS = 0.05
"""How often deadlines, stalls and rests are looked at."""

LOOKS_AT_ALL = 20
"""Every so manieth time the idle lines are looked at as well."""


@lru_cache(maxsize=MAX_BATCH)
def _all_stored(count: int) -> bytes:
    """Return the usual answer, which is compared and not read."""
    return encode_answers(BatchAnswer(answers=[STORED] * count))


@dataclass(frozen=True, slots=True)
class LineLimits:
    """What one pod may cost."""

    deadline_seconds: float = 4.0
    """From the whole webhook read to its answer, waiting included."""
    stall_seconds: float = 1.0
    """A batch without an answer for this long: the pod is slow or frozen, and gets a rest."""
    connect_seconds: float = 1.0
    waiting_deliveries: int = 8192
    """For one pod, those on their way included; what comes on top is refused at once."""
    waiting_bytes: int = 16 * 1024 * 1024


Plan = Callable[["Line"], None]
"""Flushes a line in the next turn of the loop."""


class Line:
    """The line to one pod. Belongs to one event loop."""

    def __init__(self, place: Place, key: str, limits: LineLimits, plan: Plan) -> None:
        self.place = place
        self._plan = plan
        self.breaker = Breaker(random.random)
        self.resting = False
        """Whether deliveries should rather go to another pod."""
        self.waiting_deliveries = self.waiting_bytes = 0
        """Those on their way included."""
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        host, port, prefix = place.address
        self._head = (
            f"POST {prefix}{DELIVERIES_PATH} HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {key}\r\n"
            "Content-Type: application/json\r\nContent-Length: "
        ).encode()
        self._waiting: deque[Parcel] = deque()
        self._flush_planned = False
        self._batch: Batch | None = None
        """What is on its way."""
        self._connection: PodConnection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._idle_since = 0.0

    @property
    def busy(self) -> bool:
        """Whether anything waits or is on its way."""
        return self._batch is not None or bool(self._waiting)

    def put(self, parcel: Parcel) -> bool:
        """Deliver a parcel with whatever else waits; False when too much waits already."""
        count, size = self.waiting_deliveries + parcel.count, self.waiting_bytes + parcel.size
        limits = self._limits
        if (count > limits.waiting_deliveries or size > limits.waiting_bytes) and self.waiting_deliveries:
            LIMITS.counts["pod_queue"] += 1
            return False
        self.waiting_deliveries, self.waiting_bytes = count, size
        self._waiting.append(parcel)
        if self._batch is None and not self._flush_planned:
            self._flush_planned = True
            self._plan(self)
        return True

    def look(self, now: float) -> bool:
        """Refuse what is past its deadline, give a pod that stalls its rest, and probe one that has had it.

        False when there is nothing to look for before something is to be delivered again.
        """
        while self._waiting and self._waiting[0].due <= now:
            LIMITS.counts["deadline"] += 1
            self._taken().refuse()
        if self._batch is not None:
            self._look_at(self._batch, now)
        elif self.breaker.is_open:
            if self.breaker.wants_probe(now):
                self._send(Batch((), 0, 0, now))
        elif self._connection is not None and now - self._idle_since > IDLE_SECONDS:
            self._drop()
        return self.busy or self.breaker.is_open

    def close(self) -> None:
        """Close the connection; what is still on its way is refused."""
        self._drop()
        self._refuse_batch()
        while self._waiting:
            self._taken().refuse()

    # What the connection says

    def on_answer(self, status: int, content: bytes) -> None:
        """Settle a batch, each parcel with its own answers."""
        batch = self._end()
        now = self._idle_since = monotonic()
        if not batch.stalled:
            self.breaker.answered()
            self.resting = False
        answers = self._read(batch, status, content, now)
        position = 0
        for parcel in batch.parcels:
            if answers is None:
                parcel.settle(None)
            else:
                parcel.settle(answers[position : position + parcel.count])
                position += parcel.count
        if self._waiting and not self._flush_planned:
            self._flush_planned = True
            self._plan(self)

    def on_lost(self, connection: PodConnection) -> None:
        """Send a batch once more when only a kept-alive connection had ended, else let its webhooks try elsewhere."""
        if connection is not self._connection:
            return
        self._connection = None
        batch = self._batch
        if batch is None:
            return
        if connection.answers and not connection.answering and not batch.repeated:
            batch.repeated = True
            self._send(batch)
        else:
            self._fail("lost")

    # Sending

    def flush(self) -> None:
        """Send what waits, unless something is on its way."""
        self._flush_planned = False
        if self._waiting and self._batch is None:
            self._send(self._next_batch())

    def _next_batch(self) -> Batch:
        waiting = self._waiting
        parcels = [first := waiting.popleft()]
        count, size = first.count, first.size
        while waiting:
            parcel = waiting[0]
            if count + parcel.count > MAX_BATCH or size + parcel.size > BATCH_BYTES:
                break
            parcels.append(waiting.popleft())
            count, size = count + parcel.count, size + parcel.size
        return Batch(parcels, count, size, monotonic())

    def _send(self, batch: Batch) -> None:
        self._batch = batch
        connection = self._connection
        if connection is not None and not connection.closing:
            connection.post(batch.request(self._head))
        else:
            self._connecting = self._loop.create_task(self._connect(), name="pod-connect")

    async def _connect(self) -> None:
        host, port, _ = self.place.address
        try:
            async with asyncio.timeout(self._limits.connect_seconds):
                _, self._connection = await self._loop.create_connection(lambda: PodConnection(self), host, port)
        except OSError:  # a time-out is one too
            self._connecting = None
            self._fail("unreachable")
            return
        self._connecting = None
        if self._batch is not None:
            self._send(self._batch)

    # Endings

    def _read(self, batch: Batch, status: int, content: bytes, now: float) -> Sequence[Answer] | None:
        """Return the pod's answer for each delivery, None for all stored, or refusals when it is none of ours."""
        if batch.parcels:
            BATCH_SIZE.observe(batch.count)
            BATCH_SECONDS.observe(now - batch.sent_at)
        answers: Sequence[Answer] = ()
        if status == 200:
            if content == _all_stored(batch.count):
                BATCHES.counts["answered"] += 1
                return None
            try:
                answers = decode_answers(content).answers
            except msgspec.DecodeError:
                answers = ()
        if len(answers) == batch.count and status == 200:
            BATCHES.counts["answered"] += 1
            return answers
        BATCHES.counts["not_understood"] += 1
        _log.error("pod_answer_not_understood", pod=self.place.pod.name, status=status, deliveries=batch.count)
        return [STORAGE] * batch.count

    def _look_at(self, batch: Batch, now: float) -> None:
        age = now - batch.sent_at
        if age >= self._limits.stall_seconds and not batch.stalled:
            batch.stalled = True
            self._rest("stalled", begins=self.breaker.stalled(now))
        for parcel in batch.parcels:
            if parcel.due <= now and parcel.sender is not None:
                LIMITS.counts["deadline"] += 1
                parcel.refuse()
        # Nothing hangs on a probe; a batch is waited for, since the pod may be storing it.
        if age >= (self._limits.deadline_seconds if batch.parcels else self._limits.stall_seconds):
            BATCHES.counts["timeout"] += 1
            self._drop()
            self._refuse_batch()
            self.flush()

    def _fail(self, cause: str) -> None:
        """Let the webhooks of the batch try elsewhere: the connection could not be made, or broke."""
        BATCHES.counts[cause] += 1
        begins = self.breaker.failed(monotonic())
        batch = self._end()
        for parcel in batch.parcels:
            if not parcel.move(self.place):
                parcel.refuse()
        self._rest(cause, begins=begins)
        self.flush()

    def _rest(self, cause: str, *, begins: bool) -> None:
        """Send nothing more to a pod that has got a rest, and let what waits for it go elsewhere, where that is."""
        self.resting = self.breaker.is_open
        if not begins:
            return
        BREAKS.counts[cause] += 1
        _log.warning("pod_rests", pod=self.place.pod.name, cause=cause, waiting=len(self._waiting))
        for _ in range(len(self._waiting)):
            parcel = self._taken()
            if not parcel.move(self.place):
                self._waiting.append(parcel)
                self.waiting_deliveries += parcel.count
                self.waiting_bytes += parcel.size

    def _end(self) -> Batch:
        """Take the batch off the books."""
        batch, self._batch = self._batch, None
        assert batch is not None  # noqa: S101 - only a batch that is on its way can end
        self.waiting_deliveries -= batch.count
        self.waiting_bytes -= batch.size
        return batch

    def _refuse_batch(self) -> None:
        if self._batch is not None:
            for parcel in self._end().parcels:
                parcel.refuse()

    def _taken(self) -> Parcel:
        parcel = self._waiting.popleft()
        self.waiting_deliveries -= parcel.count
        self.waiting_bytes -= parcel.size
        return parcel

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()
        connecting, self._connecting = self._connecting, None
        if connecting is not None:
            connecting.cancel()


class Lines:
    """All lines, one a pod, made when first needed. Call `start` in the event loop that they are to live in."""

    def __init__(self, master_key: bytes, limits: LineLimits) -> None:
        self._master_key = master_key
        self._limits = limits
        self._lines: dict[Place, Line] = {}
        self._looking: asyncio.TimerHandle | None = None
        self._looks = 0
        self._planned: list[Line] = []
        self._awake: set[Line] = set()
        """Lines that have had something to deliver since the last look, or still have, or rest."""

    def start(self) -> None:
        """Look after deadlines from now on."""
        self._looking = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)

    def to(self, place: Place) -> Line:
        """Return the line to a pod."""
        line = self._lines.get(place)
        if line is None:
            line = Line(place, group_key(self._master_key, place.group.name, place.group.uid), self._limits, self._plan)
            self._lines[place] = line
        return line

    def _plan(self, line: Line) -> None:
        # One call for all lines, when all connections have been read: what comes for a pod in one turn goes together.
        if not self._planned:
            asyncio.get_running_loop().call_soon(self._flush_all)
        self._planned.append(line)

    def _flush_all(self) -> None:
        planned, self._planned = self._planned, []
        for line in planned:
            line.flush()
        self._awake.update(planned)

    def keep(self, places: Collection[Place]) -> None:
        """Close the lines to pods that are no more, once nothing is on its way on them."""
        for place in [place for place, line in self._lines.items() if place not in places and not line.busy]:
            line = self._lines.pop(place)
            line.close()
            self._awake.discard(line)

    def resting(self) -> Mapping[Place, Line]:
        """Return the lines to pods that have got a rest."""
        return {place: line for place, line in self._lines.items() if line.resting}

    def states(self) -> Mapping[str, float]:
        """Count the pods that have a line by the state of their breaker."""
        return Counter(line.breaker.state for line in self._lines.values())

    def close(self) -> None:
        """Close every line."""
        if self._looking is not None:
            self._looking.cancel()
        for line in self._lines.values():
            line.close()
        self._lines.clear()

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now = monotonic()
        self._looks += 1
        # A list: what a pod that stalls had waiting goes to others, whose lines may be made just then.
        awake = list(self._awake if self._looks % LOOKS_AT_ALL else self._lines.values())
        self._awake = {line for line in awake if line.look(now)}
        self._looking = loop.call_later(LOOK_SECONDS, self._look)
