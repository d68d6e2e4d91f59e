"""Who of several replicas may write: the one that holds a Lease, and it only until its own clock says otherwise.

A holder renews every `retry` seconds and stops by itself `deadline` seconds after the last renewal that worked, before
others may take the Lease at `duration`. Each side judges by its own monotonic clock since it last saw the record
change: clocks of two machines are never compared. Source of the three numbers: client-go's leader election, which says
as well that this does not fence; so a writer asks `may_write` before each write, and what it writes must be right even
late.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from time import monotonic
from typing import Any

import structlog

from comanda_kube.client import Client
from comanda_kube.errors import ApiError, NotFoundError
from comanda_kube.resources import LEASES, Json

_log = structlog.get_logger()

_JITTER = 1.2
"""Waits are drawn between one and so many times `retry`."""


@dataclass(frozen=True)
class LeasePace:
    """Seconds: how long a Lease lasts, when its holder gives up, and how often both sides look."""

    duration: float = 15.0
    deadline: float = 10.0
    retry: float = 2.0


class LeaseLostError(RuntimeError):
    """The Lease could not be renewed in time: the process must end, since another may lead by now."""


@dataclass(frozen=True)
class Record:
    """A Lease as it was read: who holds it and for how long, and which version of it this is."""

    version: str
    holder: str
    seconds: float
    transitions: int


class Claim:
    """What one candidate makes of the records that it sees. Pure: `now` is monotonic, in seconds."""

    def __init__(self, identity: str, pace: LeasePace) -> None:
        self.identity = identity
        self._pace = pace
        self._record: Record | None = None
        self._seen_at = 0.0
        self.until = float("-inf")
        """Until when this candidate may write."""

    def see(self, record: Record | None, now: float) -> None:
        """Note what the API has; a version that is not new says nothing."""
        if record is None or self._record is None or record.version != self._record.version:
            self._seen_at = now
        self._record = record

    def may_take(self, now: float) -> bool:
        """Say whether the Lease is free: nobody's, ours, or its holder has been silent for too long."""
        record = self._record
        return record is None or record.holder in {"", self.identity} or now - self._seen_at > record.seconds

    def taken(self, record: Record, asked_at: float) -> None:
        """Note that the API took our claim, which was made at `asked_at`."""
        self._record, self._seen_at = record, asked_at
        self.until = asked_at + self._pace.deadline

    def lost(self) -> None:
        """Note that it is somebody else's."""
        self.until = float("-inf")

    @property
    def record(self) -> Record | None:
        """The record that was seen last."""
        return self._record


class Elector:
    """Campaigns for a Lease. `client` should be its own, so that a renewal never waits behind other calls."""

    def __init__(
        self, client: Client, namespace: str, name: str, identity: str, *, pace: LeasePace | None = None
    ) -> None:
        self._client = client
        self._namespace, self._name = namespace, name
        self._pace = pace or LeasePace()
        self._claim = Claim(identity, self._pace)
        self._current = False
        """Whether the record is surely ours as it was last written: then it need not be read to be renewed."""
        self._clock: Callable[[], float] = monotonic
        self.leading = asyncio.Event()
        """Set once this candidate has led; it never leads twice: who loses the Lease ends."""
        self.renewed_at = float("-inf")

    @property
    def may_write(self) -> bool:
        """Whether this candidate leads, by its own clock; to be asked before each write."""
        return self._clock() < self._claim.until

    @property
    def holder(self) -> str:
        """Who held the Lease when it was last looked at."""
        return self._claim.record.holder if self._claim.record is not None else ""

    async def run(self) -> None:
        """Campaign until cancelled. Raises `LeaseLostError` when the Lease was held and could not be kept."""
        while True:
            try:
                await self._try()
            except ApiError as error:
                _log.warning("lease_call_failed", call=error.call, code=error.code)
            if self.leading.is_set() and not self.may_write:
                raise LeaseLostError
            await asyncio.sleep(self._pause())

    @asynccontextmanager
    async def campaigning(self) -> AsyncIterator[asyncio.Task[None]]:
        """Campaign meanwhile, and at the end give the Lease up, so that another takes it at once."""
        task = asyncio.create_task(self.run(), name="lease")
        try:
            yield task
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError, LeaseLostError):
                await task
            with suppress(ApiError):
                await self.release()

    async def release(self) -> None:
        """Give the Lease up, if it is held. Raises `ApiError`."""
        record = self._claim.record
        if not self.may_write or record is None:
            return
        self._claim.lost()
        await self._put(replace(record, holder="", seconds=1))

    def _pause(self) -> float:
        pause = self._pace.retry * random.uniform(1.0, _JITTER)  # noqa: S311 - it spreads load, it guards nothing
        return min(pause, max(0.0, self._claim.until - self._clock())) if self.may_write else pause

    async def _try(self) -> None:
        known = self._claim.record
        if not self._current:
            known = await self._read()
            self._claim.see(known, self._clock())
            if not self._claim.may_take(self._clock()):
                self._claim.lost()
                return
        self._current = False
        changes = known.transitions + (known.holder != self._claim.identity) if known is not None else 0
        version = known.version if known is not None else ""
        asked_at = self._clock()
        made = await self._put(Record(version, self._claim.identity, self._pace.duration, changes))
        self._claim.taken(made, asked_at)
        self._current = True
        self.renewed_at = asked_at
        if not self.leading.is_set():
            _log.info("lease_taken", lease=self._name, identity=self._claim.identity)
            self.leading.set()

    async def _read(self) -> Record | None:
        try:
            return _read_record(await self._client.get(LEASES, self._namespace, self._name))
        except NotFoundError:
            return None

    async def _put(self, record: Record) -> Record:
        """Create the Lease, or replace the version that was read: of two candidates one gets a conflict."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")  # for people; nobody judges by it
        metadata: Json = {"namespace": self._namespace, "name": self._name}
        spec: Json = {
            "holderIdentity": record.holder,
            "leaseDurationSeconds": max(1, round(record.seconds)),
            "renewTime": now,
            "leaseTransitions": record.transitions,
        }
        body: Json = {"apiVersion": LEASES.api_version, "kind": LEASES.kind, "metadata": metadata, "spec": spec}
        if not record.version:
            return _read_record(await self._client.create(LEASES, body))
        metadata["resourceVersion"] = record.version
        return _read_record(await self._client.replace(LEASES, body))


def _read_record(lease: dict[str, Any]) -> Record:
    spec = lease.get("spec", {})
    return Record(
        version=lease["metadata"]["resourceVersion"],
        holder=spec.get("holderIdentity") or "",
        seconds=float(spec.get("leaseDurationSeconds") or 0),
        transitions=int(spec.get("leaseTransitions") or 0),
    )
