"""CRDs from the models: pydantic's JSON schema made structural, with CEL rules, columns and subresources. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from comanda_contract.names import API_GROUP, API_VERSION
from comanda_contract.resources.meta import Definition, Part, ResourceBase

_KEPT = (
    "type",
    "description",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "enum",
    "format",
    "default",
    "maxItems",
    "minItems",
    "maxProperties",
)


def build_crd(kind: type[ResourceBase]) -> dict[str, Any]:
    """Return the CustomResourceDefinition of a resource model."""
    definition = kind.definition
    name = kind.model_fields["kind"].default
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{definition.plural}.{API_GROUP}"},
        "spec": {
            "group": API_GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": name,
                "listKind": f"{name}List",
                "plural": definition.plural,
                "singular": definition.singular,
                "shortNames": list(definition.short_names),
                "categories": ["comanda"],
            },
            "versions": [_version(kind, definition)],
        },
    }


def _version(kind: type[ResourceBase], definition: Definition) -> dict[str, Any]:
    version: dict[str, Any] = {
        "name": API_VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": build_schema(kind)},
        "subresources": {"status": {}},
        "additionalPrinterColumns": [_column(column) for column in definition.columns],
    }
    if definition.scale:
        version["subresources"]["scale"] = {
            "specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector",
        }
    if definition.selectable_fields:
        version["selectableFields"] = [{"jsonPath": path} for path in definition.selectable_fields]
    return version


def _column(column: Any) -> dict[str, Any]:
    rendered: dict[str, Any] = {"name": column.name, "type": column.type, "jsonPath": column.path}
    if column.priority:
        rendered["priority"] = column.priority
    if column.description:
        rendered["description"] = column.description
    return rendered


def build_schema(kind: type[ResourceBase]) -> dict[str, Any]:
    """Return the structural schema of a resource: no references, no unions, nothing the API server refuses."""
    raw = kind.model_json_schema(by_alias=True, mode="validation")
    rules = {part.__name__: _rules(part) for part in _parts(Part)}
    schema = _structural(raw, raw.get("$defs", {}), rules)
    schema["description"] = (kind.__doc__ or "").strip()
    properties = schema["properties"]
    properties["metadata"] = {"type": "object"}
    for field in ("apiVersion", "kind"):
        properties[field] = {"type": "string", "description": properties[field]["description"]}
    schema["required"] = [name for name in schema.get("required", []) if name == "spec"]
    if not schema["required"]:
        del schema["required"]
    return schema


def _parts(base: type[Part]) -> Iterator[type[Part]]:
    for part in base.__subclasses__():
        yield part
        yield from _parts(part)


def _rules(part: type[Part]) -> list[dict[str, str]]:
    return [{"rule": rule.rule, "message": rule.message} for rule in part.cel_rules]


def _structural(node: dict[str, Any], defs: dict[str, Any], rules: dict[str, list[dict[str, str]]]) -> dict[str, Any]:
    node = _without_null(node)
    if "$ref" in node:
        name = node["$ref"].rsplit("/", 1)[-1]
        inner = _structural(defs[name], defs, rules)
        if rules.get(name):
            inner["x-kubernetes-validations"] = rules[name]
        # What the field says of itself is closer to the reader than what the type says.
        return inner | {key: _set_values(node[key]) for key in ("description", "default") if node.get(key) is not None}
    result = {key: _set_values(node[key]) for key in _KEPT if node.get(key) is not None}
    if "const" in node:
        result |= {"type": "string", "enum": [node["const"]]}
    if node.get("examples"):
        result["example"] = node["examples"][0]
    if "items" in node:
        result["items"] = _structural(node["items"], defs, rules)
    if "properties" in node:
        result["properties"] = {name: _structural(value, defs, rules) for name, value in node["properties"].items()}
        if node.get("required"):
            result["required"] = list(node["required"])
    if isinstance(node.get("additionalProperties"), dict):
        result["additionalProperties"] = _structural(node["additionalProperties"], defs, rules)
    return result


def _set_values(default: Any) -> Any:
    """Leave absent what a default does not set: null is no value of a field that is not nullable."""
    if not isinstance(default, dict):
        return default
    return {key: _set_values(value) for key, value in default.items() if value is not None}


def _without_null(node: dict[str, Any]) -> dict[str, Any]:
    """Turn "X or null" into X: in a custom resource an absent field says the same."""
    if "anyOf" not in node:
        return node
    shapes = [shape for shape in node["anyOf"] if shape.get("type") != "null"]
    rest = {key: value for key, value in node.items() if key != "anyOf"}
    merged: dict[str, Any] = shapes[0] | rest
    return merged


def undocumented_fields(model: type[BaseModel]) -> list[str]:
    """Return `Model.field` of every field without a description or example, in the model and all it holds."""
    schema = model.model_json_schema(by_alias=True)
    shapes = {model.__name__: schema} | schema.get("$defs", {})
    return [
        f"{name}.{field}"
        for name, shape in shapes.items()
        if name != "Metadata"
        for field, described in shape.get("properties", {}).items()
        # Pydantic leaves out a field's description when it equals the docstring of the field's type.
        if ("description" not in described and "$ref" not in described) or "examples" not in described
    ]
