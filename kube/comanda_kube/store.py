"""What an informer knows of the world, and the differences it tells. Pure: no I/O, no clock.

An object is known by its key and uid: one deleted and made again under its name is two objects, the first of which is
removed before the second is added.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import msgspec

from comanda_kube.resources import key_of

R = TypeVar("R")


class Identity(msgspec.Struct, frozen=True, rename="camel"):
    """The part of an object's metadata that says which it is, and which version of it."""

    name: str = ""  # a bookmark's is empty
    uid: str = ""
    namespace: str = ""
    resource_version: str = ""

    @property
    def key(self) -> str:
        """`namespace/name`, or the name of what lives in no namespace."""
        return key_of(self.namespace, self.name)


@dataclass(frozen=True, slots=True)
class Change(Generic[R]):
    """One difference. `record` is the new state, of something removed the last known one; `previous` is what was."""

    kind: Literal["added", "changed", "removed"]
    key: str
    record: R
    previous: R | None = None


@dataclass(frozen=True, slots=True)
class _Known(Generic[R]):
    uid: str
    resource_version: str
    record: R


class Store(Mapping[str, R]):
    """Key → record; each way to alter it returns the changes that this made."""

    def __init__(self) -> None:
        self._known: dict[str, _Known[R]] = {}

    def __getitem__(self, key: str) -> R:
        return self._known[key].record

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    def holds(self, identity: Identity) -> bool:
        """Say whether exactly this version of this object is known."""
        known = self._known.get(identity.key)
        return known is not None and (known.uid, known.resource_version) == (identity.uid, identity.resource_version)

    def put(self, identity: Identity, record: R) -> list[Change[R]]:
        """Learn of an object. A version whose record is equal to the known one is no change."""
        key, known = identity.key, self._known.get(identity.key)
        self._known[key] = _Known(identity.uid, identity.resource_version, record)
        if known is None:
            return [Change("added", key, record)]
        if known.uid != identity.uid:
            return [Change("removed", key, known.record, known.record), Change("added", key, record)]
        return [Change("changed", key, record, known.record)] if known.record != record else []

    def replace_other(self, identity: Identity) -> list[Change[R]]:
        """Learn that an object exists whose content cannot be read: an older one of the same name is gone."""
        known = self._known.get(identity.key)
        return self._drop(identity.key) if known is not None and known.uid != identity.uid else []

    def remove(self, identity: Identity) -> list[Change[R]]:
        """Learn that an object is gone; that an older one of the same name went is no news."""
        known = self._known.get(identity.key)
        return self._drop(identity.key) if known is not None and known.uid == identity.uid else []

    def retain(self, keys: set[str]) -> Iterator[Change[R]]:
        """Learn that these keys are all there is: the others go one by one as their changes are taken."""
        for key in [key for key in self._known if key not in keys]:
            yield from self._drop(key)

    def _drop(self, key: str) -> list[Change[R]]:
        record = self._known.pop(key).record
        return [Change("removed", key, record, record)]
