"""What is learnt step by step is what would be learnt at once: the indexes of the world forget and invent nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comanda_contract.resources import BotPool, WhatsAppApp
from comanda_operator.plan import Verdict, judge_app, judge_pool, judge_tenant
from comanda_operator.records import TenantRecord, read_tenant
from comanda_operator.world import DocumentRecord, SecretRecord, World, pool_of

Json = dict[str, Any]
Step = tuple[str, str, Json | None, str]
"""What is put where: kind, `namespace/name`, its spec or None when it goes, and when it was made if it is new."""


@dataclass
class History:
    """A world that learns step by step, and the resources that there are by then."""

    world: World = field(default_factory=World)
    objects: dict[tuple[str, str], Any] = field(default_factory=dict)
    documents: dict[tuple[str, str], Json] = field(default_factory=dict)
    uids: count[int] = field(default_factory=count)

    def put(self, step: Step) -> set[str]:
        """Take one step; returns the tenants that the world says are to be judged again."""
        kind, key, spec, created = step
        if spec is None:
            self.objects.pop((kind, key), None)
            self.documents.pop((kind, key), None)
            return PUT[kind](self.world, key, None)
        before = self.documents.get((kind, key))
        document = made(key, spec, created, next(self.uids)) if before is None else edited(before, spec)
        self.documents[kind, key] = document
        self.objects[kind, key] = READ[kind](document)
        return PUT[kind](self.world, key, self.objects[kind, key])

    def anew(self) -> World:
        """Return a world that learns all that there is at once, in another order."""
        world = World()
        for (kind, key), value in sorted(self.objects.items(), reverse=True):
            PUT[kind](world, key, value)
        return world


def made(key: str, spec: Json, created: str, number: int) -> Json:
    namespace, _, name = key.partition("/")
    metadata = {"namespace": namespace, "name": name, "creationTimestamp": created}
    return {"metadata": {**metadata, "uid": f"uid-{number}", "generation": 1}, "spec": spec}


def edited(before: Json, spec: Json) -> Json:
    """Return the next edition of an object: what it is and when it was made stays."""
    metadata = {**before["metadata"], "generation": before["metadata"]["generation"] + 1}
    return {"metadata": metadata, "spec": spec}


READ: Mapping[str, Callable[[Json], Any]] = {
    "tenant": lambda document: read_tenant(msgspec.json.encode(document)),
    "pool": BotPool.model_validate,
    "app": WhatsAppApp.model_validate,
    "secret": lambda document: SecretRecord(str(document["metadata"]["generation"]), document["spec"]),
    "document": lambda document: DocumentRecord(str(document["metadata"]["generation"]), document["spec"]),
}
PUT: Mapping[str, Callable[[World, str, Any], set[str]]] = {
    "tenant": World.put_tenant,
    "pool": World.put_pool,
    "app": World.put_app,
    "secret": World.put_secret,
    "document": World.put_document,
}


def verdicts(world: World) -> dict[tuple[str, bool], Verdict]:
    """Return what is said of each tenant, served already or not."""
    return {
        (key, served): judge_tenant(world, tenant, served=served)
        for key, tenant in world.tenants.items()
        for served in (False, True)
    }


def all_verdicts(world: World) -> list[object]:
    """Return everything that is said of everything."""
    pools = {key: judge_pool(world, pool) for key, pool in world.pools.items()}
    apps = {key: judge_app(world, app) for key, app in world.apps.items()}
    return [verdicts(world), pools, apps]


NAMESPACES = st.sampled_from(["n0", "n1"])
APPS = st.sampled_from(["default", "brand"])
POOLS = st.sampled_from(["default", "big"])


def keys(names: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds("{}/{}".format, NAMESPACES, names)


def tenant_spec(number: int, plan: str, pool: str | None, app: str, secret: str, *, menu: bool) -> Json:
    section: Json = {"enterprise": {}} if plan == "enterprise" else {"poolRef": pool} if pool else {}
    return {
        "phoneNumberId": f"10000{number}",
        "wabaId": "20000",
        "displayName": "T",
        "appRef": app,
        "plan": plan,
        "credentials": {"secretRef": {"name": secret}},
        **({"flow": {"configMapRef": {"name": "menu"}}} if menu else {}),
        **section,
    }


TENANT_SPECS = st.builds(
    tenant_spec,
    st.sampled_from([0, 0, 1, 2]),
    st.sampled_from(["standard", "standard", "enterprise"]),
    st.none() | POOLS,
    APPS,
    st.sampled_from(["s0", "s1"]),
    menu=st.booleans(),
)
POOL_SPECS = st.builds(lambda most: {"maxTenants": most}, st.integers(1, 3))
APP_SPECS = st.builds(
    lambda version, secret: {"appId": "1", "secretRef": {"name": secret}, "graphVersion": version},
    st.sampled_from(["v26.0", "v27.0"]),
    st.sampled_from(["s0", "s1"]),
)
SECRETS = st.dictionaries(st.sampled_from(["accessToken", "appSecret", "verifyToken"]), st.just("x"))
TIMES = st.sampled_from([f"2026-01-0{day}T00:00:00Z" for day in range(1, 5)])


FULL = dict.fromkeys(("accessToken", "appSecret", "verifyToken"), "x")
BEGIN: list[Step] = [
    *(("secret", f"{namespace}/{name}", FULL, "") for namespace in ("n0", "n1") for name in ("s0", "s1")),
    ("app", "n0/default", {"appId": "1", "secretRef": {"name": "s0"}}, "2026-01-02T00:00:00Z"),
    ("pool", "n0/default", {"maxTenants": 2}, "2026-01-02T00:00:00Z"),
]
"""Enough for tenants to be served, so that histories are about more than what is missing."""

KINDS: Mapping[str, tuple[st.SearchStrategy[str], st.SearchStrategy[Json]]] = {
    "tenant": (st.sampled_from(["t0", "t1", "t2"]), TENANT_SPECS),
    "pool": (POOLS, POOL_SPECS),
    "app": (APPS, APP_SPECS),
    "secret": (st.sampled_from(["s0", "s1"]), SECRETS | st.just(FULL)),
    "document": (st.just("menu"), st.just({"restaurant.yaml": "{}"})),
}


@st.composite
def a_step(draw: st.DrawFn) -> Step:
    """Draw a step: of a tenant mostly, and of four one in which something goes."""
    kind = draw(st.sampled_from([*KINDS, *["tenant"] * 6]))
    names, specs = KINDS[kind]
    stays = draw(st.sampled_from([True, True, True, False]))
    return kind, draw(keys(names)), draw(specs) if stays else None, draw(TIMES)


HISTORIES = st.lists(a_step(), min_size=8, max_size=40).map(lambda drawn: [*BEGIN, *drawn])


@settings(max_examples=100)
@given(HISTORIES)
def test_after_any_history_everything_is_judged_as_if_it_had_been_learnt_at_once(history: list[Step]) -> None:
    told = History()
    for step in history:
        told.put(step)
    assert all_verdicts(told.world) == all_verdicts(told.anew())


@settings(max_examples=100)
@given(HISTORIES)
def test_whoever_is_judged_otherwise_by_a_change_is_named_by_it(history: list[Step]) -> None:
    told, before = History(), dict[tuple[str, bool], Verdict]()
    for step in history:
        named = told.put(step)
        now = verdicts(told.world)
        changed = {each for each in before.keys() | now.keys() if before.get(each) != now.get(each)}
        assert {key for key, _ in changed} <= named, step
        before = now


@settings(max_examples=100)
@given(HISTORIES)
def test_a_pool_takes_no_more_than_it_holds_and_leaves_nobody_out_while_it_has_room(history: list[Step]) -> None:
    told = History()
    for step in history:
        told.put(step)
    world = told.world
    for name in ("default", "big"):
        pool = world.pool(name)
        if pool is not None:
            wanting = [
                tenant for tenant in world.tenants.values() if has_number(world, tenant) and pool_of(tenant) == name
            ]
            oldest = sorted(wanting, key=lambda tenant: tenant.seniority)
            inside = [tenant for tenant in oldest if world.has_room(pool, tenant)]
            assert inside == oldest[: pool.spec.max_tenants]


def has_number(world: World, tenant: TenantRecord) -> bool:
    return world.owner_of(tenant.spec.phone_number_id) is tenant


def test_of_three_with_one_number_each_loser_is_told_who_has_it_now() -> None:
    told = History()
    for step in BEGIN:
        told.put(step)
    for day, name in enumerate(("first", "second", "third"), start=1):
        spec = tenant_spec(1, "standard", None, "default", "s0", menu=False)
        told.put(("tenant", f"n0/{name}", spec, f"2026-01-0{day}T00:00:00Z"))
    assert told.put(("tenant", "n0/first", None, "")) == {"n0/first", "n0/second", "n0/third"}
    third: TenantRecord = told.world.tenants["n0/third"]
    accepted = judge_tenant(told.world, third).condition("Accepted")
    assert accepted is not None
    assert "n0/second" in accepted.message


@pytest.mark.parametrize("kind", ["tenant", "pool", "app", "secret", "document"])
def test_what_was_never_there_may_go(kind: str) -> None:
    assert PUT[kind](World(), "n0/nobody", None) <= {"n0/nobody"}
