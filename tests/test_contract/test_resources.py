from __future__ import annotations

import copy
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from comanda_contract.names import LABEL_SOURCE, group_name, pod_name
from comanda_contract.resources import (
    CUSTOM_RESOURCES,
    BotPool,
    ConfigMap,
    Enterprise,
    Metadata,
    Secret,
    WhatsAppApp,
    WhatsAppTenant,
    WhatsAppTenantSpec,
)
from comanda_contract.resources.crd import Schema, build_crd, default_text, undocumented_fields
from comanda_contract.resources.meta import SecretRef
from comanda_contract.resources.quantities import amount
from comanda_contract.resources.tenant import Credentials

EXAMPLES = sorted((Path(__file__).parents[2] / "docs" / "examples").glob("*.yaml"))
KINDS: dict[str, Any] = {kind.__name__: kind for kind in (WhatsAppTenant, BotPool, WhatsAppApp, Secret, ConfigMap)}
TENANT: dict[str, Any] = {
    "apiVersion": "comanda.dev/v1alpha1",
    "kind": "WhatsAppTenant",
    "metadata": {"name": "napoli"},
    "spec": {
        "phoneNumberId": "106540352242922",
        "wabaId": "102290129340398",
        "displayName": "Napoli",
        "credentials": {"secretRef": {"name": "napoli-token"}},
    },
}


def with_spec(**changes: Any) -> dict[str, Any]:
    document = copy.deepcopy(TENANT)
    document["spec"] |= changes
    return document


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_fits_its_model(path: Path) -> None:
    documents = list(yaml.safe_load_all(path.read_text()))
    assert documents
    for document in documents:
        KINDS[document["kind"]].model_validate(document)
        if document["kind"] in {"Secret", "ConfigMap"}:
            assert document["metadata"]["labels"][LABEL_SOURCE] == "true", "without it the operator does not see it"


@pytest.mark.parametrize("kind", CUSTOM_RESOURCES, ids=lambda kind: kind.__name__)
def test_every_field_has_a_description_and_an_example(kind: Any) -> None:
    assert undocumented_fields(kind) == []


