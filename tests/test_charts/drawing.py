"""Values that a schema allows, drawn by Hypothesis: for the words that the chart's schema uses, and no others."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

_IGNORED = {"$schema", "description", "deprecated"}
_WORDS = {
    "object": {"properties", "required", "additionalProperties", "patternProperties", "maxProperties"},
    "array": {"items", "minItems", "maxItems"},
    "string": {"pattern", "maxLength", "enum"},
    "integer": {"minimum", "maximum"},
    "number": {"minimum", "maximum", "exclusiveMinimum"},
    "boolean": set[str](),
}


def allowed_by(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Return a strategy of what somebody may say: all that a schema allows, or a part, since Helm brings the defaults.

    Fails on a word that it does not know, rather than to ignore it.
    """
    kind = schema["type"]
    unknown = schema.keys() - _IGNORED - {"type"} - _WORDS[kind]
    assert not unknown, unknown
    return {"object": _objects, "array": _arrays, "string": _strings}.get(kind, _scalars)(schema)


def _objects(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    if "patternProperties" in schema:
        ((pattern, value),) = schema["patternProperties"].items()
        keys = st.from_regex(pattern, fullmatch=True)
        return st.dictionaries(keys, allowed_by(value), max_size=min(3, schema.get("maxProperties", 3)))
    drawn = {name: allowed_by(part) for name, part in schema["properties"].items() if "type" in part}
    return st.fixed_dictionaries({}, optional=drawn)


def _arrays(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    most = min(3, schema.get("maxItems", 3))
    return st.lists(_item(schema["items"]), min_size=schema.get("minItems", 0), max_size=most)


def _item(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Items have no defaults: what they must have is given."""
    if schema["type"] != "object":
        return allowed_by(schema)
    required = set(schema.get("required", ()))
    drawn = {name: allowed_by(part) for name, part in schema["properties"].items()}
    optional = {name: part for name, part in drawn.items() if name not in required}
    return st.fixed_dictionaries({name: drawn[name] for name in required}, optional=optional)


def _strings(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    longest = schema.get("maxLength", 10_000)
    text = st.from_regex(schema["pattern"], fullmatch=True) if "pattern" in schema else st.text()
    return text.filter(lambda drawn: len(drawn) <= longest)


def _scalars(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    if schema["type"] == "boolean":
        return st.booleans()
    least, most = schema.get("minimum", schema.get("exclusiveMinimum")), schema["maximum"]
    if schema["type"] == "integer":
        return st.integers(least, most)
    return st.floats(least, most, exclude_min="exclusiveMinimum" in schema, allow_nan=False)
