"""Records → directory. Pure: the same records give the same directory, in whatever order they come.

`build` is the plain way to say what `parts.py` keeps up to date; tests hold the two equal.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from comanda_contract.directory import Directory, Group, NumberEntry
from comanda_router.directory.records import SliceRecord


def choose_entry(entries: Sequence[NumberEntry]) -> NumberEntry:
    """Choose the tenant of a number: one that has a group before one that is not judged yet.

    The operator accepts one alone, so that two with a group claim it is soon over.
    """
    return entries[0] if len(entries) == 1 else min(entries, key=lambda entry: (not entry.group, entry.tenant))


def merge_slices(slices: Sequence[SliceRecord]) -> Group:
    """Merge the slices of one group. A pod that several name is taken where it is ready.

    After a group was made anew under its name, slices of the one before count no more: their pods have another key.
    """
    newest = max(slices, key=lambda record: (record.created, record.name))
    found = (pod for record in slices if record.uid == newest.uid for pod in record.pods)
    pods = {pod.name: pod for pod in sorted(found, key=lambda pod: (not pod.ready, pod.url), reverse=True)}
    return Group(name=newest.group, uid=newest.uid, pods=tuple(pods[name] for name in sorted(pods)))


def assemble(
    numbers: Iterable[NumberEntry], apps: Iterable[str], groups: Iterable[Group], generation: int
) -> Directory:
    """Put the parts together; a group that has numbers and no Service yet is there without pods.

    Apps and groups get sorted. Numbers stay as they come: sorting 100,000 would take longer than all else here.
    """
    numbers, known = tuple(numbers), {group.name: group for group in groups}
    named = ({entry.group for entry in numbers} | known.keys()) - {""}
    return Directory(
        generation=generation,
        apps=tuple(sorted(apps)),
        numbers=numbers,
        groups=tuple(known.get(name) or Group(name=name, uid="") for name in sorted(named)),
    )


def build(
    tenants: Iterable[NumberEntry | None],
    apps: Iterable[str | None],
    slices: Iterable[SliceRecord | None],
    generation: int = 0,
) -> Directory:
    """Build the directory of all records of the three kinds."""
    claims: dict[str, list[NumberEntry]] = {}
    for entry in tenants:
        if entry is not None:
            claims.setdefault(entry.phone_number_id, []).append(entry)
    groups: dict[str, list[SliceRecord]] = {}
    for record in slices:
        if record is not None:
            groups.setdefault(record.group, []).append(record)
    return assemble(
        (choose_entry(claims[number]) for number in sorted(claims)),
        {app for app in apps if app is not None},
        map(merge_slices, groups.values()),
        generation,
    )
