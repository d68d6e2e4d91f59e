from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comanda_contract.directory import Directory, Group, NumberEntry, PodEndpoint
from comanda_router.places import Places, _note_accounts


def directory(*pods: PodEndpoint, ready: bool = True, generation: int = 1, uid: str = "u") -> Directory:
    return Directory(
        generation=generation,
        numbers=tuple(
            NumberEntry(phone_number_id=str(number), tenant=f"default/t{number}", app="default", group="g", ready=ready)
            for number in range(100)
        ),
        groups=(Group(name="g", uid=uid, pods=pods),),
    )


def pod(ordinal: int, *, ready: bool = True, url: str = "") -> PodEndpoint:
    return PodEndpoint(name=f"g-{ordinal}", url=url or f"http://10.0.0.{ordinal}:8080", ready=ready)


@pytest.fixture
def places() -> Places:
    return Places()


class TestReadiness:
    def test_without_a_directory_it_is_not_ready(self, places: Places) -> None:
        assert not places.ready

    def test_with_a_live_pod_it_is(self, places: Places) -> None:
        places.use(directory(pod(0, ready=False), pod(1)))
        assert places.ready

    def test_without_one_it_is_not(self, places: Places) -> None:
        places.use(directory(pod(0, ready=False)))
        assert not places.ready

    def test_a_directory_without_groups_is_empty_on_purpose(self, places: Places) -> None:
        places.use(Directory())
        assert places.ready


class TestPlaces:
    def test_each_number_has_a_live_pod(self, places: Places) -> None:
        places.use(directory(pod(0), pod(1), pod(2, ready=False)))
        assert {place.pod.name for place in places.homes.values()} == {"g-0", "g-1"}
        assert len(places.homes) == 100

    def test_numbers_that_their_pods_have_not_loaded_have_none(self, places: Places) -> None:
        places.use(directory(pod(0), ready=False))
        assert not places.homes
        assert len(places.entries) == 100

    def test_a_place_stays_the_same_object_while_nothing_of_it_changes(self, places: Places) -> None:
        places.use(directory(pod(0), pod(1)))
        before = dict(places.homes)
        places.use(directory(pod(0), pod(1), pod(2, ready=False), generation=2))
        assert all(places.homes[number] is before[number] for number in before)
        places.use(directory(pod(0), pod(1, url="http://10.0.0.9:8080"), generation=3))
        changed = {before[number].pod.name for number in before if places.homes[number] is not before[number]}
        assert changed == {"g-1"}
        places.use(directory(pod(0), pod(1, url="http://10.0.0.9:8080"), generation=4, uid="another"))
        assert all(place.group.uid == "another" for place in places.homes.values())

    @pytest.mark.parametrize("url", ["https://pod:8080", "pod:8080", "http://", "http://pod:99999", "http://[::1", ""])
    def test_a_pod_with_an_address_that_is_none_is_not_live(self, places: Places, url: str) -> None:
        places.use(directory(pod(0), PodEndpoint(name="g-1", url=url, ready=True)))
        assert [place.pod.name for place in places.live] == ["g-0"]

    @pytest.mark.parametrize(
        ("url", "address"),
        [
            ("http://pod:8080", ("pod", 8080, "")),
            ("http://pod", ("pod", 80, "")),
            ("http://[::1]:81/a/", ("::1", 81, "/a")),
        ],
    )
    def test_an_address_has_host_port_and_path(self, places: Places, url: str, address: tuple[str, int, str]) -> None:
        places.use(directory(pod(0, url=url)))
        assert [place.address for place in places.live] == [address]

    def test_others_are_the_rest_of_the_live_pods(self, places: Places) -> None:
        places.use(directory(pod(0), pod(1), pod(2), pod(3, ready=False)))
        for number, home in places.homes.items():
            others = {place.pod.name for place in places.others(places.entries[number], (home,))}
            assert others == {"g-0", "g-1", "g-2"} - {home.pod.name}

    def test_an_unknown_number_is_not_explained(self, places: Places) -> None:
        places.use(directory(pod(0)))
        assert places.explain("unknown", ()) is None
        assert places.explain("7", ()) is not None


entries = st.builds(
    NumberEntry,
    phone_number_id=st.sampled_from([str(number) for number in range(12)]),
    tenant=st.sampled_from(["shop/a", "shop/b"]),
    app=st.sampled_from(["default", "brand"]),
    group=st.sampled_from(["g", "h", "nowhere"]),
    ready=st.booleans(),
    waba_id=st.sampled_from(["", "w1", "w2"]),
    inbound_burst=st.integers(1, 2),
)
groups = st.builds(
    Group,
    name=st.sampled_from(["g", "h"]),
    uid=st.sampled_from(["u", "v"]),
    pods=st.lists(st.builds(pod, st.integers(0, 3), ready=st.booleans()), unique_by=lambda pod: pod.name).map(tuple),
)
directories = st.builds(
    Directory,
    numbers=st.lists(entries, unique_by=lambda entry: entry.phone_number_id).map(tuple),
    groups=st.lists(groups, unique_by=lambda group: group.name).map(tuple),
)


@given(history=st.lists(directories, min_size=1, max_size=5))
def test_what_is_in_force_follows_from_the_last_directory_alone(history: list[Directory]) -> None:
    changed, fresh = Places(), Places()
    for each in history:
        changed.use(each)
    fresh.use(history[-1])

    def where(places: Places) -> dict[str, tuple[str, str, str]]:
        return {number: (home.group.name, home.group.uid, home.pod.name) for number, home in places.homes.items()}

    assert where(changed) == where(fresh)
    assert changed.entries == fresh.entries
    assert changed.ready == fresh.ready
    for app in ("default", "brand"):
        for waba in ("w1", "w2", "w3"):
            assert sorted(changed.of_account(app, waba)) == sorted(fresh.of_account(app, waba))
            assert set(changed.of_account(app, waba)) == {
                entry.phone_number_id for entry in history[-1].numbers if (entry.app, entry.waba_id) == (app, waba)
            }


class Written(dict[str, tuple[str, ...]]):
    """Accounts that count how often one is put together."""

    def __init__(self) -> None:
        self.writes = 0

    def __setitem__(self, account: str, numbers: tuple[str, ...]) -> None:
        self.writes += 1
        super().__setitem__(account, numbers)


def test_an_account_is_put_together_once_however_many_numbers_come_and_go() -> None:
    accounts, numbers = Written(), [str(number) for number in range(1000)]
    _note_accounts(accounts, [(number, "", "W1") for number in numbers])
    assert (accounts, accounts.writes) == ({"W1": tuple(numbers)}, 1)
    _note_accounts(accounts, [(number, "W1", "W2" if number in numbers[1:500] else "") for number in numbers[1:]])
    assert (accounts, accounts.writes) == ({"W1": ("0",), "W2": tuple(numbers[1:500])}, 3)
    _note_accounts(accounts, [("0", "W1", ""), ("new", "", "W2"), ("1", "W2", "W2")])
    assert (accounts, accounts.writes) == ({"W2": (*numbers[1:500], "new")}, 4)
