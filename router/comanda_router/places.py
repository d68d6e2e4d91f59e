"""Where each number is served now: the directory, turned into a table of pods."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import structlog
from msgspec.structs import force_setattr

from comanda_contract.directory import Directory, Group, NumberEntry, PodEndpoint
from comanda_contract.placement import Explanation, Ring, capacity, explain
from comanda_router.metrics import MOVES, NUMBERS, PODS_READY

_log = structlog.get_logger()

Address = tuple[str, int, str]
"""Host, port, and the path before `/v1/deliveries`."""


@dataclass(frozen=True, eq=False)
class Place:
    """One pod of one group, as an address for deliveries. There is one object for it as long as it stays the same."""

    group: Group
    pod: PodEndpoint
    address: Address


@dataclass(frozen=True, slots=True)
class _Live:
    """A group and its pods that may get deliveries, by name."""

    group: Group
    pods: Mapping[str, Place]
    ring: Ring


@dataclass(slots=True)
class Plan:
    """What a directory means, worked out and not yet in force."""

    generation: int
    entries: dict[str, NumberEntry]
    homes: dict[str, Place]
    accounts: dict[str, tuple[str, ...]]
    groups: Mapping[str, _Live]
    moves: int = 0
    """Numbers that get another pod."""


class Places:
    """Answers where a number belongs and which pod gets its deliveries.

    What is in force is replaced and never changed, so that it may be read in a thread.
    """

    def __init__(self) -> None:
        self.generation = 0
        self.loaded = False
        self.entries: dict[str, NumberEntry] = {}
        """What the directory says of each number."""
        self.homes: dict[str, Place] = {}
        """The pod of each number that may be served now."""
        self.is_doubtful: Callable[[], bool] = lambda: False
        """Whether the directory may be older than the world: a number that is missing there may not be nobody's."""
        self._accounts: dict[str, tuple[str, ...]] = {}
        self._groups: Mapping[str, _Live] = {}

    @property
    def ready(self) -> bool:
        """Whether webhooks find their way: a directory is loaded, and a pod is live unless there are no groups."""
        return self.loaded and (not self._groups or any(group.pods for group in self._groups.values()))

    @property
    def live(self) -> frozenset[Place]:
        """Every pod that may get deliveries."""
        return frozenset(place for group in self._groups.values() for place in group.pods.values())

    def use(self, directory: Directory) -> None:
        """Put a directory in force."""
        self.put(self.plan(directory))

    def plan(self, directory: Directory) -> Plan:
        """Work out what a directory means; nothing changes yet, so this may be done in a thread, one at a time.

        Numbers of a group are placed anew only where its pods or its numbers changed.
        """
        groups = {group.name: self._look_at(group) for group in directory.groups}
        moved = {name for name, group in groups.items() if group is not self._groups.get(name)}
        moved |= self._groups.keys() - groups.keys()
        plan = Plan(directory.generation, self.entries.copy(), self.homes.copy(), self._accounts.copy(), groups)
        moves: list[tuple[str, str, str]] = []
        for number, now in self._changes(directory.numbers):
            was = plan.entries.get(number)
            if was is None or now is None or (was.group, was.ready) != (now.group, now.ready):
                moved |= {entry.group for entry in (was, now) if entry is not None}
            moves.append((number, _account_of(was), _account_of(now)))
            if now is not None:
                plan.entries[number] = now
            else:
                del plan.entries[number]
                plan.homes.pop(number, None)
        _note_accounts(plan.accounts, moves)
        _place(plan, moved)
        return plan

    def put(self, plan: Plan) -> None:
        """Put in force what `plan` has worked out last."""
        self.entries, self.homes, self._accounts, self._groups = plan.entries, plan.homes, plan.accounts, plan.groups
        self.generation, self.loaded = plan.generation, True
        MOVES.counts["directory"] += plan.moves
        NUMBERS.set(len(plan.entries))
        PODS_READY.set(sum(len(group.pods) for group in plan.groups.values()))

    def entry(self, phone_number_id: str) -> NumberEntry | None:
        """Return what the directory in force says of a number."""
        return self.entries.get(phone_number_id)

    def of_account(self, app: str, waba_id: str) -> Sequence[str]:
        """Return an app's numbers in a WhatsApp Business Account."""
        return [number for number in self._accounts.get(waba_id, ()) if self.entries[number].app == app]

    def others(self, entry: NumberEntry, than: Collection[Place]) -> Iterator[Place]:
        """Give the live pods for a number in its order, save some; each is looked for when it is asked for."""
        group = self._groups.get(entry.group)
        if group is not None and entry.ready:
            places = (group.pods[pod] for pod in group.ring.order(entry.phone_number_id))
            yield from (place for place in places if place not in than)

    def explain(self, phone_number_id: str, resting: Collection[Place]) -> tuple[NumberEntry, Explanation] | None:
        """Tell where a number goes and why; None for an unknown one. `resting` are pods that have got a rest."""
        entry = self.entries.get(phone_number_id)
        if entry is None:
            return None
        group = self._groups.get(entry.group)
        if group is None:
            return entry, Explanation(None, 0, ())
        avoided = {name for name, place in group.pods.items() if place in resting}
        pods = [pod.name for pod in group.group.pods]
        placed = _spread(group, [each.phone_number_id for each in self.entries.values() if each.group == entry.group])
        return entry, explain(phone_number_id, pods, group.pods, placed, avoided)

    def _changes(self, numbers: Sequence[NumberEntry]) -> list[tuple[str, NumberEntry | None]]:
        """Return the numbers whose entry differs from the one in force; with None those that are gone."""
        known = self.entries
        # Entries that have not changed are nearly always the very same objects: 100,000 take some milliseconds.
        others = [entry for entry in numbers if known.get(entry.phone_number_id) is not entry]
        new = [entry for entry in others if entry.phone_number_id not in known]
        gone: Iterable[str] = ()
        if len(known) + len(new) > len(numbers):
            named = {entry.phone_number_id for entry in numbers}
            # Not a difference of two sets: that would hold the interpreter until it is done.
            gone = [number for number in known if number not in named]
        changed = [entry for entry in others if known.get(entry.phone_number_id) != entry]
        return [*((each.phone_number_id, _interned(each)) for each in changed), *((number, None) for number in gone)]

    def _look_at(self, group: Group) -> _Live:
        """Return a group with its live pods: the very one that is known if nothing about it has changed."""
        known = self._groups.get(group.name)
        if known is not None and known.group == group:
            return known
        before = known.pods if known is not None else {}
        pods = {
            place.pod.name: place
            for pod in group.pods
            if pod.ready and (place := _place_of(group, pod, before.get(pod.name))) is not None
        }
        ring = known.ring if known is not None and before.keys() == pods.keys() else Ring(pods)
        return _Live(group, pods, ring)