def nodes(schema: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    """Yield every node of a schema with its path, but for metadata, which is Kubernetes' own."""
    yield path, schema
    inner = [(f"{path}.{name}", node) for name, node in schema.get("properties", {}).items() if name != "metadata"]
    inner += [(f"{path}[]", schema[key]) for key in ("items", "additionalProperties") if key in schema]
    for at_path, node in inner:
        yield from nodes(node, at_path)


SCHEMAS = [
    pytest.param(build_crd(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"], id=kind.__name__)
    for kind in CUSTOM_RESOURCES
]


@pytest.mark.parametrize("schema", SCHEMAS)
def test_the_schema_is_structural_and_closed(schema: Schema) -> None:
    for path, node in nodes(schema, ""):
        assert not {"$ref", "anyOf", "oneOf", "allOf", "title", "examples", "const"} & node.keys(), path
        assert "x-kubernetes-preserve-unknown-fields" not in node, path
        assert node.get("type") or node.get("x-kubernetes-int-or-string"), path
        assert node.get("default", 0) not in (None, "", [], {}), path
        assert not ("properties" in node and "additionalProperties" in node), path
        assert node.get("type") != "object" or {"properties", "additionalProperties"} & node.keys(), path


BOUNDS: dict[str, set[str]] = {
    "string": {"maxLength"},
    "array": {"maxItems"},
    "integer": {"minimum"},
    "map": {"maxProperties"},
    "quantity": {"maxLength"},
}


def kind_of(node: Schema) -> str:
    if node.get("x-kubernetes-int-or-string"):
        return "quantity"
    return "map" if "additionalProperties" in node else str(node["type"])


@pytest.mark.parametrize("schema", SCHEMAS)
def test_everything_has_a_bound(schema: Schema) -> None:
    unbounded = [
        path
        for path, node in nodes(schema, "")
        if path not in {".apiVersion", ".kind"} and "enum" not in node
        if not BOUNDS.get(kind_of(node), set()) <= node.keys()
    ]
    assert unbounded == []


@pytest.mark.parametrize("schema", SCHEMAS)
def test_every_number_that_people_write_has_an_upper_bound(schema: Schema) -> None:
    spec = schema["properties"]["spec"]
    assert [path for path, node in nodes(spec, "spec") if "minimum" in node and "maximum" not in node] == []


@pytest.mark.parametrize("schema", SCHEMAS)
def test_every_field_is_described_in_sentences(schema: Schema) -> None:
    described = [(path, node.get("description", "")) for path, node in nodes(schema, "") if not path.endswith("[]")]
    assert [path for path, text in described if not (text.endswith(".") and "  " not in text)] == []


@pytest.mark.parametrize("schema", SCHEMAS)
def test_every_scalar_tells_its_default(schema: Schema) -> None:
    for path, node in nodes(schema["properties"]["spec"], "spec"):
        if "default" in node and "properties" not in node:
            assert node["description"].endswith(f" Default: {default_text(node)}."), path


@pytest.mark.parametrize("schema", SCHEMAS)
def test_a_status_has_no_defaults_as_what_is_left_out_is_not_known(schema: Schema) -> None:
    assert [path for path, node in nodes(schema["properties"]["status"], "status") if "default" in node] == []


@pytest.mark.parametrize(
    ("changes", "path", "words"),
    [
        ({"phoneNumberId": "10654035a"}, "phoneNumberId", "digits alone"),
        ({"phoneNumberId": "1" * 33}, "phoneNumberId", "at most 32"),
        ({"displayName": ""}, "displayName", "at least 1"),
        ({"plan": "gold"}, "plan", "'standard' or 'enterprise'"),
        ({"plan": "enterprise"}, "enterprise", "plan enterprise needs the section enterprise"),
        ({"enterprise": {}}, "enterprise", "the section enterprise is for plan enterprise alone"),
        ({"plan": "enterprise", "enterprise": {}, "poolRef": "x"}, "poolRef", "poolRef is for plan standard alone"),
        ({"colour": "red"}, "colour", "Extra inputs"),
        ({"limits": {"outboundPerSecond": 0}}, "limits.outboundPerSecond", "greater than or equal to 1"),
        (
            {"plan": "enterprise", "enterprise": {"handler": {"type": "python"}}},
            "enterprise.handler.entryPoint",
            "needs entryPoint",
        ),
        ({"plan": "enterprise", "enterprise": {"image": "-rm"}}, "enterprise.image", "must be an image"),
    ],
)
def test_a_bad_tenant_is_refused_with_its_field_and_rule(changes: dict[str, Any], path: str, words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        WhatsAppTenant.model_validate(with_spec(**changes))
    error = caught.value.errors()[0]
    assert ".".join(map(str, error["loc"])) == f"spec.{path}"
    assert words in error["msg"]


def test_all_broken_rules_of_a_part_are_told_at_once() -> None:
    with pytest.raises(ValidationError) as caught:
        WhatsAppTenant.model_validate(with_spec(plan="enterprise", poolRef="x"))
    assert [error["loc"] for error in caught.value.errors()] == [("spec", "enterprise"), ("spec", "poolRef")]


def test_code_names_fields_as_python_does_and_files_as_yaml_does() -> None:
    named = WhatsAppTenantSpec(
        phone_number_id="10654",
        waba_id="10229",
        display_name="x",
        credentials=Credentials(secret_ref=SecretRef(name="a")),
    )
    assert named.app_ref == "default"
    with pytest.raises(ValidationError, match="app_ref"):
        WhatsAppTenant.model_validate(with_spec(app_ref="default"))


def test_null_is_a_field_that_is_not_there_but_no_excuse_for_a_misspelt_one() -> None:
    tenant = WhatsAppTenant.model_validate(with_spec(appRef=None, limits={"inboundBurst": None}))
    assert tenant == WhatsAppTenant.model_validate(TENANT)
    with pytest.raises(ValidationError, match="Extra inputs"):
        WhatsAppTenant.model_validate(with_spec(appReff=None))


def test_a_tenant_moves_between_plans_with_nothing_lost() -> None:
    enterprise = WhatsAppTenant.model_validate(with_spec(plan="enterprise", enterprise={}))
    assert enterprise.spec.enterprise == Enterprise()
    assert WhatsAppTenant.model_validate(TENANT).spec.enterprise is None


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [("250m", "0.25"), ("1.5", "1.5"), ("64", "64"), ("512Mi", "536870912"), ("1.5Gi", "1610612736"), ("1k", "1000")],
)
def test_a_quantity_is_an_amount(quantity: str, expected: str) -> None:
    assert amount(quantity) == Decimal(expected)


@given(st.integers(10, 64_000))
def test_millicores_and_cores_are_the_same_amount(millicores: int) -> None:
    assert amount(f"{millicores}m") == amount(f"{millicores // 1000}.{millicores % 1000:03}")


@given(st.integers(1, 10**6), st.sampled_from(["", "Ki", "Mi", "Gi"]))
def test_the_next_suffix_is_1024_times_as_much(number: int, suffix: str) -> None:
    larger = {"": "Ki", "Ki": "Mi", "Mi": "Gi", "Gi": "Ti"}[suffix]
    assert amount(f"{number}{larger}") == amount(f"{number}{suffix}") * 1024


@pytest.mark.parametrize("kind", CUSTOM_RESOURCES, ids=lambda kind: kind.__name__)
def test_the_longest_name_makes_pods_with_labels_that_fit(kind: Any) -> None:
    longest = max(
        length for length in range(1, 254) if all(rule.allows(named(kind, "a" * length)) for rule in kind.rules)
    )
    if kind is WhatsAppApp:
        assert longest == 63
        return
    group = group_name("pool" if kind is BotPool else "tenant", "a" * longest)
    assert group.endswith("a" * longest), "no digest is needed"
    # What a StatefulSet puts into labels of its pods: their names, and its own name with a hash of ten.
    assert len(pod_name(group, 499)) <= 63
    assert len(f"{group}-0123456789") <= 63
    assert len(group_name("tenant", "a" * 300)) <= 52


def named(kind: Any, name: str) -> Any:
    return kind.model_construct(metadata=Metadata(name=name))


def test_a_secret_shows_no_value() -> None:
    secret = Secret.model_validate(
        {"metadata": {"name": "s"}, "stringData": {"accessToken": "canary-1"}, "data": {"a": "Y2FuYXJ5LTI="}}
    )
    assert secret.values() == {"accessToken": "canary-1", "a": "canary-2"}
    assert "canary" not in repr(secret)
    assert "Y2FuYXJ5" not in repr(secret)


def test_a_secret_that_is_no_base64_says_which_key() -> None:
    with pytest.raises(ValidationError, match="key accessToken is not base64"):
        Secret.model_validate({"metadata": {"name": "s"}, "data": {"accessToken": "!!!"}})
