"""Writes to the API: none without the Lease, none that changes nothing, and not too many at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from time import monotonic

from comanda_contract.errors import ComandaError
from comanda_kube.client import Client, Preconditions
from comanda_kube.resources import Json, Resource
from comanda_operator.live import LiveObject, holds
from comanda_operator.manifests.group import Wanted
from comanda_operator.metrics import DRIFT, WRITES

WRITES_PER_SECOND = 200.0
BURST = 50
URGENT: ContextVar[bool] = ContextVar("urgent", default=False)
"""Whether somebody waits for what is written now: it goes before what is held back, and counts with it."""


class NotLeadingError(ComandaError):
    """A write was wanted by a replica that does not hold the Lease; nothing was written."""

    code = "not_leading"


class Writer:
    """The only way to the API's writing side.

    `seconds_left` is asked right before each write: how long the Lease is surely held. A write that is not done by
    then is given up, so that one which was held up (no connection, a process that stood still) is not sent later.
    """

    def __init__(
        self, client: Client, seconds_left: Callable[[], float], per_second: float = WRITES_PER_SECOND
    ) -> None:
        self._client = client
        self._seconds_left = seconds_left
        self._each = 1.0 / per_second
        self._full_at = 0.0

    async def make(self, wanted: Wanted, live: LiveObject | None) -> bool:
        """Create an object or mend it; False when it holds all that is wanted. Raises `ApiError`, `NotLeadingError`."""
        if live is not None and holds(live, wanted.body):
            return False
        async with self._turn():
            await self._client.apply(wanted.resource, wanted.body)
        WRITES.labels(verb="apply", kind=wanted.resource.kind).inc()
        if live is not None:
            DRIFT.labels(kind=wanted.resource.kind).inc()
        return True

    async def remove(self, resource: Resource, live: LiveObject) -> bool:
        """Delete the very object that was seen; False when it is gone. Raises `ApiError`, `NotLeadingError`."""
        described = live.metadata
        async with self._turn():
            WRITES.labels(verb="delete", kind=resource.kind).inc()
            return await self._client.delete(
                resource, described.namespace, described.name, only=Preconditions(uid=described.uid)
            )

    async def release(self, resource: Resource, live: LiveObject) -> bool:
        """Delete the very object that was seen, and leave what it made: one made in its place takes that over."""
        described = live.metadata
        async with self._turn():
            WRITES.labels(verb="delete", kind=resource.kind).inc()
            return await self._client.delete(
                resource,
                described.namespace,
                described.name,
                only=Preconditions(uid=described.uid),
                propagation="Orphan",
            )

    async def put_status(self, resource: Resource, key: str, uid: str, status: Json) -> None:
        """Write the status of the very object that was seen. Raises `ApiError`, `NotLeadingError`."""
        namespace, _, name = key.partition("/")
        body = {"metadata": {"namespace": namespace, "name": name}, "status": status}
        async with self._turn():
            await self._client.apply_status(resource, body, only=Preconditions(uid=uid))
        WRITES.labels(verb="status", kind=resource.kind).inc()

    async def touch(self, resource: Resource, key: str, uid: str, annotations: dict[str, str]) -> None:
        """Annotate the very object that was seen, as a manager of its own. Raises `ApiError`, `NotLeadingError`."""
        namespace, _, name = key.partition("/")
        body = {"metadata": {"namespace": namespace, "name": name, "annotations": annotations}}
        async with self._turn():
            await self._client.apply(resource, body, only=Preconditions(uid=uid), manager="comanda-operator-touch")
        WRITES.labels(verb="touch", kind=resource.kind).inc()

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Wait for this write's turn, then let it take as long as it is surely ours to make."""
        now = monotonic()
        self._full_at = max(now, self._full_at) + self._each
        wait = self._full_at - now - BURST * self._each
        if wait > 0 and not URGENT.get():
            await asyncio.sleep(wait)
        try:
            async with asyncio.timeout(self._seconds_left()):
                await asyncio.sleep(0)  # where no time is left, nothing is begun
                yield
        except TimeoutError:
            hint = "This one follows; nothing is to be done."
            raise NotLeadingError("Another replica leads.", hint=hint) from None