def _place(plan: Plan, groups: Collection[str]) -> None:
    """Give the numbers of some groups their pods."""
    numbers: dict[str, list[str]] = {name: [] for name in groups}
    for entry in plan.entries.values() if groups else ():
        if entry.group in numbers:
            numbers[entry.group].append(entry.phone_number_id)
    for name, members in numbers.items():
        group = plan.groups.get(name)
        placed = _spread(group, members) if group is not None else {}
        for number in members:
            pod = placed.get(number)
            if group is None or pod is None or not plan.entries[number].ready:
                plan.homes.pop(number, None)
                continue
            before, home = plan.homes.get(number), group.pods[pod]
            if before is not None and before.pod.name != pod:
                plan.moves += 1
            plan.homes[number] = home


def _account_of(entry: NumberEntry | None) -> str:
    return entry.waba_id if entry is not None else ""


def _note_accounts(accounts: dict[str, tuple[str, ...]], moves: Iterable[tuple[str, str, str]]) -> None:
    """Take numbers out of one account and into another: each with the one before and the one after, "" for none.

    Each account is put together once: one may have a hundred thousand numbers, which may all come or go together.
    """
    leaving: dict[str, set[str]] = {}
    coming: dict[str, list[str]] = {}
    for number, before, after in moves:
        if before == after:
            continue
        if before:
            leaving.setdefault(before, set()).add(number)
        if after:
            coming.setdefault(after, []).append(number)
    for account in leaving.keys() | coming.keys():
        gone: Collection[str] = leaving.get(account, ())
        stay = [number for number in accounts.get(account, ()) if number not in gone]
        members = (*stay, *coming.get(account, ()))
        if members:
            accounts[account] = members
        else:
            del accounts[account]


def _spread(group: _Live, numbers: Sequence[str]) -> dict[str, str]:
    return group.ring.spread(numbers, capacity(len(numbers), len(group.pods)))


def _interned(entry: NumberEntry) -> NumberEntry:
    """Return the entry with its texts shared: there may be 100,000, with few apps and groups between them."""
    for name in ("app", "waba_id", "group"):
        force_setattr(entry, name, sys.intern(getattr(entry, name)))
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
