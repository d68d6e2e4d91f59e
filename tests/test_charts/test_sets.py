"""Sets of values, each a way to run the product: what comes of it, to read, and whether Kubernetes would take it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.golden import assert_golden
from tests.test_charts.chart import SETS, Object, assert_known, is_native, objects, render, values_of

GOLDEN = Path(__file__).parent / "golden"
RANDOM = {"password", "url", "masterKey"}
"""Keys of Secrets that the chart draws anew when it cannot look for them."""

VERSIONS = ("1.31", kubernetes_validate.latest_version())


def shown(found: Object) -> Object:
    """Return an object as golden files show it: what is random is named so, and a CRD, which is a copy, by its name."""
    if found["kind"] == "CustomResourceDefinition":
        return {**found, "spec": "as in crds/"}
    if found["kind"] == "Secret" and "data" in found:
        data = {key: "random" if key in RANDOM else value for key, value in found["data"].items()}
        return {**found, "data": data}
    return found


@pytest.mark.parametrize("name", SETS)
def test_a_set_gives_what_its_golden_file_shows(name: str) -> None:
    made = [shown(each) for each in objects(values_of(name))]
    text = yaml.safe_dump_all(made, sort_keys=False, allow_unicode=True, width=120)
    assert_golden(GOLDEN / f"{name}.yaml", text)


@pytest.mark.parametrize("name", ["default", "simulator", "external"])
def test_the_notes_of_a_set_are_as_shown(name: str) -> None:
    assert_golden(GOLDEN / f"{name}.notes.txt", render(values_of(name))["NOTES.txt"])


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", SETS)
def test_kubernetes_knows_each_field_of_a_set(name: str, version: str) -> None:
    for each in objects(values_of(name)):
        assert_known(each, version)


def test_a_misspelt_field_would_be_noticed() -> None:
    (router,) = [each for each in objects() if each["kind"] == "Deployment" and "router" in each["metadata"]["name"]]
    container = router["spec"]["template"]["spec"]["containers"][0]
    container["readinesProbe"] = container.pop("readinessProbe")
    with pytest.raises(kubernetes_validate.ValidationError, match="readinesProbe"):
        kubernetes_validate.validate(router, VERSIONS[0], strict=True)


@pytest.mark.parametrize("name", SETS)
def test_each_object_of_a_set_is_there_once_in_its_own_namespace_with_our_labels(name: str) -> None:
    seen: set[tuple[Any, ...]] = set()
    for each in objects(values_of(name)):
        metadata = each["metadata"]
        assert re.fullmatch("[a-z0-9][-a-z0-9.]*", metadata["name"])
        assert metadata["labels"]["app.kubernetes.io/part-of"] == "comanda"
        is_wide = (each["kind"].startswith("Cluster") and is_native(each)) or each["kind"] == "CustomResourceDefinition"
        assert ("namespace" in metadata) is not is_wide, each["kind"]
        identity = (each["apiVersion"], each["kind"], metadata.get("namespace"), metadata["name"])
        assert identity not in seen
        seen.add(identity)
