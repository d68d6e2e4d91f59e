"""Resources drawn from their own schema, each field within its bounds and form, and slips of the pen in them.

A field that is added to a model is drawn from then on, without a word here.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import strategies as st

from comanda_contract.names import API_GROUP_VERSION
from comanda_contract.resources.crd import Schema, build_schema
from comanda_contract.resources.meta import ResourceBase
from comanda_kube.resources import Json
from tests.test_contract.crds.support import BASES

_MATCHES = re.compile(r"(?:self|key)\.matches\(r'(.*?)'\)")

_MEMORIES = ["1.5Gi", "500M", "256Gi", "67108864", "65536Ki", "70000.5k", "0.25T", "0.125Ti", "2G"]

_CHOSEN: dict[str, st.SearchStrategy[Any]] = {
    "cpu": st.integers(10, 2000).map("{}m".format) | st.integers(1, 64).map(str) | st.sampled_from(["0.1", "2.125"]),
    "memory": st.integers(32, 4096).map("{}Mi".format) | st.sampled_from(_MEMORIES),
}
"""Values of fields of whose form a regular expression does not tell enough."""


def drawn(kind: type[ResourceBase]) -> st.SearchStrategy[Json]:
    """Return resources of a kind, parts of which may not agree with each other."""
    name = kind.model_fields["kind"].default
    spec = _values("spec", build_schema(kind)["properties"]["spec"]).map(_with_fitting_sections)
    head = {"apiVersion": API_GROUP_VERSION, "kind": name, "metadata": {"name": "drawn"}}
    return spec.map(lambda spec: {**head, "spec": spec})


def _values(name: str, schema: Schema) -> st.SearchStrategy[Any]:
    if name in _CHOSEN:
        return _CHOSEN[name]
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    return _OF_TYPE[schema["type"]](schema)


def _lists(schema: Schema) -> st.SearchStrategy[Any]:
    return st.lists(_values("", schema["items"]), max_size=3, unique=True)


def _integers(schema: Schema) -> st.SearchStrategy[Any]:
    return st.integers(schema["minimum"], schema["maximum"])


def _objects(schema: Schema) -> st.SearchStrategy[Any]:
    if "additionalProperties" in schema:
        return st.dictionaries(_texts(schema), _values("", schema["additionalProperties"]), max_size=3)
    fields = {field: _values(field, node) for field, node in schema["properties"].items()}
    required = {field: fields.pop(field) for field in schema.get("required", ())}
    return st.fixed_dictionaries(required, optional=fields)


def _texts(schema: Schema) -> st.SearchStrategy[str]:
    """Return texts of the form that the schema's rules ask for: a string's own, or those of a map's keys."""
    forms = [form for rule in schema.get("x-kubernetes-validations", ()) for form in _MATCHES.findall(rule["rule"])]
    least, most = schema.get("minLength", 0), schema.get("maxLength", 64)
    texts = st.from_regex(forms[0], fullmatch=True) if forms else st.text(max_size=8)
    return texts.filter(lambda text: least <= len(text) <= most)


_OF_TYPE: dict[str, Callable[[Schema], st.SearchStrategy[Any]]] = {
    "object": _objects,
    "array": _lists,
    "integer": _integers,
    "boolean": lambda _: st.booleans(),
    "string": _texts,
}


def _with_fitting_sections(spec: Json) -> Json:
    """Give a drawn spec the sections that its choices need and no others: else nearly all would be refused for that."""
    if "plan" in spec or "enterprise" in spec:
        unwanted = "poolRef" if spec.get("plan") == "enterprise" else "enterprise"
        spec = {"enterprise": {}, **spec} if spec.get("plan") == "enterprise" else spec
        spec = {field: value for field, value in spec.items() if field != unwanted}
    if "handler" in spec.get("enterprise", {}):
        spec["enterprise"]["handler"] = _with_fitting_handler(spec["enterprise"]["handler"])
    return spec


def _with_fitting_handler(handler: Json) -> Json:
    own: dict[str, Json] = {"python": {"entryPoint": "napoli"}, "bridge": {"bridge": {"image": "bot:1"}}}
    unwanted = {"python": {"bridge"}, "bridge": {"entryPoint", "env"}}
    type_ = handler.get("type", "flow")
    dropped = unwanted.get(type_, {"bridge", "entryPoint", "env"})
    return {**own.get(type_, {}), **{field: value for field, value in handler.items() if field not in dropped}}


_SLIPS: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(
        [None, True, False, 0, -1, 1, 10**6, 2**63, 0.5, "", "0", "true", "-", "a b", "A", "ñ", "a\n", "$", [], {}]
    ),
    st.sampled_from([["A"], [None], {"name": "a"}, {"a": None}, "500m", "2Gi", "1e3", "UTC", "Local", "es-cl", "v1.0"]),
    st.text(max_size=6),
    st.integers(-3, 70_000),
)


@st.composite
def slips(draw: st.DrawFn) -> Json:
    """Return a good resource with one slip: a field without its value, with another one, or one too many."""
    document = copy.deepcopy(draw(st.sampled_from(sorted(BASES.items())).map(lambda named: named[1])))
    document.setdefault("spec", {})
    place, name = draw(st.sampled_from(list(_places(document["spec"]))))
    match draw(st.sampled_from(["remove", "replace", "replace", "replace", "add"])):
        case "remove":
            place.pop(name, None)
        case "replace":
            place[name] = draw(_SLIPS)
        case _:
            place[draw(st.sampled_from(["colour", "image", "plan", "poolRef", "enterprise", "env"]))] = draw(_SLIPS)
    return document


def _places(section: Json) -> Iterator[tuple[Json, str]]:
    """Yield every object in a spec with each of its fields, and with one that it might have."""
    yield section, "resources"
    for name, value in section.items():
        yield section, name
        if isinstance(value, dict):
            yield from _places(value)
