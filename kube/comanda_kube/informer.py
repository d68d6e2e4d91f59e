"""Keeps a store equal to what the API has: a paged list, then a watch, for ever, whatever breaks.

Each list is compared with what was known, so what vanished while nobody watched is told as removed. Objects become
small records at once. Everything is told through one callback, in order; a reader of the store sees the change already
made. An informer never gives up: its attributes say how it fares.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Generic, Never, TypeVar

import msgspec
import structlog

from comanda_kube.backoff import Backoff
from comanda_kube.client import Client, Page
from comanda_kube.errors import ApiError, ApiUnavailableError, GoneError, Status, api_error
from comanda_kube.resources import Selection
from comanda_kube.store import Change, Identity, Store

_log = structlog.get_logger()

R = TypeVar("R")

_KEEP_VERSION = (0, 401, 429)
"""Failures that say nothing about the version: nobody answered, nobody knew us, or we came too often."""

_YIELD_EVERY = 100
"""Objects of a page, or of what a list no longer shows, between two chances for others to run."""


@dataclass(frozen=True)
class Pace:
    """How patient an informer is, in seconds.

    One watch lasts between two bounds, drawn anew each time so that many do not end together; `grace` later, one that
    did not end is taken for dead. After failures the waits grow from the first delay to the longest. `relist` is how
    long a list is trusted though nothing seems wrong: after etcd was restored from a backup, a watch from a version
    that is not reached yet is silent and looks healthy.
    """

    shortest_watch: int = 30
    longest_watch: int = 60
    grace: float = 5.0
    first_delay: float = 0.2
    longest_delay: float = 30.0
    relist: float = 3600.0


class _Object(msgspec.Struct):
    metadata: Identity


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


_read_object = msgspec.json.Decoder(_Object).decode
_read_event = msgspec.json.Decoder(_Event).decode


class Informer(Generic[R]):
    """One kind of object, or a selection of it.

    `transform` turns an object's JSON into a record that can be compared; where it raises, the last good record of that
    object stays and `unreadable` counts. `on_change` must not raise.
    """

    def __init__(
        self,
        client: Client,
        selection: Selection,
        transform: Callable[[bytes], R],
        on_change: Callable[[Change[R]], None],
        pace: Pace | None = None,
    ) -> None:
        self.store: Store[R] = Store()
        self.synced = asyncio.Event()
        """Set when the first list is complete."""
        self.lists = self.watches = self.gone = self.failures = self.unreadable = 0
        """Lists completed, watches opened, 410s, failures of either, and objects that could not be read."""
        self.removing = False
        """Whether what a list no longer shows is being told, one by one with chances for others to run."""
        self.failing_with = ""
        """The code of the last failure; empty while all is well."""
        self._client = client
        self._selection = selection
        self._call = f"watch {selection.resource.plural} {selection.namespace}".strip()
        self._transform = transform
        self._on_change = on_change
        self._pace = pace or Pace()
        self._backoff = Backoff(self._pace.first_delay, self._pace.longest_delay)
        self._version = ""
        self._list_due_at = 0.0
        self._heard_at = -float("inf")

    @property
    def age_seconds(self) -> float:
        """How long ago the API was last heard of, a bookmark included; infinite before the first answer."""
        return time.monotonic() - self._heard_at

    def list_again(self) -> None:
        """List anew when the present watch ends, though nothing seems wrong."""
        self._list_due_at = time.monotonic()

    async def run(self) -> Never:
        """Keep the store equal to what the API has, until cancelled. Raises only what `on_change` raises."""
        while True:
            try:
                if not self._version or time.monotonic() >= self._list_due_at:
                    await self._list()
                await self._watch()
            except ApiError as error:
                await asyncio.sleep(self._delay_after(error))

    async def _list(self) -> None:
        self._version = ""
        self._list_due_at = time.monotonic() + self._pace.relist * random.uniform(0.9, 1.1)  # noqa: S311 - it spreads load
        seen: set[str] = set()
        version = ""
        async with aclosing(self._client.list(self._selection)) as pages:
            async for page in pages:
                self._heard_at = time.monotonic()
                await self._take_page(page, seen)
                version = page.metadata.resource_version
        await self._retain(seen)
        self._version = version
        self.lists += 1
        self.failing_with = ""
        self.synced.set()

    async def _take_page(self, page: Page, seen: set[str]) -> None:
        for number, item in enumerate(page.items, start=1):
            identity = _read_object(item).metadata
            seen.add(identity.key)
            self._put(identity, item)
            if number % _YIELD_EVERY == 0:
                await asyncio.sleep(0)

    async def _retain(self, seen: set[str]) -> None:
        self.removing = True
        for number, change in enumerate(self.store.retain(seen), start=1):
            self._on_change(change)
            if number % _YIELD_EVERY == 0:
                await asyncio.sleep(0)
        self.removing = False

    async def _watch(self) -> None:
        seconds = random.randint(self._pace.shortest_watch, self._pace.longest_watch)  # noqa: S311 - as above
        began = time.monotonic()
        watch = self._client.watch(self._selection, self._version, seconds=seconds, grace_seconds=self._pace.grace)
        async with watch as lines:
            self.watches += 1
            self._heard_at = time.monotonic()
            async for line in lines:
                self._take_event(line)
                self._hear()
        if time.monotonic() - began < min(1.0, seconds / 2):
            raise ApiUnavailableError(self._call, "the API ended the watch at once")
        self._hear()

    def _take_event(self, line: bytes) -> None:
        try:
            event = _read_event(line)
            if event.type == "ERROR":
                raise api_error(self._call, msgspec.json.decode(event.object, type=Status).code, bytes(event.object))
            identity = _read_object(event.object).metadata
        except msgspec.DecodeError as error:
            raise ApiUnavailableError(self._call, "the API sent something that is no event") from error
        if event.type == "DELETED":
            self._tell(self.store.remove(identity))
        elif event.type in ("ADDED", "MODIFIED"):
            self._put(identity, event.object)
        self._version = identity.resource_version

    def _put(self, identity: Identity, content: msgspec.Raw) -> None:
        if self.store.holds(identity):
            return
        try:
            record = self._transform(bytes(content))
        except Exception as error:  # noqa: BLE001 - one object that cannot be read must not blind us for all others
            self.unreadable += 1
            _log.warning("object_unreadable", call=self._call, key=identity.key, error=type(error).__name__)
            self._tell(self.store.replace_other(identity))
        else:
            self._tell(self.store.put(identity, record))

    def _tell(self, changes: list[Change[R]]) -> None:
        for change in changes:
            self._on_change(change)

    def _hear(self) -> None:
        """Note that a watch works."""
        self._heard_at = time.monotonic()
        self._backoff.reset()
        self.failing_with = ""

    def _delay_after(self, error: ApiError) -> float:
        """Note a failure and return how long to wait, in seconds."""
        self.failing_with = error.code
        gone = isinstance(error, GoneError)
        self.gone += gone
        self.failures += not gone
        if error.status not in _KEEP_VERSION:
            self._version = ""
        _log.warning("informer_failed", call=error.call, code=error.code, status=error.status)
        return error.retry_after_seconds + self._backoff.next()
