"""Where each number is served now: the directory, turned into a table of pods.

The directory is a file that is replaced atomically. A broken one is reported and the last good one stays in force.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import msgspec
import structlog

from comanda_contract.directory import Directory, Group, NumberEntry, PodEndpoint, decode_directory
from comanda_contract.placement import place_all, placement_order
from comanda_router.metrics import NUMBERS, PODS_READY

_log = structlog.get_logger()


@dataclass(frozen=True)
class Place:
    """One pod of one group, as an address for deliveries."""

    group: Group
    pod: PodEndpoint


class Places:
    """Answers where a number belongs and which pod gets its deliveries."""

    def __init__(self, directory_file: Path) -> None:
        self._file = directory_file
        self._stamp: tuple[int, int] | None = None
        self.directory = Directory()
        self.loaded = False
        self._numbers: dict[str, NumberEntry] = {}
        self._groups: dict[str, Group] = {}
        self._placed: dict[str, str] = {}

    def refresh(self) -> None:
        """Read the directory when it has been replaced."""
        try:
            stat = self._file.stat()
        except FileNotFoundError:
            return
        if (stamp := (stat.st_mtime_ns, stat.st_ino)) == self._stamp:
            return
        self._stamp = stamp
        try:
            self.use(decode_directory(self._file.read_bytes()))
        except msgspec.DecodeError as error:
            _log.error("directory_broken", problem=str(error), kept_generation=self.directory.generation)

    def use(self, directory: Directory) -> None:
        """Put a directory in force and place every number over the ready pods of its group."""
        self.directory = directory
        self.loaded = True
        self._numbers = {entry.phone_number_id: entry for entry in directory.numbers}
        self._groups = {group.name: group for group in directory.groups}
        self._placed = {}
        for group in directory.groups:
            numbers = [entry.phone_number_id for entry in directory.numbers if entry.group == group.name]
            self._placed |= place_all(numbers, [pod.name for pod in group.pods], _ready(group))
        NUMBERS.set(len(self._numbers))
        PODS_READY.set(sum(len(_ready(group)) for group in directory.groups))

    def entry(self, phone_number_id: str) -> NumberEntry | None:
        """Return what the directory says of a number, or None for an unknown one."""
        return self._numbers.get(phone_number_id)

    def place(self, entry: NumberEntry, avoid: Collection[str] = ()) -> Place | None:
        """Return the pod for a number: its own one, or the next ready one in its order when that is to be avoided.

        None when no pod is ready for it.
        """
        group = self._groups.get(entry.group)
        if group is None or not entry.ready:
            return None
        pods = {pod.name: pod for pod in group.pods}
        placed = self._placed.get(entry.phone_number_id)
        if placed is not None and placed not in avoid:
            return Place(group, pods[placed])
        order = placement_order(entry.phone_number_id, pods)
        name = next((name for name in order if pods[name].ready and name not in avoid), None)
        return Place(group, pods[name]) if name is not None else None


def _ready(group: Group) -> list[str]:
    return [pod.name for pod in group.pods if pod.ready]
