from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from comanda_contract.resources import CUSTOM_RESOURCES, BotPool, ConfigMap, Secret, WhatsAppApp, WhatsAppTenant
from comanda_contract.resources.crd import build_crd, undocumented_fields

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


@pytest.mark.parametrize("kind", CUSTOM_RESOURCES, ids=lambda kind: kind.__name__)
def test_every_field_has_a_description_and_an_example(kind: Any) -> None:
    assert undocumented_fields(kind) == []


@pytest.mark.parametrize("kind", CUSTOM_RESOURCES, ids=lambda kind: kind.__name__)
def test_the_schema_is_structural(kind: Any) -> None:
    def check(node: dict[str, Any], path: str) -> None:
        assert not {"$ref", "anyOf", "oneOf", "allOf", "title", "examples", "const"} & node.keys(), path
        assert node.get("type"), path
        assert node.get("default", 0) is not None, path
        assert not ("properties" in node and "additionalProperties" in node), path
        assert (
            node["type"] != "string"
            or "maxLength" in node
            or "enum" in node
            or "." not in path
            or (path.rsplit(".", 1)[-1] in {"apiVersion", "kind", "lastTransitionTime"})
        ), f"{path} has no bound"
        assert node["type"] != "array" or "maxItems" in node, f"{path} has no bound"
        for name, inner in node.get("properties", {}).items():
            check(inner, f"{path}.{name}")
        for key in ("items", "additionalProperties"):
            if key in node:
                check(node[key], f"{path}[]")

    check(build_crd(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"], kind.__name__)


@pytest.mark.parametrize(
    ("changes", "path", "words"),
    [
        ({"phoneNumberId": "10654035a"}, "phoneNumberId", "pattern"),
        ({"phoneNumberId": "1" * 33}, "phoneNumberId", "at most 32"),
        ({"displayName": ""}, "displayName", "at least 1"),
        ({"plan": "gold"}, "plan", "'standard' or 'enterprise'"),
        ({"plan": "enterprise"}, "", "plan enterprise needs the section enterprise"),
        ({"enterprise": {}}, "", "the section enterprise is for plan enterprise alone"),
        ({"plan": "enterprise", "enterprise": {}, "poolRef": "x"}, "", "poolRef is for plan standard alone"),
        ({"colour": "red"}, "colour", "Extra inputs"),
        ({"limits": {"outboundPerSecond": 0}}, "limits.outboundPerSecond", "greater than or equal to 1"),
        ({"currency": "clp"}, "currency", "pattern"),
        (
            {"plan": "enterprise", "enterprise": {"handler": {"type": "python"}}},
            "enterprise.handler",
            "needs entryPoint",
        ),
        ({"plan": "enterprise", "enterprise": {"handler": {"type": "bridge"}}}, "enterprise.handler", "section bridge"),
        ({"plan": "enterprise", "enterprise": {"image": "-rm"}}, "enterprise.image", "pattern"),
    ],
)
def test_a_bad_tenant_is_refused_with_its_field_and_rule(changes: dict[str, Any], path: str, words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        WhatsAppTenant.model_validate(with_spec(**changes))
    error = caught.value.errors()[0]
    assert ".".join(map(str, error["loc"])) == f"spec.{path}".rstrip(".")
    assert words in error["msg"]


def test_cross_field_rules_are_the_same_in_model_and_crd() -> None:
    schema = build_crd(WhatsAppTenant)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    messages = {rule["message"] for rule in schema["properties"]["spec"]["x-kubernetes-validations"]}
    section: dict[str, Any] = {"enterprise": {}}
    cases: list[dict[str, Any]] = [{"plan": "enterprise"}, section, {"plan": "enterprise", "poolRef": "x"} | section]
    for changes in cases:
        with pytest.raises(ValidationError) as caught:
            WhatsAppTenant.model_validate(with_spec(**changes))
        assert caught.value.errors()[0]["msg"].removeprefix("Value error, ") in messages


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
