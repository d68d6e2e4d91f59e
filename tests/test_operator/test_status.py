"""The status of a tenant: what it says, when its times move, and what a new leader takes from it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from comanda_contract.resources import Condition
from comanda_operator.plan import MESSAGE_CHARACTERS, GroupPlan, Verdict, plan_own, plan_pool
from comanda_operator.records import ConditionRecord, TenantRecord, TenantStatus
from comanda_operator.status import (
    READY,
    Stamp,
    acknowledged_before,
    pool_ready,
    status_json,
    tenant_status,
    timed_conditions,
    with_times,
)
from tests.test_operator.plans import pool, tenant

EARLIER, NOW = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
GROUP = "comanda/pool-default"
HAS = Stamp(GROUP, 1, "aa")

Truth = Literal["True", "False", "Unknown"]


def verdict(group: str = GROUP) -> Verdict:
    conditions = tuple(Condition(type=type_, status="True", reason=type_) for type_ in ("Accepted", "Scheduled"))
    return Verdict("WhatsAppTenant", "shop/napoli", conditions, group)


def refusal(reason: str = "PoolFull", message: str = "BotPool default holds its 1 tenants.") -> Verdict:
    scheduled = Condition(type="Scheduled", status="False", reason=reason).model_copy(update={"message": message})
    return Verdict("WhatsAppTenant", "shop/napoli", (*verdict().conditions[:1], scheduled))


def ready_of(wanted: Stamp | None, acknowledged: Stamp | None, judged: Verdict | None = None) -> tuple[str, str]:
    status = tenant_status(tenant(), judged or verdict(), wanted, acknowledged, plan_pool(pool()))
    ready = status.condition(READY)
    assert ready is not None
    return ready.status, ready.reason


def test_a_tenant_is_ready_once_pods_have_exactly_what_they_should_have() -> None:
    assert ready_of(HAS, HAS) == ("True", "Acknowledged")


@pytest.mark.parametrize("acknowledged", [None, Stamp("comanda/pool-big", 1, "aa")])
def test_a_tenant_that_no_pod_of_its_group_has_is_not_loaded(acknowledged: Stamp | None) -> None:
    assert ready_of(HAS, acknowledged) == ("False", "NotLoaded")


@pytest.mark.parametrize("acknowledged", [replace(HAS, generation=0), replace(HAS, credentials="bb")])
def test_a_tenant_that_pods_have_as_it_was_before_is_updating(acknowledged: Stamp) -> None:
    assert ready_of(HAS, acknowledged) == ("False", "Updating")


def test_a_tenant_without_a_place_is_not_ready_for_the_reason_that_it_has_none() -> None:
    assert ready_of(None, HAS, refusal()) == ("False", "PoolFull")


def test_a_tenant_that_is_not_served_shows_no_place_path_or_digest() -> None:
    said = status_json(tenant_status(tenant(), refusal(), None, HAS, None))
    assert set(said) == {"observedGeneration", "conditions"}


def test_a_tenant_of_a_pool_shows_its_pod_and_shard_and_one_with_own_pods_its_pod_alone() -> None:
    shared = status_json(tenant_status(tenant(), verdict(), HAS, HAS, plan_pool(pool(replicas=3))))
    assert shared["pod"] in {"pool-default-0", "pool-default-1", "pool-default-2"}
    assert shared["shard"] in range(16)
    mine = tenant(plan="enterprise", enterprise={})
    own = status_json(tenant_status(mine, verdict("shop/tenant-napoli"), HAS, HAS, plan_own(mine)))
    assert own["pod"] == "tenant-napoli-0"
    assert "shard" not in own


def test_a_group_without_pods_has_no_first_pod() -> None:
    said = status_json(tenant_status(tenant(), verdict(), HAS, None, plan_pool(pool(replicas=0))))
    assert "pod" not in said


def test_a_message_that_is_too_long_for_a_condition_is_cut() -> None:
    said = status_json(tenant_status(tenant(), refusal(message="x" * 5000), None, None, None))
    assert {len(each["message"]) for each in said["conditions"] if each["status"] == "False"} == {MESSAGE_CHARACTERS}


CONDITIONS = st.lists(
    st.builds(
        ConditionRecord,
        type=st.sampled_from(["Accepted", "CredentialsReady", "Scheduled", "Ready"]),
        status=st.sampled_from(["True", "False", "Unknown"]),
        reason=st.sampled_from(["A", "B"]),
        message=st.sampled_from(["", "m"]),
        observed_generation=st.integers(0, 3),
        last_transition_time=st.just(EARLIER),
    ),
    unique_by=lambda each: each.type,
).map(tuple)


@given(CONDITIONS, CONDITIONS)
def test_the_time_of_a_condition_moves_when_its_status_flips_and_at_no_other_change(
    before: tuple[ConditionRecord, ...], wanted: tuple[ConditionRecord, ...]
) -> None:
    untimed = tuple(msgspec.structs.replace(each, last_transition_time="") for each in wanted)
    result = with_times(TenantStatus(conditions=untimed), TenantStatus(conditions=before), NOW)
    known = {each.type: each.status for each in before}
    assert len(result.conditions) == len(wanted)
    for each in result.conditions:
        assert each.last_transition_time == (EARLIER if known.get(each.type) == each.status else NOW)


@given(CONDITIONS)
def test_a_status_that_is_as_it_was_stays_equal_whenever_it_is_looked_at(before: tuple[ConditionRecord, ...]) -> None:
    status = TenantStatus(observed_generation=1, group=GROUP, conditions=before)
    assert with_times(status, status, NOW) == status


@pytest.mark.parametrize("status", ["True", "False"])
def test_conditions_of_pools_and_apps_keep_their_times_in_the_same_way(status: Truth) -> None:
    before = [Condition(type="Ready", status="True", reason="A", last_transition_time=EARLIER)]
    timed = timed_conditions([Condition(type="Ready", status=status, reason="B")], before, NOW)
    assert [each.last_transition_time for each in timed] == [EARLIER if status == "True" else NOW]


def read_back(status: TenantStatus, of: TenantRecord) -> TenantRecord:
    """Return a tenant as a new leader reads it."""
    written = msgspec.convert(status_json(with_times(status, TenantStatus(), NOW)), TenantStatus)
    return msgspec.structs.replace(of, status=written)


@pytest.mark.parametrize(("generation", "credentials"), [(1, "aa"), (7, "bb")])
def test_a_new_leader_knows_what_pods_had_acknowledged(generation: int, credentials: str) -> None:
    stamp = Stamp(GROUP, generation, credentials)
    loaded = tenant()
    loaded = msgspec.structs.replace(loaded, metadata=msgspec.structs.replace(loaded.metadata, generation=generation))
    status = tenant_status(loaded, verdict(), stamp, stamp, plan_pool(pool()))
    assert acknowledged_before(read_back(status, loaded)) == stamp


def test_a_new_leader_says_of_a_tenant_that_was_updating_what_the_one_before_said() -> None:
    wanted, has = Stamp(GROUP, 1, "bb"), Stamp(GROUP, 0, "aa")
    status = tenant_status(tenant(), verdict(), wanted, has, plan_pool(pool()))
    read = read_back(status, tenant())
    again = tenant_status(read, verdict(), wanted, acknowledged_before(read), plan_pool(pool()))
    assert with_times(again, read.status, NOW) == read.status


def test_a_new_leader_does_not_take_a_tenant_that_was_never_loaded_for_loaded() -> None:
    status = tenant_status(tenant(), verdict(), HAS, None, plan_pool(pool()))
    assert acknowledged_before(read_back(status, tenant())) is None
    assert acknowledged_before(tenant()) is None


def group_of(**spec: Any) -> GroupPlan:
    return plan_pool(pool(**spec))


@pytest.mark.parametrize(
    ("spec", "ready", "said"),
    [
        ({"replicas": 2, "database": {"name": "d"}}, 0, ("False", "PodsNotReady")),
        ({"replicas": 2, "database": {"name": "d"}}, 1, ("True", "Available")),
        ({"replicas": 0, "database": {"name": "d"}}, 0, ("True", "Available")),
        ({"replicas": 1}, 1, ("True", "Available")),
        ({"replicas": 2}, 1, ("False", "DatabaseMissing")),
    ],
)
def test_a_pool_says_how_its_pods_are(spec: dict[str, Any], ready: int, said: tuple[str, str]) -> None:
    condition = pool_ready(pool(**spec), group_of(**spec), ready)
    assert (condition.status, condition.reason) == said


def test_a_pool_that_is_not_the_one_of_its_name_has_no_pods() -> None:
    assert pool_ready(pool(), None, 0).reason == "NotAccepted"
