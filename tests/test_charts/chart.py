"""What these tests share: the chart, rendered; its objects, its pods, and where its sets of values are."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import helm_python as helm
import kubernetes_validate
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "comanda"
SETS = {path.name.removesuffix("-values.yaml"): path for path in sorted((CHART / "ci").glob("*-values.yaml"))}
"""Sets of values by name; each stands for a way to run the product."""

RELEASE, NAMESPACE = "comanda", "comanda"
FOREIGN = ("comanda.dev/", "postgresql.cnpg.io/", "gateway.networking.k8s.io/", "monitoring.coreos.com/")
"""Groups of kinds that Kubernetes itself does not know."""

Object = dict[str, Any]

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@functools.cache
def chart() -> helm.Chart:
    return helm.Chart.load(CHART)


def values_of(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(SETS[name].read_text())
    return found


def render(values: Mapping[str, Any] | None = None, *, upgrade: bool = False) -> dict[str, str]:
    """Return the text of each template, by its path below `templates/`."""
    texts = chart().render(
        dict(values or {}), name=RELEASE, namespace=NAMESPACE, is_install=not upgrade, is_upgrade=upgrade
    )
    return {path.removeprefix("comanda/templates/"): text for path, text in texts.items()}


def objects(values: Mapping[str, Any] | None = None, *, upgrade: bool = False) -> list[Object]:
    """Return every object, in the order of the templates."""
    texts = render(values, upgrade=upgrade)
    return [found for path, text in sorted(texts.items()) if not path.endswith(".txt") for found in read(text)]


def read(text: str) -> Iterator[Object]:
    yield from (found for found in yaml.load_all(text, Loader=_LOADER) if found)


def pick(found: Iterable[Object], kind: str, name: str) -> Object:
    """Return the one object of a kind and name."""
    (one,) = (each for each in found if each["kind"] == kind and each["metadata"]["name"] == name)
    return one


def names(found: Iterable[Object], kind: str) -> set[str]:
    return {each["metadata"]["name"] for each in found if each["kind"] == kind}


def is_native(found: Object) -> bool:
    """Tell whether Kubernetes itself knows the kind."""
    return not found["apiVersion"].startswith(FOREIGN)


@functools.cache
def _validate(text: str, version: str) -> None:
    kubernetes_validate.validate(json.loads(text), version, strict=True)


def assert_known(found: Object, version: str) -> None:
    """Hold an object against a Kubernetes version's schema, once: most are the same in many sets of values."""
    if is_native(found):
        _validate(json.dumps(found, sort_keys=True), version)


def pods(found: Iterable[Object]) -> Iterator[tuple[str, Object]]:
    """Yield the pods that controllers would make, by the name of their workload."""
    for each in found:
        if each["kind"] in {"Deployment", "StatefulSet", "Job"}:
            template = each["spec"]["template"]
            spec = dict(template["spec"])
            claims = [claim["metadata"]["name"] for claim in each["spec"].get("volumeClaimTemplates", ())]
            volumes = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in claims]
            spec["volumes"] = [*spec.get("volumes", ()), *volumes]
            name = each["metadata"]["name"]
            metadata = {"namespace": NAMESPACE, "name": f"{name}-0", **template["metadata"]}
            yield name, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def environment(pod: Object) -> dict[str, Any]:
    """Return a pod's variables: the value, or where it comes from."""
    (container,) = pod["spec"]["containers"]
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in container.get("env", ())}
