"""What is made of a tenant on a real API: accepted, restricted and in its own namespace, whatever it asks for."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from comanda_contract.resources import WhatsAppTenant
from comanda_contract.resources.forms import ClassName, DnsName, Image, LabelKey
from comanda_contract.resources.quantities import Cpu, Memory
from comanda_contract.resources.scheduling import NodeSelector, PriorityClassName
from comanda_kube.resources import PODS, SECRETS, Json, Resource
from comanda_operator.live import holds, read_object
from comanda_operator.manifests.group import Wanted, group_objects
from comanda_operator.manifests.shards import make_shard, shard_secret
from comanda_operator.plan import GroupPlan, plan_own
from comanda_operator.reconcile import TENANTS
from comanda_operator.records import record_of
from comanda_operator.state import within_one_volume
from tests.test_operator.cluster import Cluster, cluster
from tests.test_operator.plans import KEY, SITE
from tests.test_operator.test_manifests import CASES

pytestmark = [pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="module")]

LEVELS = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
PRIORITY_CLASSES = Resource("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", namespaced=False)
RUNTIME_CLASSES = Resource("node.k8s.io", "v1", "runtimeclasses", "RuntimeClass", namespaced=False)

LONGEST = "n" * 63
"""A namespace with a name as long as a name may be."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    async with cluster(tmp_path_factory.mktemp("cluster")) as made:
        await made.namespace("shop", **LEVELS)
        await made.namespace(LONGEST, **LEVELS)
        await made.admin.apply(PRIORITY_CLASSES, {"metadata": {"name": "bots"}, "value": 10})
        await made.admin.apply(RUNTIME_CLASSES, {"metadata": {"name": "gvisor"}, "handler": "runsc"})
        yield made


async def dry_run(site: Cluster, resource: Resource, body: Json) -> tuple[int, Json, list[str]]:
    """Ask what the API would say if this were applied: its status, its answer, its warnings."""
    metadata = body["metadata"]
    headers = {
        "Authorization": f"Bearer {site.server.token()}",
        "Content-Type": "application/apply-patch+yaml",
    }
    document = {**body, "apiVersion": resource.api_version, "kind": resource.kind}
    url = site.server.url + resource.path(metadata["namespace"], metadata["name"])
    query = {"dryRun": "All", "fieldManager": "comanda-operator", "force": "true"}
    async with site.session.patch(
        url, params=query, data=json.dumps(document), headers=headers, ssl=site.server.trust
    ) as answer:
        return answer.status, await answer.json(), answer.headers.getall("Warning", [])


def pod_of(objects: Iterable[Wanted], *, classes: bool = True) -> Json:
    """Return the first pod that a StatefulSet's controller would make; without classes, none need be there."""
    stateful = next(each.body for each in objects if each.resource.kind == "StatefulSet")
    template, name = stateful["spec"]["template"], f"{stateful['metadata']['name']}-0"
    claims = [claim["metadata"]["name"] for claim in stateful["spec"].get("volumeClaimTemplates", ())]
    volumes = [{"name": each, "persistentVolumeClaim": {"claimName": f"{each}-{name}"}} for each in claims]
    spec = {**template["spec"], "hostname": name, "volumes": [*template["spec"]["volumes"], *volumes]}
    if not classes:
        spec = {name: value for name, value in spec.items() if name not in {"priorityClassName", "runtimeClassName"}}
    labels = {
        **template["metadata"]["labels"],
        "controller-revision-hash": f"{stateful['metadata']['name']}-5f6c8d9b47",
    }
    return {"metadata": {"namespace": stateful["metadata"]["namespace"], "name": name, "labels": labels}, "spec": spec}


@pytest.mark.parametrize("case", CASES)
async def test_a_pod_of_a_group_is_accepted_where_pods_are_restricted_and_nothing_is_said_against_it(
    site: Cluster, case: str
) -> None:
    for wanted in CASES[case]():
        wanted.body["metadata"]["namespace"] = "shop"
        status, answer, warnings = await dry_run(site, wanted.resource, wanted.body)
        assert (status, warnings) == (201, []), answer
    pod = pod_of(CASES[case]())
    pod["metadata"]["namespace"] = "shop"
    status, answer, warnings = await dry_run(site, PODS, pod)
    assert (status, warnings) == (201, []), answer


async def test_the_namespace_does_refuse_what_is_not_restricted(site: Cluster) -> None:
    pod = pod_of(CASES["enterprise-tenant"]())
    pod["spec"]["hostNetwork"] = True
    status, answer, _ = await dry_run(site, PODS, pod)
    assert status == 403
    assert "violates PodSecurity" in answer["message"]


