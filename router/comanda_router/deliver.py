"""Deliveries to pods, coalesced: while one batch is on its way to a pod, what comes for it gathers and goes together.

There is no timer: at rest a delivery leaves alone and at once, under load a request carries many.
"""

from __future__ import annotations

import asyncio
import io
from collections import deque
from collections.abc import Sequence

import aiohttp
import msgspec
import structlog

from comanda_contract.deliveries import (
    MAX_BATCH,
    STORAGE,
    Answer,
    Delivery,
    DeliveryBatch,
    decode_answers,
    encode_batch,
)
from comanda_contract.errors import UnavailableError
from comanda_contract.names import DELIVERIES_PATH, group_key
from comanda_router.metrics import BATCH_SIZE
from comanda_router.places import Place

_log = structlog.get_logger()

BATCH_BYTES = 4 * 1024 * 1024
"""A batch is closed when it holds this much; a pod reads up to 8 MiB."""

STREAMED_BYTES = 512 * 1024


class PodUnreachableError(UnavailableError):
    """The pod could not be connected to, or went away before it answered; another pod may store the same deliveries."""

    code = "pod_unreachable"


_Parcel = tuple[Sequence[Delivery], "asyncio.Future[list[Answer]]"]


class PodLine:
    """The line to one pod: one batch under way at a time."""

    def __init__(self, session: aiohttp.ClientSession, url: str, key: str, timeout_seconds: float) -> None:
        self._session = session
        self._url = url + DELIVERIES_PATH
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds, connect=1.0)
        self._waiting: deque[_Parcel] = deque()
        self._task: asyncio.Task[None] | None = None

    async def deliver(self, deliveries: Sequence[Delivery]) -> list[Answer]:
        """Deliver with whatever else is waiting; one answer a delivery. Raises `PodUnreachableError`."""
        future: asyncio.Future[list[Answer]] = asyncio.get_running_loop().create_future()
        self._waiting.append((deliveries, future))
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="pod-line")
        return await future

    async def _run(self) -> None:
        try:
            while self._waiting:
                batch = self._next_batch()
                await self._send(batch)
        finally:
            self._task = None

    def _next_batch(self) -> list[_Parcel]:
        batch: list[_Parcel] = []
        count = size = 0
        while self._waiting:
            deliveries = self._waiting[0][0]
            more = sum(len(delivery.item) for delivery in deliveries)
            if batch and (count + len(deliveries) > MAX_BATCH or size + more > BATCH_BYTES):
                break
            batch.append(self._waiting.popleft())
            count, size = count + len(deliveries), size + more
        return batch

    async def _send(self, batch: list[_Parcel]) -> None:
        deliveries = [delivery for parcel, _ in batch for delivery in parcel]
        BATCH_SIZE.observe(len(deliveries))
        try:
            answers = await self._post(deliveries)
        except Exception as error:  # noqa: BLE001 - whatever went wrong, those who wait must hear of it
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        position = 0
        for parcel, future in batch:
            if not future.done():
                future.set_result(answers[position : position + len(parcel)])
            position += len(parcel)

    async def _post(self, deliveries: list[Delivery]) -> list[Answer]:
        encoded = encode_batch(DeliveryBatch(deliveries=deliveries))
        # aiohttp writes a stream in pieces and lets others run meanwhile; for a small body that is not worth it.
        body = io.BytesIO(encoded) if len(encoded) > STREAMED_BYTES else encoded
        try:
            async with self._session.post(
                self._url, data=body, headers=self._headers, timeout=self._timeout
            ) as response:
                content = await response.read()
                status = response.status
        except TimeoutError:
            # The pod may be storing it still; another pod must not be asked as well.
            return [STORAGE] * len(deliveries)
        except (aiohttp.ClientError, OSError) as error:
            raise PodUnreachableError(f"The pod did not answer ({type(error).__name__}).") from error
        if status != 200:
            _log.error("pod_refused_batch", status=status, deliveries=len(deliveries))
            return [STORAGE] * len(deliveries)
        try:
            answers = decode_answers(content).answers
        except msgspec.DecodeError:
            answers = []
        return answers if len(answers) == len(deliveries) else [STORAGE] * len(deliveries)


class Lines:
    """All lines, one a pod address, made when first needed."""

    def __init__(self, session: aiohttp.ClientSession, master_key: bytes, timeout_seconds: float) -> None:
        self._session = session
        self._master_key = master_key
        self._timeout_seconds = timeout_seconds
        self._lines: dict[tuple[str, str], PodLine] = {}

    def to(self, place: Place) -> PodLine:
        """Return the line to a pod."""
        address = (place.group.uid, place.pod.url)
        line = self._lines.get(address)
        if line is None:
            key = group_key(self._master_key, place.group.uid)
            line = PodLine(self._session, place.pod.url, key, self._timeout_seconds)
            self._lines[address] = line
        return line
