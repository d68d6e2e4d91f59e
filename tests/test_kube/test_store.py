from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from comanda_kube.store import Change, Identity, Store

NAMES = st.sampled_from(["a", "b", "c", "d"])


@dataclass
class Cluster:
    """The truth: name → (uid, version, content). Uids and versions are never used twice."""

    objects: dict[str, tuple[str, str, int]] = field(default_factory=dict)
    clock: int = 0

    def tick(self) -> str:
        self.clock += 1
        return str(self.clock)


def identity(name: str, uid: str, version: str) -> Identity:
    return Identity(name=name, uid=uid, resource_version=version)


class Watching(RuleBasedStateMachine):
    """A cluster changes, the store hears of some changes at once and of the rest from lists."""

    def __init__(self) -> None:
        super().__init__()
        self.cluster = Cluster()
        self.store: Store[int] = Store()
        self.mirror: dict[str, int] = {}
        self.missed = False

    def tell(self, changes: list[Change[int]]) -> None:
        for change in changes:
            known = self.mirror.get(change.key)
            assert (known is None) == (change.kind == "added")
            assert change.kind == "added" or change.previous == known
            if change.kind == "removed":
                del self.mirror[change.key]
            else:
                assert change.record != known
                self.mirror[change.key] = change.record

    @rule(name=NAMES, content=st.integers(0, 2), heard=st.booleans())
    def write(self, name: str, content: int, *, heard: bool) -> None:
        uid = self.cluster.objects[name][0] if name in self.cluster.objects else self.cluster.tick()
        self.cluster.objects[name] = (uid, self.cluster.tick(), content)
        if heard and not self.missed:
            self.tell(self.store.put(identity(name, uid, self.cluster.objects[name][1]), content))
        else:
            self.missed = True  # a watch that broke tells nothing more until the next list

    @rule(name=NAMES, heard=st.booleans())
    def delete(self, name: str, *, heard: bool) -> None:
        if name not in self.cluster.objects:
            return
        uid, _, _ = self.cluster.objects.pop(name)
        if heard and not self.missed:
            self.tell(self.store.remove(identity(name, uid, self.cluster.tick())))
        else:
            self.missed = True

    @rule()
    def list_all(self) -> None:
        for name, (uid, version, content) in self.cluster.objects.items():
            self.tell(self.store.put(identity(name, uid, version), content))
        self.tell(list(self.store.retain(set(self.cluster.objects))))
        self.missed = False

    @invariant()
    def what_was_told_is_what_is_known(self) -> None:
        assert self.mirror == dict(self.store)

    @invariant()
    def nothing_missed_means_nothing_different(self) -> None:
        if not self.missed:
            assert dict(self.store) == {name: content for name, (_, _, content) in self.cluster.objects.items()}

    @invariant()
    def a_second_list_tells_nothing(self) -> None:
        if not self.missed:
            for name, (uid, version, content) in self.cluster.objects.items():
                assert self.store.holds(identity(name, uid, version))
                assert self.store.put(identity(name, uid, version), content) == []
            assert list(self.store.retain(set(self.cluster.objects))) == []


TestWatching = Watching.TestCase


@given(st.integers(), st.integers())
def test_another_uid_is_a_removal_and_an_addition_even_of_equal_content(old: int, new: int) -> None:
    store: Store[int] = Store()
    store.put(identity("a", "first", "1"), old)
    changes = store.put(identity("a", "second", "2"), new)
    assert [(change.kind, change.record) for change in changes] == [("removed", old), ("added", new)]


def test_the_end_of_an_older_object_of_the_same_name_is_no_news() -> None:
    store: Store[int] = Store()
    store.put(identity("a", "second", "2"), 1)
    assert store.remove(identity("a", "first", "3")) == []
    assert store["a"] == 1


def test_an_unreadable_object_ends_another_one_of_its_name_but_not_an_older_version_of_itself() -> None:
    store: Store[int] = Store()
    store.put(identity("a", "first", "1"), 1)
    assert store.replace_other(identity("a", "first", "2")) == []
    assert [change.kind for change in store.replace_other(identity("a", "second", "3"))] == ["removed"]


def test_objects_of_two_namespaces_do_not_meet() -> None:
    store: Store[int] = Store()
    for namespace in ("one", "two"):
        store.put(Identity(name="a", namespace=namespace, uid=namespace), len(namespace))
    assert set(store) == {"one/a", "two/a"}