def accepted(form: Any, candidates: Iterable[Any]) -> list[Any]:
    """Return those that the schema lets through."""
    adapter, found = TypeAdapter(form), []
    for candidate in candidates:
        try:
            found.append(adapter.validate_python(candidate))
        except ValidationError:
            continue
    assert found
    return found


_HOSTILE = [
    "a",
    "A",
    "a" * 47,
    "a" * 63,
    "a" * 64,
    "a" * 253,
    "a." * 126 + "a",
    "x.y/z",
    f"{'a' * 253}/{'b' * 63}",
    f"{'a' * 254}/b",
    f"{'a' * 300}/{'b' * 10}",
    "kubernetes.io/hostname",
    "node-role.kubernetes.io/control-plane",
    "node-role.kubernetes.io.evil/x",
    "system-node-critical",
    "system-cluster-critical",
    "true",
    "null",
    "0",
    "1e3",
    "a: b",
    "a\nprivileged: true",
    '"}, {"hostNetwork": true}',
    "${HOME}",
    "$(COMANDA_BOTPOD_GROUP_KEY)",
    "../../etc",
    "-a",
    "a-",
    "ñ",
    "",
]
"""What might break out of a field, or be accepted here and refused by the API."""

IMAGES = accepted(
    Image,
    [
        *_HOSTILE,
        "registry.example.com:5000/napoli/bot:1.4",
        f"a/{'b' * 480}:{'c' * 20}",
        f"bot@sha256:{'0' * 64}",
        f"bot:{'_' * 128}",
        "localhost:99999/a:b",
        "a__b---c/d.e:F-._",
    ],
)
KEYS = accepted(LabelKey, _HOSTILE)
KEYS_OF_LABELS = [each for each in _HOSTILE if len(each.partition("/")[0]) <= 253]
SELECTORS = accepted(NodeSelector, [{each: "x"} for each in KEYS_OF_LABELS] + [{"key": each} for each in _HOSTILE])
PRIORITIES = accepted(PriorityClassName, _HOSTILE)
RUNTIMES = accepted(ClassName, _HOSTILE)
SECRET_NAMES = accepted(DnsName, _HOSTILE)
CPUS = accepted(Cpu, ["10m", "0.01", "0.25", "1", "1.5", "1000m", "1234m", "1.001", "64", "063", "00001.100", 2])
MEMORIES = accepted(
    Memory,
    ["32Mi", "0.5Gi", "1.5Gi", "1024Mi", "512M", "40000k", "33554432", "33554432.5", "0.001T", "256Gi", "000128Mi"],
)
NAMES = ["a", "a" * 45, "0-9", "x" * 44 + "0"]

QUANTITIES = st.fixed_dictionaries({}, optional={"cpu": st.sampled_from(CPUS), "memory": st.sampled_from(MEMORIES)})
HANDLERS = st.sampled_from(
    [
        {"type": "flow"},
        {
            "type": "python",
            "entryPoint": "a",
            "env": ["PATH", "LD_PRELOAD", "KUBERNETES_SERVICE_HOST"],
            "memoryMib": 64,
        },
        {"type": "python", "entryPoint": f"a:{'b' * 198}", "timeoutSeconds": 60, "memoryMib": 64, "env": ["A" * 64]},
    ]
)
ENTERPRISES = st.fixed_dictionaries(
    {},
    optional={
        "replicas": st.sampled_from([0, 1, 50]),
        "image": st.sampled_from(IMAGES),
        "handler": HANDLERS,
        "resources": st.fixed_dictionaries({}, optional={"requests": QUANTITIES, "limits": QUANTITIES}),
        "scheduling": st.fixed_dictionaries(
            {},
            optional={
                "nodeSelector": st.lists(st.sampled_from(SELECTORS), max_size=3).map(
                    lambda chosen: {key: value for each in chosen for key, value in each.items()}
                ),
                "priorityClassName": st.sampled_from(PRIORITIES),
                "topologyKey": st.sampled_from(KEYS),
            },
        ),
        "runtimeClassName": st.sampled_from(RUNTIMES),
        "database": st.sampled_from(SECRET_NAMES).map(lambda name: {"name": name}),
    },
)


def document(name: str, enterprise: Json) -> Json:
    spec = {
        "phoneNumberId": "106540352242922",
        "wabaId": "102290129340398",
        "displayName": '"}, kind: Pod, {"',
        "plan": "enterprise",
        "credentials": {"secretRef": {"name": "t"}},
        "enterprise": enterprise,
    }
    return {"metadata": {"namespace": LONGEST, "name": name}, "spec": spec}


def is_valid(name: str, enterprise: Json) -> bool:
    try:
        WhatsAppTenant.model_validate(document(name, enterprise))
    except ValidationError:
        return False
    return True


