from __future__ import annotations

from typing import Any

import msgspec
import pytest

from comanda_contract.directory import NumberEntry, PodEndpoint
from comanda_contract.errors import InvalidInputError
from comanda_contract.names import LABEL_GROUP, LABEL_GROUP_UID
from comanda_kube.resources import Json
from comanda_router.directory.build import choose_entry
from comanda_router.directory.records import SliceRecord, read_app, read_slice, read_tenant
from tests.test_router.directory_objects import (
    NOT_LOADED,
    READY,
    app,
    condition,
    endpoint,
    endpoint_slice,
    status,
    tenant,
)

encode = msgspec.json.encode
GROUP = "comanda/pool-default"


def read(*conditions: Json, group: str = GROUP, accepted: str = "True", **spec: Any) -> NumberEntry | None:
    said = status(group, *conditions, accepted=accepted)
    return read_tenant(encode({**tenant("shop", "napoli", "106540352242922", **spec), "status": said}))


class TestTenant:
    def test_its_entry_holds_what_routing_needs(self) -> None:
        limits = {"inboundPerMinute": 7, "inboundBurst": 3, "outboundPerSecond": 80}
        assert read(READY, appRef="brand", limits=limits) == NumberEntry(
            phone_number_id="106540352242922",
            tenant="shop/napoli",
            app="brand",
            group=GROUP,
            ready=True,
            waba_id="102290129340398",
            inbound_per_minute=7,
            inbound_burst=3,
        )

    def test_what_the_spec_leaves_out_is_the_schemas_default(self) -> None:
        entry = read(READY)
        assert entry is not None
        assert (entry.app, entry.inbound_per_minute, entry.inbound_burst) == ("default", 600, 300)

    @pytest.mark.parametrize("accepted", ["False", "Unknown"])
    def test_one_that_is_not_accepted_has_none(self, accepted: str) -> None:
        assert read(READY, accepted=accepted) is None

    def test_one_without_a_group_has_none(self) -> None:
        assert read(READY, group="") is None

    def test_one_that_nobody_has_judged_yet_is_known_and_has_no_group(self) -> None:
        entry = read_tenant(encode(tenant("shop", "napoli", "106540352242922")))
        assert entry is not None
        assert (entry.group, entry.ready) == ("", False)

    def test_one_that_has_a_group_comes_before_one_that_nobody_has_judged(self) -> None:
        new, known = read_tenant(encode(tenant("a", "a", "106540352242922"))), read(READY)
        assert new is not None
        assert known is not None
        assert choose_entry([new, known]) is known
        assert choose_entry([known, new]) is known

    def test_one_that_is_being_deleted_has_none(self) -> None:
        leaving = {**tenant("shop", "napoli", "106540352242922"), "status": status(GROUP, READY)}
        leaving["metadata"] |= {"deletionTimestamp": "2026-11-24T09:30:00Z"}
        assert read_tenant(encode(leaving)) is None

    @pytest.mark.parametrize(
        ("conditions", "ready"),
        [
            ([], False),
            ([NOT_LOADED], False),
            ([condition("Ready", "Unknown", "NotLoaded")], False),
            ([READY], True),
            ([condition("Ready", "False", "Loading")], True),
            ([condition("Ready", "Unknown", "PodsSilent")], True),
            ([condition("CredentialsReady", "False", "SecretMissing"), READY], True),
        ],
    )
    def test_it_is_ready_from_the_first_load_on(self, conditions: list[Json], *, ready: bool) -> None:
        entry = read(*conditions)
        assert entry is not None
        assert entry.ready is ready

    def test_entries_share_the_names_of_apps_and_groups(self) -> None:
        first, second = read(READY), read(READY)
        assert first is not None
        assert second is not None
        assert first.group is second.group

    def test_something_else_raises(self) -> None:
        with pytest.raises(msgspec.ValidationError):
            read_tenant(b'{"metadata": {"name": "a"}, "spec": {}}')


