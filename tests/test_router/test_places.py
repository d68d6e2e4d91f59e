from __future__ import annotations

from pathlib import Path

import pytest

from comanda_contract.directory import Directory, Group, NumberEntry, PodEndpoint, encode_directory
from comanda_router.places import Places


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
def places(tmp_path: Path) -> Places:
    return Places(tmp_path / "directory.json")


class TestReadiness:
    def test_without_a_directory_it_is_not_ready(self, places: Places) -> None:
        assert not places.refresh()
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


class TestRefresh:
    def write(self, path: Path, content: bytes) -> None:
        temporary = path.with_suffix(".tmp")
        temporary.write_bytes(content)
        temporary.replace(path)

    def test_it_reads_what_has_been_replaced_and_keeps_the_last_good_one(self, places: Places, tmp_path: Path) -> None:
        path = tmp_path / "directory.json"
        self.write(path, encode_directory(directory(pod(0))))
        assert [places.refresh(), places.refresh()] == [True, False]
        self.write(path, b'{"numbers": [')
        assert not places.refresh()
        assert (places.generation, len(places.entries)) == (1, 100)
        self.write(path, encode_directory(directory(pod(0), generation=2)))
        assert places.refresh()
        assert places.generation == 2


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
