"""The values: closed, described, as the schema says; what cannot be is refused with path, rule and way out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import helm_python as helm
import pytest
import yaml
from tools import chart_files, chart_values

from tests.test_charts.chart import CHART, ROOT, chart, objects, render


def schemas(path: str, schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield path and schema of each value."""
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from schemas(f"{path}.{name}".removeprefix("."), inner)
    if "items" in schema:
        yield from schemas(f"{path}[]", schema["items"])


def schema() -> dict[str, Any]:
    found = chart().schema
    assert found is not None
    return found


def test_each_value_is_described_and_each_object_closed() -> None:
    for path, found in schemas("", schema()):
        assert path.endswith("[]") or found["description"].endswith("."), path
        if found.get("type") == "object":
            assert found["additionalProperties"] is False, path


def test_the_defaults_are_what_the_schema_allows_and_what_values_yaml_says() -> None:
    chart().validate_schema(chart_files.defaults())
    assert yaml.safe_load((CHART / "values.yaml").read_text()) == chart_files.defaults()


def test_each_value_has_its_sentence_above_it() -> None:
    text = (CHART / "values.yaml").read_text()
    for path, found in schemas("", schema()):
        if path and "[]" not in path and not found.get("deprecated") and found["description"] != "Removed.":
            name = path.rpartition(".")[2]
            wrapped = r"\s+(?:# )?".join(map(re.escape, found["description"].split()))
            assert re.search(rf"# {wrapped}\n *{name}:", text), path


@pytest.mark.parametrize("was", chart_values.REMOVED)
def test_a_value_that_was_removed_is_refused_with_its_new_name(was: str) -> None:
    values: Any = "anything"
    for name in reversed(was.split(".")):
        values = {name: values}
    with pytest.raises(helm.HelmRenderError) as refused:
        render(values)
    assert f"{was}: was removed; set {chart_values.REMOVED[was]} instead" in str(refused.value)
    assert chart_values.REMOVED[was] in {path for path, _ in schemas("", schema())}


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"database": {"mode": "external"}}, "database.external.secretName"),
    ({"database": {"mode": "external", "external": {"secretName": "a"}}}, "database.external.ownerSecretName"),
    ({"app": {"appId": "1"}}, "app.existingSecret"),
    ({"app": {"appId": "1", "existingSecret": "a"}, "simulator": {"enabled": True}}, "app.appId"),
    ({"operator": {"rbac": {"scope": "namespaces"}}}, "operator.rbac.namespaces"),
    ({"operator": {"rbac": {"namespaces": ["shop"]}}}, "operator.rbac.namespaces"),
    ({"router": {"autoscaling": {"minReplicas": 11}}}, "router.autoscaling.minReplicas"),
    ({"pool": {"autoscaling": {"minReplicas": 11}}}, "pool.autoscaling.minReplicas"),
    ({"networkPolicy": {"databasePorts": [25060]}}, "networkPolicy.databasePorts"),
    ({"router": {"ingress": {"enabled": True}}}, "router.host"),
    ({"router": {"gateway": {"enabled": True}}}, "router.host"),
    ({"router": {"host": "a.example.com", "gateway": {"enabled": True}}}, "router.gateway.className"),
    ({"operator": {"tolerations": [{}, {"operator": "Equal"}]}}, "operator.tolerations[1].key"),
]


@pytest.mark.parametrize(("values", "path"), REFUSED)
def test_what_does_not_go_together_is_refused_with_the_path_the_rule_and_the_way_out(
    values: dict[str, Any], path: str
) -> None:
    with pytest.raises(helm.HelmRenderError) as refused:
        render(values)
    sentence = str(refused.value).rpartition(": ")[0] + str(refused.value)
    assert f" {path}: must " in sentence


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"nonsense": 1}, "nonsense"),
        ({"router": {"replica": 2}}, "/router"),
        ({"router": {"replicas": "two"}}, "/router/replicas"),
        ({"router": {"settings": {"workers": 65}}}, "/router/settings/workers"),
        ({"operator": {"image": {"digest": "sha256:beef"}}}, "/operator/image/digest"),
        ({"pool": {"name": "No_Name"}}, "/pool/name"),
        ({"simulator": {"numbers": []}}, "/simulator/numbers"),
        ({"operator": {"podLabels": {"a b": "c"}}}, "/operator/podLabels"),
    ],
)
def test_what_the_schema_does_not_allow_is_refused_with_its_path(values: dict[str, Any], path: str) -> None:
    with pytest.raises(helm.HelmValuesError) as refused:
        render(values)
    assert path in str(refused.value)


def test_the_copy_of_the_crds_is_the_crds() -> None:
    for path in (ROOT / "crds").glob("*.yaml"):
        assert (CHART / "files" / "crds" / path.name).read_text() == path.read_text()
        crd = yaml.safe_load(path.read_text())
        (made,) = [each for each in objects() if each["metadata"]["name"] == crd["metadata"]["name"]]
        assert made["spec"] == crd["spec"]


def test_helm_has_nothing_to_say_against_the_chart() -> None:
    report = helm.lint(CHART, strict=True)
    assert report["errors"] == []
    assert [each["error"] for each in report["messages"]] == ["icon is recommended"]
