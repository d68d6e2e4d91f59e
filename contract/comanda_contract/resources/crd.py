"""CRDs from the models: pydantic's JSON schema made structural, with rules, columns and subresources. Pure."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from comanda_contract.names import API_GROUP, API_VERSION
from comanda_contract.resources.meta import Definition, PrinterColumn, ResourceBase

CATEGORIES = ("comanda", "whatsapp")
"""`kubectl get comanda` shows all that is ours, `kubectl get whatsapp` as well."""

_KEPT = (
    "type",
    "description",
    "enum",
    "format",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "maxProperties",
)
_NOTHING: tuple[Any, ...] = (None, "", [], {})
_INT_OR_STRING = "x-kubernetes-int-or-string"

Schema = dict[str, Any]


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
                "categories": list(CATEGORIES),
            },
            "versions": [_version(kind, definition)],
        },
    }


def _version(kind: type[ResourceBase], definition: Definition) -> dict[str, Any]:
    version: dict[str, Any] = {
        "name": API_VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": _with_defaults_told(build_schema(kind))},
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


def _column(column: PrinterColumn) -> dict[str, Any]:
    rendered = {"name": column.name, "type": column.type, "jsonPath": column.path, "description": column.description}
    return rendered | ({"priority": column.priority} if column.priority else {})


def build_schema(kind: type[ResourceBase]) -> Schema:
    """Return the structural schema of a resource: no references, no unions, nothing the API server refuses."""
    raw = kind.model_json_schema(by_alias=True, mode="validation")
    schema = _structural(raw, raw.get("$defs", {}))
    schema["description"] = (kind.__doc__ or "").strip()
    properties = schema["properties"]
    # The API server knows metadata; a rule may name no more of it than what stands here.
    properties["metadata"] = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 253}}}
    for field in ("apiVersion", "kind"):
        properties[field] = {"type": "string", "description": properties[field]["description"]}
    # The operator writes a status; what it leaves out is not known, and a default would say otherwise.
    properties["status"] = _mapped(properties["status"], _without_default)
    schema["required"] = [name for name in schema.get("required", []) if name == "spec"]
    if not schema["required"]:
        del schema["required"]
    return schema


def default_text(node: Schema) -> str:
    """Return the default of a field as one would write it, or nothing where there is none to tell."""
    default = node.get("default")
    if default is None or isinstance(default, (dict, list)):
        return ""
    return str(default).lower() if isinstance(default, bool) else str(default)


def _with_defaults_told(schema: Schema) -> Schema:
    """Say in each description what the default is: `kubectl explain` does not."""

    def told(node: Schema) -> Schema:
        default = default_text(node)
        return node | {"description": f"{node['description']} Default: {default}."} if default else node

    return _mapped(schema, told)


def _without_default(node: Schema) -> Schema:
    return {key: value for key, value in node.items() if key != "default"}


def _mapped(node: Schema, change: Any) -> Schema:
    """Return a schema in which every node, from the outermost inwards, is changed."""
    result: Schema = dict(change(node))
    if "properties" in result:
        result["properties"] = {name: _mapped(inner, change) for name, inner in result["properties"].items()}
    for key in ("items", "additionalProperties"):
        if key in result:
            result[key] = _mapped(result[key], change)
    return result


def _structural(node: Schema, defs: dict[str, Schema]) -> Schema:
    node = _without_null(node)
    if "$ref" in node:
        inner = _structural(defs[node["$ref"].rsplit("/", 1)[-1]], defs)
        # What the field says of itself is closer to the reader than what the type says.
        own = {"description": node["description"]} if "description" in node else {}
        return inner | own | _default(node)
    extensions = {key: value for key, value in node.items() if key.startswith("x-kubernetes-")}
    result = {key: node[key] for key in _KEPT if node.get(key) is not None} | _default(node) | extensions
    if "const" in node:
        result |= {"type": "string", "enum": [node["const"]]}
    if _INT_OR_STRING in node:
        del result["type"]
    if node.get("examples"):
        result["example"] = node["examples"][0]
    return result | _children(node, defs)


def _children(node: Schema, defs: dict[str, Schema]) -> Schema:
    children: Schema = {}
    if "items" in node:
        children["items"] = _structural(node["items"], defs)
    if "properties" in node:
        children["properties"] = {name: _structural(value, defs) for name, value in node["properties"].items()}
        if node.get("required"):
            children["required"] = list(node["required"])
    if isinstance(node.get("additionalProperties"), dict):
        children["additionalProperties"] = _structural(node["additionalProperties"], defs)
    return children


def _default(node: Schema) -> Schema:
    """Return the default of a field in full, as the API server judges it before it fills in the defaults inside."""
    default = _said(node.get("default"))
    return {} if default in _NOTHING else {"default": default}


def _said(default: Any) -> Any:
    """Leave out what says nothing: an empty text or list is kept out of the stored objects."""
    if not isinstance(default, dict):
        return default
    said = {key: _said(value) for key, value in default.items()}
    return {key: value for key, value in said.items() if value not in _NOTHING}


def _without_null(node: Schema) -> Schema:
    """Turn "X or null" into X: in a custom resource an absent field says the same."""
    if "anyOf" not in node:
        return node
    shapes = [shape for shape in node["anyOf"] if shape.get("type") != "null"]
    rest = {key: value for key, value in node.items() if key != "anyOf"}
    merged: Schema = shapes[0] | rest
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
