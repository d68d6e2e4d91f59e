from __future__ import annotations

import random
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from comanda_contract.resources import BotPool, WhatsAppApp, WhatsAppTenant
from comanda_operator.observed import Observed
from comanda_operator.plan import Plan, plan
from tests.golden import assert_golden

GOLDEN = Path(__file__).parent / "golden"
CASES = sorted(path.stem for path in GOLDEN.glob("*.in.yaml"))


def observed_of(path: Path) -> Observed:
    documents = [document for document in yaml.safe_load_all(path.read_text()) if document]
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for document in documents:
        by_kind.setdefault(document["kind"], []).append(document)

    def key(document: dict[str, Any]) -> str:
        return f"{document['metadata'].get('namespace', 'default')}/{document['metadata']['name']}"

    return Observed(
        tenants=tuple(map(WhatsAppTenant.model_validate, by_kind.get("WhatsAppTenant", []))),
        pools=tuple(map(BotPool.model_validate, by_kind.get("BotPool", []))),
        apps=tuple(map(WhatsAppApp.model_validate, by_kind.get("WhatsAppApp", []))),
        secret_keys={key(secret): frozenset(secret["stringData"]) for secret in by_kind.get("Secret", [])},
        documents={
            key(config): {name: yaml.safe_load(text) for name, text in config["data"].items()}
            for config in by_kind.get("ConfigMap", [])
        },
    )


def as_yaml(result: Plan) -> str:
    def plain(value: Any) -> Any:
        if hasattr(value, "model_dump"):
            return value.model_dump(by_alias=True, exclude_defaults=True)
        return msgspec.to_builtins(value)

    document = {
        "apps": [asdict(app) for app in result.apps],
        "groups": [
            {
                "key": group.key,
                "uid": group.uid,
                "pods": list(group.pods),
                "image": group.image,
                "handler": plain(group.handler),
                "database": group.database,
                "tenants": [
                    {"secret": tenant.secret, "settings": msgspec.to_builtins(tenant.settings)}
                    for tenant in group.tenants
                ],
            }
            for group in result.groups
        ],
        "verdicts": [
            {
                "resource": f"{verdict.kind} {verdict.key}",
                "group": verdict.group,
                "conditions": [
                    f"{c.type}={c.status} {c.reason}{': ' + c.message if c.message else ''}" for c in verdict.conditions
                ],
            }
            for verdict in result.verdicts
        ],
    }
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)


@pytest.mark.parametrize("case", CASES)
def test_resources_give_this_plan(case: str) -> None:
    result = plan(observed_of(GOLDEN / f"{case}.yaml"))
    assert_golden(GOLDEN / f"{case.removesuffix('.in')}.plan.yaml", as_yaml(result))


def test_there_are_golden_cases() -> None:
    assert len(CASES) >= 4


def tenant(index: int, number: int, plan_: str, app: str, pool: str | None) -> WhatsAppTenant:
    spec: dict[str, Any] = {
        "phoneNumberId": f"10000{number}",
        "wabaId": "20000",
        "displayName": f"T{index}",
        "appRef": app,
        "plan": plan_,
        "credentials": {"secretRef": {"name": f"s{index % 3}"}},
    }
    if plan_ == "enterprise":
        spec["enterprise"] = {}
    else:
        spec["poolRef"] = pool
    return WhatsAppTenant.model_validate(
        {"metadata": {"name": f"t{index}", "namespace": f"n{index % 2}"}, "spec": spec}
    )


worlds = st.builds(
    lambda rows, pools, secrets: Observed(
        tenants=tuple(tenant(index, *row) for index, row in enumerate(rows)),
        pools=tuple(
            BotPool.model_validate({"metadata": {"name": name}, "spec": {"maxTenants": limit, "replicas": 2}})
            for name, limit in pools.items()
        ),
        apps=(
            WhatsAppApp.model_validate(
                {"metadata": {"name": "default"}, "spec": {"appId": "1", "secretRef": {"name": "app"}}}
            ),
        ),
        secret_keys={key: frozenset({"accessToken"}) for key in secrets}
        | {"default/app": frozenset({"appSecret", "verifyToken"})},
    ),
    st.lists(
        st.tuples(
            st.integers(0, 12),
            st.sampled_from(["standard", "enterprise"]),
            st.sampled_from(["default", "missing"]),
            st.sampled_from([None, "default", "big", "missing"]),
        ),
        max_size=14,
    ),
    st.dictionaries(st.sampled_from(["default", "big"]), st.integers(1, 4)),
    st.sets(st.sampled_from([f"n{n}/s{s}" for n in range(2) for s in range(3)])),
)


@settings(max_examples=60, deadline=None)
@given(worlds, st.integers())
def test_the_order_of_resources_does_not_matter(world: Observed, seed: int) -> None:
    tenants, pools = list(world.tenants), list(world.pools)
    random.Random(seed).shuffle(tenants)
    random.Random(seed).shuffle(pools)
    assert plan(Observed(tuple(tenants), tuple(pools), world.apps, world.secret_keys)) == plan(world)


@settings(max_examples=60, deadline=None)
@given(worlds)
def test_every_tenant_is_served_once_or_told_why_not(world: Observed) -> None:
    result = plan(world)
    served = [each.settings.tenant for group in result.groups for each in group.tenants]
    assert len(served) == len(set(served))
    verdicts = {verdict.key: verdict for verdict in result.verdicts if verdict.kind == "WhatsAppTenant"}
    assert set(verdicts) == {each.metadata.key for each in world.tenants}
    for key, verdict in verdicts.items():
        assert (key in served) == (verdict.refused is None)
        assert verdict.refused is None or verdict.refused.message
    numbers = [each.settings.phone_number_id for group in result.groups for each in group.tenants]
    assert len(numbers) == len(set(numbers))
    limits = {pool.metadata.name: pool.spec.max_tenants for pool in world.pools}
    for group in result.groups:
        if group.name.startswith("pool-"):
            assert len(group.tenants) <= limits[group.name.removeprefix("pool-")]
