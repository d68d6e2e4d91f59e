"""Golden files of all objects of a group: what they say is read by people, and a change of them is a decision."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from comanda_operator.manifests.group import KINDS, Wanted, group_objects
from comanda_operator.plan import GroupPlan
from tests.golden import assert_golden
from tests.test_operator.plans import KEY, SITE, own_group, pool_objects

GOLDEN = Path(__file__).parent / "golden"

ENTERPRISE: dict[str, Any] = {
    "replicas": 2,
    "image": "registry.example.com/napoli/bot:1.0",
    "handler": {"type": "python", "entryPoint": "napoli", "env": ["KITCHEN_URL"], "memoryMib": 256},
    "resources": {"requests": {"cpu": "500m", "memory": "512Mi"}, "limits": {"cpu": "2", "memory": "2Gi"}},
    "scheduling": {
        "nodeSelector": {"disk": "ssd", "kubernetes.io/arch": "amd64"},
        "priorityClassName": "bots",
        "topologyKey": "topology.kubernetes.io/zone",
    },
    "runtimeClassName": "gvisor",
    "database": {"name": "napoli-database"},
}

CASES: Mapping[str, Callable[[], list[Wanted]]] = {
    "pool-with-database": lambda: pool_objects(replicas=3, database={"name": "pool-database"}),
    "pool-without-database": lambda: pool_objects(replicas=3),
    "pool-with-autoscaling": lambda: pool_objects(
        database={"name": "pool-database"}, autoscaling={"minReplicas": 2, "maxReplicas": 8, "targetCpuPercent": 60}
    ),
    "enterprise-tenant": lambda: group_objects(own_group(ENTERPRISE), SITE, KEY),
}


@pytest.mark.parametrize("case", CASES)
def test_a_group_is_made_of_these_objects(case: str) -> None:
    # By way of JSON: YAML would name what two places share, and refer to it.
    documents = json.loads(json.dumps([{"kind": wanted.resource.kind, **wanted.body} for wanted in CASES[case]()]))
    text = yaml.safe_dump_all(documents, sort_keys=False, allow_unicode=True, width=120)
    assert_golden(GOLDEN / f"{case}.objects.yaml", text)


@pytest.mark.parametrize("case", CASES)
def test_objects_are_made_in_the_order_in_which_they_are_needed(case: str) -> None:
    kinds = [wanted.resource.kind for wanted in CASES[case]()]
    assert kinds == sorted(kinds, key=list(KINDS).index)
    assert len(kinds) == len(set(kinds))


@pytest.mark.parametrize("case", CASES)
def test_every_object_says_whose_it_is_and_has_no_owner_that_could_take_it_along(case: str) -> None:
    group: GroupPlan | None = own_group(ENTERPRISE) if case == "enterprise-tenant" else None
    for wanted in CASES[case]():
        metadata = wanted.body["metadata"]
        assert metadata["namespace"] == (group.namespace if group is not None else "comanda")
        assert metadata["labels"]["app.kubernetes.io/managed-by"] == "comanda-operator"
        assert metadata["labels"]["comanda.dev/group"] in {"pool-default", "tenant-napoli"}
        assert metadata["annotations"]["comanda.dev/owner"] in {
            "BotPool/comanda/default", "WhatsAppTenant/shop/napoli",
        }  # fmt: skip
        assert len(metadata["annotations"]["comanda.dev/planned"]) == 16
        assert "ownerReferences" not in metadata


def test_a_field_that_is_planned_no_more_shows_in_the_digest_of_the_plan() -> None:
    def planned(enterprise: dict[str, Any]) -> str:
        objects = group_objects(own_group(enterprise), SITE, KEY)
        annotations = next(each.body for each in objects if each.resource.kind == "StatefulSet")["metadata"]
        return str(annotations["annotations"]["comanda.dev/planned"])

    assert planned(ENTERPRISE) == planned(dict(ENTERPRISE))
    assert planned(ENTERPRISE) != planned({**ENTERPRISE, "runtimeClassName": ""})


def test_without_a_database_there_is_one_pod_with_a_volume_that_outlives_it() -> None:
    stateful = next(each.body for each in pool_objects(replicas=3) if each.resource.kind == "StatefulSet")
    assert stateful["spec"]["replicas"] == 1
    assert [claim["metadata"]["name"] for claim in stateful["spec"]["volumeClaimTemplates"]] == ["data"]
    retention = stateful["spec"]["persistentVolumeClaimRetentionPolicy"]
    assert retention == {"whenDeleted": "Retain", "whenScaled": "Retain"}
