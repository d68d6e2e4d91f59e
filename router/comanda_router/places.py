"""Where each number is served now: the directory, turned into a table of pods.

The directory is a file that is replaced atomically. A broken one is reported and the last good one stays in force.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import structlog
from msgspec.structs import force_setattr

from comanda_contract.directory import Directory, Group, NumberEntry, PodEndpoint, decode_directory
from comanda_contract.placement import Explanation, Ring, capacity, explain
from comanda_router.metrics import DIRECTORY_AGE, MOVES, NUMBERS, PODS_READY

_log = structlog.get_logger()

Address = tuple[str, int, str]
"""Host, port, and the path before `/v1/deliveries`."""


@dataclass(frozen=True, eq=False)
class Place:
    """One pod of one group, as an address for deliveries. There is one object for it as long as it stays the same."""

    group: Group
    pod: PodEndpoint
    address: Address


@dataclass(frozen=True)
class _Placed:
    """A group with its live pods by name, and the pod of each of its numbers."""

    group: Group
    live: Mapping[str, Place]
    ring: Ring
    homes: Mapping[str, Place]


_NOWHERE: Mapping[str, Place] = {}


class Places:
    """Answers where a number belongs and which pod gets its deliveries."""

    def __init__(self, directory_file: Path) -> None:
        self._file = directory_file
        self._stamp: tuple[int, int] | None = None
        self.generation = 0
        self.loaded = False
        self.entries: Mapping[str, NumberEntry] = {}
        """What the directory says of each number."""
        self.accounts: Mapping[tuple[str, str], Sequence[str]] = {}
        """The numbers of each WhatsApp Business Account of an app: `(app, waba_id)` → phone number ids."""
        self.homes: dict[str, Place] = {}
        """The pod of each number that may be served now."""
        self._groups: dict[str, _Placed] = {}
        self._loaded_at = time.time()
        DIRECTORY_AGE.follow(lambda: {"file": time.time() - self._loaded_at})

    @property
    def ready(self) -> bool:
        """Whether webhooks find their way: a directory is loaded, and a pod is live unless there are no groups."""
        return self.loaded and (not self._groups or any(group.live for group in self._groups.values()))

    @property
    def live(self) -> frozenset[Place]:
        """Every pod that may get deliveries."""
        return frozenset(place for group in self._groups.values() for place in group.live.values())

    def refresh(self) -> bool:
        """Read the directory when it has been replaced; True when another one is in force."""
        try:
            stat = self._file.stat()
        except FileNotFoundError:
            return False
        if (stamp := (stat.st_mtime_ns, stat.st_ino)) == self._stamp:
            return False
        self._stamp = stamp
        try:
            self.use(decode_directory(self._file.read_bytes()))
        except msgspec.DecodeError as error:
            _log.error("directory_broken", problem=str(error), kept_generation=self.generation)
            return False
        self._loaded_at = stat.st_mtime
        return True

    def use(self, directory: Directory) -> None:
        """Put a directory in force: place every number over the live pods of its group, where either has changed."""
        numbers: dict[str, list[str]] = {group.name: [] for group in directory.groups}
        accounts: dict[tuple[str, str], list[str]] = {}
        for entry in directory.numbers:
            numbers.setdefault(entry.group, []).append(entry.phone_number_id)
            if entry.waba_id:
                accounts.setdefault((entry.app, entry.waba_id), []).append(entry.phone_number_id)
        self.accounts = accounts
        self._groups = {group.name: self._place(group, numbers.pop(group.name)) for group in directory.groups}
        before = self.entries
        self.entries = {
            entry.phone_number_id: _shared(entry, before.get(entry.phone_number_id)) for entry in directory.numbers
        }
        homes = [group.homes for group in self._groups.values()]
        self.homes = (
            dict(homes[0]) if len(homes) == 1 else {number: home for each in homes for number, home in each.items()}
        )
        for entry in directory.numbers:
            if not entry.ready:
                self.homes.pop(entry.phone_number_id, None)
        self.generation, self.loaded = directory.generation, True
        NUMBERS.set(len(self.entries))
        PODS_READY.set(len(self.live))

    def others(self, entry: NumberEntry, than: Collection[Place]) -> Iterator[Place]:
        """Give the live pods for a number in its order, save some; each is looked for when it is asked for."""
        group = self._groups.get(entry.group)
        if group is not None and entry.ready:
            places = (group.live[pod] for pod in group.ring.order(entry.phone_number_id))
            yield from (place for place in places if place not in than)

    def explain(self, phone_number_id: str, resting: Collection[Place]) -> tuple[NumberEntry, Explanation] | None:
        """Tell where a number goes and why; None for an unknown one. `resting` are pods that have got a rest."""
        entry = self.entries.get(phone_number_id)
        if entry is None:
            return None
        group = self._groups.get(entry.group)
        if group is None:
            return entry, Explanation(None, 0, ())
        avoided = {name for name, place in group.live.items() if place in resting}
        pods = [pod.name for pod in group.group.pods]
        placed = {number: place.pod.name for number, place in group.homes.items()}
        return entry, explain(phone_number_id, pods, group.live, placed, avoided)

    def _place(self, group: Group, numbers: Sequence[str]) -> _Placed:
        before = self._groups.get(group.name)
        known = before.live if before is not None else _NOWHERE
        live = {
            place.pod.name: place
            for pod in group.pods
            if pod.ready and (place := _place_of(group, pod, known.get(pod.name))) is not None
        }
        if before is not None and before.live == live and before.homes.keys() == set(numbers):
            return _Placed(group, before.live, before.ring, before.homes)
        ring = Ring(live)
        homes = {number: live[pod] for number, pod in ring.spread(numbers, capacity(len(numbers), len(live))).items()}
        if before is not None:
            was = before.homes
            MOVES.counts["directory"] += sum(
                was.get(each, home).pod.name != home.pod.name for each, home in homes.items()
            )
        return _Placed(group, live, ring, homes)


def _shared(entry: NumberEntry, known: NumberEntry | None) -> NumberEntry:
    """Return the entry so that it takes little memory, since there may be 100,000: equal ones are the same object."""
    if known is not None and known == entry:
        return known
    force_setattr(entry, "app", sys.intern(entry.app))
    force_setattr(entry, "waba_id", sys.intern(entry.waba_id))
    force_setattr(entry, "group", sys.intern(entry.group))
    return entry


def _place_of(group: Group, pod: PodEndpoint, known: Place | None) -> Place | None:
    """Return the place of a live pod, the known one if nothing has changed; None for an address that is none."""
    if known is not None and known.pod == pod and known.group.uid == group.uid:
        return known
    try:
        parts = urlsplit(pod.url)
        address = (parts.hostname or "", parts.port or 80, parts.path.rstrip("/"))
    except ValueError:
        parts, address = None, ("", 0, "")
    if parts is None or parts.scheme != "http" or not address[0]:
        _log.error("pod_url_invalid", group=group.name, pod=pod.name, rule="must be http://host:port")
        return None
    return Place(group, pod, address)