def group_of(name: str, enterprise: Json) -> GroupPlan:
    body = document(name, enterprise)
    body["metadata"]["uid"] = "3e3bd1b0-0000-4000-8000-000000000000"
    return within_one_volume(plan_own(record_of(WhatsAppTenant.model_validate(body))))


async def assert_taken(site: Cluster, wanted: Wanted) -> None:
    """Hold an object against what the API says: it is accepted, and holds what was wanted of it."""
    status, answer, warnings = await dry_run(site, wanted.resource, wanted.body)
    assert status == 201, (wanted.resource.kind, answer)
    assert not [warning for warning in warnings if "PodSecurity" in warning]
    assert holds(read_object(json.dumps(answer).encode()), wanted.body), "a second look would write it again"


ONE_BY_ONE: list[Json] = [
    *({"image": each} for each in IMAGES),
    *({"scheduling": {"topologyKey": each}} for each in KEYS),
    *({"scheduling": {"nodeSelector": each}} for each in SELECTORS),
    *({"scheduling": {"priorityClassName": each}} for each in PRIORITIES),
    *({"runtimeClassName": each} for each in RUNTIMES),
    *({"database": {"name": each}} for each in SECRET_NAMES),
    *({"resources": {"limits": {"cpu": "64", "memory": "256Gi"}, "requests": {"cpu": each}}} for each in CPUS),
    *({"resources": {"limits": {"cpu": "64", "memory": "256Gi"}, "requests": {"memory": each}}} for each in MEMORIES),
]


async def test_the_api_takes_each_form_that_the_schema_lets_through(site: Cluster) -> None:
    refused: list[tuple[Json, str]] = []
    for enterprise in ONE_BY_ONE:
        status, answer, _ = await dry_run(site, TENANTS, document("a", enterprise))
        assert status == 201, answer
        objects = group_objects(group_of("a", enterprise), SITE, KEY)
        stateful = next(each for each in objects if each.resource.kind == "StatefulSet")
        try:
            await assert_taken(site, stateful)
        except AssertionError as error:
            refused.append((enterprise, str(error)))
    assert refused == []


TENANTS_DRAWN = st.tuples(st.sampled_from(NAMES), ENTERPRISES).filter(lambda drawn: is_valid(*drawn))


@settings(max_examples=40, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(TENANTS_DRAWN)
async def test_whatever_a_tenant_asks_for_its_pods_are_restricted_and_the_api_takes_all_its_objects(
    site: Cluster, drawn: tuple[str, Json]
) -> None:
    status, answer, _ = await dry_run(site, TENANTS, document(*drawn))
    assert status == 201, answer
    group = group_of(*drawn)
    objects = [*group_objects(group, SITE, KEY), Wanted(SECRETS, shard_secret(group, 0, make_shard("s", b"k", [], {})))]
    for wanted in objects:
        assert wanted.body["metadata"]["namespace"] == LONGEST
        assert re.fullmatch("[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", wanted.name)
        await assert_taken(site, wanted)
    assert_restricted(pod_of(objects)["spec"], group)
    status, answer, _ = await dry_run(site, PODS, pod_of(objects, classes=False))
    assert status == 201, answer
    assert_restricted(answer["spec"], group)


def assert_restricted(pod: Json, group: GroupPlan) -> None:
    """Hold a pod against what no tenant may have."""
    (container,) = pod["containers"]
    assert not {"hostNetwork", "hostPID", "hostIPC", "hostUsers", "initContainers", "ephemeralContainers"} & pod.keys()
    assert pod["automountServiceAccountToken"] is False
    assert pod["serviceAccountName"] == group.name
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 10_000
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "envFrom" not in container
    kinds = {kind for volume in pod["volumes"] for kind in volume.keys() - {"name"}}
    assert kinds <= {"projected", "emptyDir", "persistentVolumeClaim"}
    sources = [source for volume in pod["volumes"] for source in volume.get("projected", {}).get("sources", ())]
    assert {kind for source in sources for kind in source} == {"secret"}
    given = {source["secret"]["name"]: {item["key"] for item in source["secret"]["items"]} for source in sources}
    database = {group.database.split("/")[1]: {"ca.crt"}} if group.database else {}
    assert given.keys() == {f"{group.name}-shard-00", *database}
    assert given.items() >= database.items(), "of its database's Secret no file but that"
    assert not any("hostPort" in port for port in container["ports"])
    assert all(variable["name"].startswith("COMANDA_BOTPOD_") for variable in container["env"])
    assert pod.get("priorityClassName", "") not in {"system-node-critical", "system-cluster-critical"}
