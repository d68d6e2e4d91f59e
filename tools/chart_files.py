"""What is made of the chart's values: defaults, `values.yaml`, `values.schema.json`, and the README's table."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from pydantic import BaseModel
from tools.chart_values import REMOVED, Values

_MOST = 2**53
"""Helm keeps numbers as floats: larger ones would arrive as others."""

_LEFT_OUT = {"title", "default", "properties"}
"""Words of a schema that are not taken over as they are."""


def defaults() -> dict[str, Any]:
    """Return all values as they are when nobody says otherwise."""
    return Values().model_dump(mode="json", by_alias=True)


def schema() -> dict[str, Any]:
    """Return the JSON schema: closed, without references; what was removed is known, so that the chart can name it."""
    raw = Values.model_json_schema(by_alias=True)
    parts = raw.pop("$defs")
    found: dict[str, Any] = {"$schema": "http://json-schema.org/draft-07/schema#", **_plain(raw, parts)}
    for path, now in REMOVED.items():
        place, (*parents, name) = found, path.split(".")
        for parent in parents:
            fresh = {"type": "object", "additionalProperties": False, "properties": {}, "description": "Removed."}
            place = place["properties"].setdefault(parent, fresh)
        place["properties"][name] = {"description": f"Removed: it is {now} now.", "deprecated": True}
    return found


def _plain(node: Any, parts: Mapping[str, Any], *, is_item: bool = False) -> Any:
    """Return a schema with its references put in place, without titles and defaults, and with closed maps."""
    if isinstance(node, list):
        return [_plain(each, parts) for each in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        part = parts[node["$ref"].rpartition("/")[2]]
        node = {**part, **{key: value for key, value in node.items() if key != "$ref"}}
    found = {key: _plain(value, parts, is_item=key == "items") for key, value in node.items() if key not in _LEFT_OUT}
    if "properties" in node:
        found["properties"] = {name: _plain(value, parts) for name, value in node["properties"].items()}
        if not is_item:
            # Helm brings the defaults; what is missing was taken away by a null, which no template could work with.
            found["required"] = list(node["properties"])
    if "patternProperties" in found:
        found["additionalProperties"] = False
    if found.get("type") in {"integer", "number"}:
        found.setdefault("maximum", _MOST)
    return found


def values_yaml() -> Iterator[str]:
    """Yield the lines of values.yaml: each value under its sentence."""
    yield from _commented(Values(), "")


def _commented(part: BaseModel, indent: str) -> Iterator[str]:
    for name, field in type(part).model_fields.items():
        value, key = getattr(part, name), field.alias or name
        yield from textwrap.wrap(
            field.description or "", 118, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# "
        )
        if isinstance(value, BaseModel):
            yield f"{indent}{key}:"
            yield from _commented(value, f"{indent}  ")
        else:
            dumped = part.model_dump(mode="json", by_alias=True, include={name})[key]
            yield f"{indent}{key}: {_flow(dumped)}" if not _is_long(dumped) else f"{indent}{key}:"
            if _is_long(dumped):
                text = yaml.safe_dump(dumped, sort_keys=False, allow_unicode=True)
                yield from (f"{indent}  {line}" for line in text.splitlines())


def _is_long(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(each, dict) for each in value)


def _flow(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def value_rows() -> Iterator[str]:
    """Yield the rows of the README's table: path, default and sentence of every value."""
    yield from _rows(Values(), "")


def _rows(part: BaseModel, path: str) -> Iterator[str]:
    for name, field in type(part).model_fields.items():
        value, inner = getattr(part, name), f"{path}{field.alias or name}"
        if isinstance(value, BaseModel):
            yield from _rows(value, f"{inner}.")
        else:
            dumped = part.model_dump(mode="json", by_alias=True, include={name})[field.alias or name]
            yield f"| `{inner}` | `{_flow(dumped)}` | {field.description} |"
