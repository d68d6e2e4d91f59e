"""Keeps the directory equal to what the Kubernetes API says of tenants, apps and pods.

The router serves on whatever happens to the API: what is known stays known, and the age of the last news is a number to
watch, not a failure. It needs no more than to list and watch three kinds in all namespaces; no Secret is among them.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any, Generic, Literal, Never, TypeVar

import structlog

from comanda_contract.directory import Directory, Group, NumberEntry
from comanda_contract.names import API_GROUP, API_VERSION, LABEL_GROUP
from comanda_contract.resources import Condition, WhatsAppApp, WhatsAppTenant
from comanda_kube.client import Client
from comanda_kube.informer import Informer, Pace
from comanda_kube.resources import ENDPOINT_SLICES, Resource, Selection
from comanda_kube.store import Change
from comanda_router.directory.build import assemble, choose_entry, merge_slices
from comanda_router.directory.parts import Part
from comanda_router.directory.records import SliceRecord, read_app, read_slice, read_tenant
from comanda_router.directory.snapshot import Snapshot, SnapshotError, load_snapshot, save_snapshot

_log = structlog.get_logger()

TENANTS = Resource(API_GROUP, API_VERSION, WhatsAppTenant.definition.plural, "WhatsAppTenant")
APPS = Resource(API_GROUP, API_VERSION, WhatsAppApp.definition.plural, "WhatsAppApp")

STALE_SECONDS = 120.0
"""A healthy API is heard of at least once in a watch, which lasts a minute at most."""

_REST = 3.0
"""After a new directory comes a rest of so many times what it took: changes take a quarter of a core at most."""

_LOOK_AGAIN_SECONDS = 0.5
"""A list that confirms what was known tells of no change, so one looks whether there was one."""

_FEW_NUMBERS = 20

R = TypeVar("R")
V = TypeVar("V")


@dataclass(frozen=True)
class DirectoryPace:
    """How often at most, in seconds: a new directory, and a snapshot of it."""

    directory: float = 0.1
    snapshot: float = 5.0


class _Source(Generic[R, V]):
    """One kind of object, and the part of the directory that is made from it."""

    def __init__(self, informer: Informer[R | None], part: Part[R, V]) -> None:
        self.informer = informer
        self.part = part

    @property
    def is_known(self) -> bool:
        """Whether the part is complete: from the API or from a snapshot."""
        return self.informer.lists > 0 or self.part.restored

    async def settle(self) -> bool:
        """Let changes count, and ask again for a loss that is doubted. True when something changed."""
        holds, changed = self.part.holds, False
        while not self.informer.removing:  # a loss that is told in part would be judged in part
            changed |= self.part.settle(self.informer.lists)
            if not self.part.unsettled:
                break
            await asyncio.sleep(0)
        if self.part.holds > holds:
            _log.warning("directory_loss_doubted", values=self.part.held)
            self.informer.list_again()
        return changed


class KubernetesDirectory:
    """Gives `on_change` each new directory: what `load` finds on disk and then, from `run`, what the API says.

    Nothing is given before all three kinds are known: a number that is missing would be taken for nobody's.
    """

    def __init__(
        self,
        client: Client,
        on_change: Callable[[Directory], Awaitable[None]],
        snapshot_file: Path | None = None,
        *,
        watching: Pace | None = None,
        pace: DirectoryPace | None = None,
    ) -> None:
        self.directory: Directory | None = None
        """The one in force."""
        self.snapshots_refused = self.snapshots_failed = 0
        """Snapshots that could not be used, and that could not be written."""
        self._client = client
        self._on_change = on_change
        self._file = snapshot_file
        self._watching = watching
        self._pace = pace or DirectoryPace()
        self._changed = asyncio.Event()
        self._restored_from: Snapshot | None = None
        self._saved_generation = 0
        self._saving = threading.Lock()
        self._numbers: Part[NumberEntry, NumberEntry] = Part(
            attrgetter("phone_number_id"), choose_entry, few=_FEW_NUMBERS
        )
        self._apps: Part[str, str] = Part(str, min)
        self._groups: Part[SliceRecord, Group] = Part(attrgetter("group"), merge_slices)
        slices = Selection(ENDPOINT_SLICES, labels=LABEL_GROUP)
        self._sources: Mapping[str, _Source[Any, Any]] = {
            "tenants": self._source(Selection(TENANTS), self._read_tenant, self._numbers),
            "apps": self._source(Selection(APPS), read_app, self._apps),
            "endpoints": self._source(slices, read_slice, self._groups),
        }

    @property
    def from_snapshot(self) -> bool:
        """Whether a part of the directory in force still is what the disk said."""
        return self._restored_from is not None and not self._is_heard

    @property
    def age_seconds(self) -> float:
        """How long ago the API was last heard of, by this process or the one that left a snapshot; else infinite."""
        if self._is_heard:
            return max(source.informer.age_seconds for source in self._sources.values())
        return time.time() - self._restored_from.heard_at if self._restored_from is not None else float("inf")

    @property
    def held(self) -> Mapping[str, int]:
        """How many numbers, apps and groups are kept though the API shows them no more, by kind of object."""
        return {name: source.part.held for name, source in self._sources.items()}

    @property
    def holds(self) -> int:
        """How often the loss of many at once was doubted."""
        return sum(source.part.holds for source in self._sources.values())

    @property
    def failing(self) -> Mapping[str, str]:
        """Kinds of objects that cannot be followed now, with the code of the error."""
        failing = ((name, source.informer.failing_with) for name, source in self._sources.items())
        return {name: code for name, code in failing if code}

    @property
    def facts(self) -> Mapping[str, float]:
        """What a metric shows: where the directory comes from, what is doubted, and what went wrong how often."""
        informers = [source.informer for source in self._sources.values()]
        return {
            "from_snapshot": self.from_snapshot,
            "held": sum(self.held.values()),
            "holds": self.holds,
            "failures": sum(informer.failures for informer in informers),
            "unreadable": sum(informer.unreadable for informer in informers),
            "snapshots_refused": self.snapshots_refused,
            "snapshots_failed": self.snapshots_failed,
        }

    @property
    def is_fresh(self) -> bool:
        """Whether what the API does not show is not there."""
        return self._freshness() == "Following"

    @property
    def condition(self) -> Condition:
        """The condition `DirectoryFresh`; False tells people to look, and stops nothing."""
        reason, age = self._freshness(), self.age_seconds
        said = f"was last heard of {age:.0f} s ago" if age < float("inf") else "has not been heard of yet"
        problems = "".join(f" Following {name} fails: {code}." for name, code in self.failing.items())
        status: Literal["True", "False"] = "True" if reason == "Following" else "False"
        message = f"The API {said}.{problems}"
        return Condition(type="DirectoryFresh", status=status, reason=reason, message=message)

    async def load(self) -> bool:
        """Begin with the snapshot; False when there is none that can be used."""
        if self._file is None:
            return False
        try:
            snapshot = load_snapshot(self._file)
        except SnapshotError as error:
            self.snapshots_refused += 1
            _log.error("snapshot_refused", problem=str(error))
            return False
        if snapshot is None:
            return False
        found = snapshot.directory
        self._numbers.restore({entry.phone_number_id: entry for entry in found.numbers})
        self._apps.restore({app: app for app in found.apps})
        self._groups.restore({group.name: group for group in found.groups if group.uid})
        self._restored_from = snapshot
        self._saved_generation = found.generation
        await self._use(found)
        return True

    async def run(self) -> None:
        """Follow the API until cancelled, then write a last snapshot. Raises a group of what `on_change` raises."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for name, source in self._sources.items():
                    tasks.create_task(source.informer.run(), name=f"informer {name}")
                tasks.create_task(self._keep_current(), name="directory")
                tasks.create_task(self._keep_snapshot(), name="snapshot")
        finally:
            await self._save()

    def _freshness(self) -> str:
        if self.directory is None:
            return "NotLoaded"
        if self.from_snapshot:
            return "FromSnapshot"
        return "Silent" if self.age_seconds > STALE_SECONDS else "Following"

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Load the snapshot and follow the API meanwhile. Raises at the end what ended `run` before its time."""
        await self.load()
        task = asyncio.create_task(self.run(), name="directory")
        task.add_done_callback(_say_how_it_ended)
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    @property
    def _is_heard(self) -> bool:
        return all(source.informer.lists > 0 for source in self._sources.values())

    def _source(self, selection: Selection, read: Callable[[bytes], R | None], part: Part[R, V]) -> _Source[R, V]:
        def note(change: Change[R | None]) -> None:
            part.note(change)
            self._changed.set()

        return _Source(Informer(self._client, selection, read, note, self._watching), part)

    def _read_tenant(self, content: bytes) -> NumberEntry | None:
        """Read a tenant; what is equal to the known entry is that one, so that it takes its memory once."""
        entry = read_tenant(content)
        known = self._numbers.values.get(entry.phone_number_id) if entry is not None else None
        return known if known == entry else entry

    async def _keep_current(self) -> Never:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_AGAIN_SECONDS):
                    await self._changed.wait()
            self._changed.clear()
            began = time.perf_counter()
            await self._settle()
            took = time.perf_counter() - began
            await asyncio.sleep(max(self._pace.directory, took * _REST))

    async def _settle(self) -> None:
        changes = [await source.settle() for source in self._sources.values()]
        if not all(source.is_known for source in self._sources.values()):
            return
        if any(changes) or self.directory is None:
            before = self.directory.generation if self.directory is not None else 0
            # What goes on changing here is copied first: the rest is done in a thread.
            numbers, groups = tuple(self._numbers.values.values()), tuple(self._groups.values.values())
            apps = tuple(self._apps.values)
            await self._use(await asyncio.to_thread(assemble, numbers, apps, groups, before + 1))

    async def _use(self, directory: Directory) -> None:
        await self._on_change(directory)
        self.directory = directory

    async def _keep_snapshot(self) -> Never:
        while True:
            await asyncio.sleep(self._pace.snapshot)
            await self._save()

    async def _save(self) -> None:
        """Write a snapshot of what is new; one that cannot be written is tried again with the next."""
        directory = self.directory
        if self._file is None or directory is None or directory.generation == self._saved_generation:
            return
        try:
            await asyncio.to_thread(self._write, self._file, Snapshot(directory, time.time() - self.age_seconds))
        except OSError as error:
            self.snapshots_failed += 1
            _log.error("snapshot_failed", problem=type(error).__name__)

    def _write(self, file: Path, snapshot: Snapshot) -> None:
        # One that is under way when the last one is wanted must not come after it.
        with self._saving:
            if snapshot.directory.generation > self._saved_generation:
                save_snapshot(file, snapshot)
                self._saved_generation = snapshot.directory.generation


def _say_how_it_ended(task: asyncio.Task[None]) -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None:
        causes = error.exceptions if isinstance(error, BaseExceptionGroup) else (error,)
        _log.critical("directory_stopped", errors=[type(cause).__name__ for cause in causes])
