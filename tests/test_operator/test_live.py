"""When an object holds all that is wanted of it: what the server adds must not look like a difference, nor hide one."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comanda_operator.live import LiveObject, holds, read_object, read_pod
from tests.test_operator.plans import pool_objects

Json = dict[str, Any]

WANTED: Json = {
    "metadata": {"namespace": "n", "name": "a", "labels": {"app": "bot"}, "annotations": {"planned": "1"}},
    "spec": {
        "replicas": 2,
        "containers": [
            {
                "name": "bot",
                "image": "bot:1",
                "resources": {"requests": {"cpu": "1.5", "memory": "512Mi"}},
                "env": [{"name": "A", "value": "1"}],
                "args": ["x", "y"],
            }
        ],
    },
}


def live_of(document: Json) -> LiveObject:
    return read_object(json.dumps({"apiVersion": "v1", "kind": "Thing", **document}).encode())


def changed(*path: str | int, to: Any) -> LiveObject:
    """Return what was wanted, with one value in it put to another."""
    document = deepcopy(WANTED)
    place: Any = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = to
    return live_of(document)


BOT = ("spec", "containers", 0)


def test_what_was_wanted_holds_all_that_was_wanted() -> None:
    assert holds(live_of(WANTED), WANTED)


def test_every_object_of_a_group_holds_itself() -> None:
    for wanted in pool_objects(autoscaling={"minReplicas": 2, "maxReplicas": 5}):
        assert holds(live_of(wanted.body), wanted.body), wanted.name


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(st.lists(st.tuples(st.sampled_from(["spec", "bot", "pod", "metadata", "status"]), JSON_VALUES), max_size=5))
def test_what_the_server_and_others_add_makes_no_difference(added: list[tuple[str, Any]]) -> None:
    document = deepcopy(WANTED)
    bot = document["spec"]["containers"][0]
    for number, (where, value) in enumerate(added):
        match where:
            case "metadata":
                document["metadata"]["annotations"][f"added-{number}"] = "x"
                document["metadata"]["labels"][f"added-{number}"] = "y"
            case "pod":
                document["spec"]["containers"].insert(0, {"name": f"sidecar-{number}", "image": str(value)})
                bot["env"].insert(0, {"name": f"ADDED_{number}", "value": str(value)})
            case "status":
                document["status"] = {"replicas": number, "added": value}
            case _:
                (document["spec"] if where == "spec" else bot)[f"added-{number}"] = value
    assert holds(live_of(document), WANTED)


@pytest.mark.parametrize(
    ("path", "to"),
    [
        (("metadata", "labels"), {}),
        (("metadata", "labels", "app"), "other"),
        (("metadata", "annotations"), {"other": "1"}),
        (("metadata", "annotations", "planned"), "2"),
        (("spec",), {}),
        (("spec", "replicas"), 3),
        (("spec", "replicas"), "2"),
        (("spec", "containers"), []),
        (("spec", "containers"), {"name": "bot"}),
        ((*BOT, "name"), "other"),
        ((*BOT, "image"), "evil:1"),
        ((*BOT, "image"), None),
        ((*BOT, "resources", "requests", "cpu"), "1499m"),
        ((*BOT, "resources", "requests", "memory"), "512M"),
        ((*BOT, "resources", "requests"), {}),
        ((*BOT, "env"), []),
        ((*BOT, "env"), [{"name": "A", "value": "2"}]),
        ((*BOT, "env"), [{"name": "A"}]),
        ((*BOT, "args"), ["y", "x"]),
        ((*BOT, "args"), ["x"]),
        ((*BOT, "args"), ["x", "y", "z"]),
    ],
)
def test_what_was_changed_or_removed_is_seen(path: tuple[str | int, ...], to: Any) -> None:
    assert not holds(changed(*path, to=to), WANTED)


@pytest.mark.parametrize(
    ("name", "wanted", "live", "same"),
    [
        ("cpu", "1.5", "1500m", True),
        ("cpu", "1", "1000m", True),
        ("cpu", "0.25", "250m", True),
        ("memory", "1024Mi", "1Gi", True),
        ("memory", "1024Mi", "1G", False),
        ("storage", "10Gi", "10240Mi", True),
        ("cpu", "1", "2", False),
        ("image", "1.5", "1500m", False),
        ("cpu", "1", "what is this", False),
    ],
)
def test_quantities_are_compared_as_amounts_where_there_are_quantities(
    name: str, wanted: str, live: str, *, same: bool
) -> None:
    metadata = {"metadata": {"name": "a"}}
    assert holds(live_of({**metadata, "spec": {name: live}}), {**metadata, "spec": {name: wanted}}) is same


def test_the_order_of_a_list_by_name_does_not_matter() -> None:
    wanted: Json = {"metadata": {"name": "a"}, "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}
    assert holds(live_of({**wanted, "env": wanted["env"][::-1]}), wanted)


def test_of_a_pod_is_kept_where_it_is_and_whether_it_is_ready() -> None:
    metadata = {"namespace": "n", "name": "pool-a-0", "uid": "u", "labels": {"comanda.dev/group": "pool-a"}}
    status = {"podIP": "10.0.0.7", "conditions": [{"type": "Ready", "status": "True"}]}
    pod = read_pod(json.dumps({"metadata": metadata, "status": status}).encode(), "comanda.dev/group")
    assert (pod.key, pod.group, pod.address, pod.is_ready, pod.is_ending) == (
        "n/pool-a-0", "n/pool-a", "10.0.0.7", True, False,
    )  # fmt: skip


@pytest.mark.parametrize("status", [{}, {"conditions": []}, {"conditions": [{"type": "Ready", "status": "False"}]}])
def test_a_pod_that_does_not_say_that_it_is_ready_is_not(status: Json) -> None:
    pod = read_pod(json.dumps({"metadata": {"name": "a"}, "status": status}).encode(), "comanda.dev/group")
    assert not pod.is_ready


def test_a_pod_that_is_about_to_end_is_known_to_be() -> None:
    metadata = {"name": "a", "deletionTimestamp": "2026-01-01T00:00:00Z"}
    assert read_pod(json.dumps({"metadata": metadata}).encode(), "comanda.dev/group").is_ending