class TestApp:
    def test_it_counts_when_it_is_accepted_and_stays(self) -> None:
        accepted = {**app("comanda", "brand"), "status": {"conditions": [condition("Accepted")]}}
        refused = {**app("comanda", "brand"), "status": {"conditions": [condition("Accepted", "False")]}}
        assert read_app(encode(accepted)) == "brand"
        assert read_app(encode(refused)) is None
        assert read_app(encode(app("comanda", "brand"))) is None
        accepted["metadata"] |= {"deletionTimestamp": "2026-11-24T09:30:00Z"}
        assert read_app(encode(accepted)) is None


def read_one(**conditions: bool) -> PodEndpoint:
    record = read_slice(encode(endpoint_slice("shop", "g", endpoint("g-0", "10.0.0.1", **conditions))))
    assert record is not None
    (pod,) = record.pods
    return pod


class TestSlice:
    def test_its_record_names_group_uid_and_pods(self) -> None:
        made = endpoint_slice("shop", "g", endpoint("g-0", "10.0.0.1"), endpoint("g-1", "10.0.0.2", ready=False))
        made["metadata"] |= {"creationTimestamp": "2026-11-24T09:30:00Z"}
        assert read_slice(encode(made)) == SliceRecord(
            group="shop/g",
            uid="uid-1",
            created="2026-11-24T09:30:00Z",
            name="g-abc12",
            pods=(
                PodEndpoint(name="g-0", url="http://10.0.0.1:8080", ready=True),
                PodEndpoint(name="g-1", url="http://10.0.0.2:8080", ready=False),
            ),
        )

    @pytest.mark.parametrize(
        ("conditions", "ready"),
        [
            ({}, True),
            ({"ready": False}, False),
            ({"terminating": True}, False),
            ({"ready": False, "terminating": True}, False),
            ({"serving": False}, False),
        ],
    )
    def test_a_pod_may_get_deliveries_while_it_is_ready_and_stays(
        self, conditions: dict[str, bool], *, ready: bool
    ) -> None:
        assert read_one(**conditions).ready is ready

    def test_conditions_that_are_not_known_count_as_ready(self) -> None:
        made = endpoint_slice("shop", "g", {**endpoint("g-0", "10.0.0.1"), "conditions": {}})
        record = read_slice(encode(made))
        assert record is not None
        assert record.pods[0].ready

    def test_an_address_of_the_sixth_version_stands_in_brackets(self) -> None:
        record = read_slice(encode(endpoint_slice("shop", "g", endpoint("g-0", "fd00::7"), family="IPv6")))
        assert record is not None
        assert record.pods[0].url == "http://[fd00::7]:8080"

    def test_without_a_pod_the_host_name_counts_and_without_either_nothing(self) -> None:
        hosted, nameless = endpoint("g-0", "10.0.0.1"), endpoint("g-1", "10.0.0.2")
        del hosted["targetRef"], nameless["targetRef"], nameless["hostname"]
        record = read_slice(encode(endpoint_slice("shop", "g", hosted, nameless)))
        assert record is not None
        assert [pod.name for pod in record.pods] == ["g-0"]

    def test_a_group_without_pods_is_known_though_its_slice_has_no_ports(self) -> None:
        empty: Json = {**endpoint_slice("shop", "g"), "endpoints": None, "ports": None}
        assert read_slice(encode(empty)) == SliceRecord(group="shop/g", uid="uid-1", created="", name="g-abc12")

    def test_another_service_of_the_group_is_not_its_pods(self) -> None:
        other = endpoint_slice("shop", "g", endpoint("g-0", "10.0.0.1"))
        other["ports"] = [{"name": "metrics", "port": 9090}]
        other["metadata"]["labels"] = {LABEL_GROUP: "g"}
        assert read_slice(encode(other)) is None

    def test_pods_whose_key_nobody_could_derive_are_refused(self) -> None:
        made = endpoint_slice("shop", "g", endpoint("g-0", "10.0.0.1"))
        del made["metadata"]["labels"][LABEL_GROUP_UID]
        with pytest.raises(InvalidInputError, match="group-uid"):
            read_slice(encode(made))
