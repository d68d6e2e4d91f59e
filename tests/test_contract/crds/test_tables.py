"""What is refused, with which sentence, and what is taken, with which defaults: by the API server and by the models."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import pytest
import yaml

from comanda_contract.resources import CUSTOM_RESOURCES
from comanda_contract.resources.crd import Schema, build_schema
from comanda_kube.resources import Json
from tests.test_contract.crds.support import (
    BASES,
    HERE,
    KINDS,
    Judge,
    Verdict,
    at,
    model_verdict,
    patched,
    with_quantities_as_text,
    without_empty,
)

ROOT = HERE.parents[2]


@dataclass(frozen=True)
class Case:
    """One entry of a table."""

    name: str
    base: str
    patch: Json = field(default_factory=dict)
    update: bool = False

    @property
    def document(self) -> Json:
        return dict(patched(BASES[self.base], self.patch))

    async def judged(self, judge: Judge) -> Verdict:
        """Ask the API server to create the resource, or to change the base into it."""
        if not self.update:
            return await judge.create(self.document)
        made = (await judge.create(BASES[self.base], keep=True)).made
        return await judge.replace(dict(patched(made, self.patch)))


@dataclass(frozen=True)
class Refused(Case):
    field: str = ""
    says: str = ""
    model: str = ""
    server_only: str = ""


@dataclass(frozen=True)
class Taken(Case):
    defaults: Json = field(default_factory=dict)
    nulls: tuple[str, ...] = ()

    @property
    def document(self) -> Json:
        document = copy.deepcopy(super().document)
        for path in self.nulls:
            parent, _, name = path.rpartition(".")
            document.setdefault("spec", {})
            at(document, parent)[name] = None
        return document


def table(file: str) -> list[Json]:
    return list(yaml.safe_load((HERE / file).read_text()))


REFUSED = [Refused(**entry) for entry in table("refused.yaml")]
TAKEN = [Taken(**entry) for entry in table("taken.yaml")]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
async def test_a_bad_resource_is_refused_with_its_field_and_a_sentence(judge: Judge, case: Refused) -> None:
    verdict = await case.judged(judge)
    assert not verdict.accepted
    assert case.says in verdict.words
    # Of a field that it does not know, the API server tells the path in the sentence.
    assert case.field in (verdict.fields or verdict.words)


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_the_model_refuses_what_the_api_server_refuses(case: Refused) -> None:
    verdict = model_verdict(case.document)
    if case.server_only:
        assert verdict.accepted
        return
    assert (case.model or case.says) in verdict.words
    assert case.field in verdict.fields


@pytest.mark.parametrize("case", TAKEN, ids=lambda case: case.name)
async def test_a_good_resource_is_taken_and_gets_the_same_defaults_from_both(judge: Judge, case: Taken) -> None:
    verdict = await case.judged(judge)
    assert verdict.made, verdict.words
    for path, default in case.defaults.items():
        assert at(verdict.made, path) == default
    assert with_quantities_as_text(without_empty(verdict.made["spec"])) == _made(case.document)["spec"]


EXAMPLES = [
    pytest.param(document, id=f"{path.name}-{document['kind']}-{document['metadata']['name']}")
    for folder in ("docs/examples", "cli/comanda_cli/demo_tenants")
    for path in sorted((ROOT / folder).rglob("*.yaml"))
    for document in yaml.safe_load_all(path.read_text())
    if document["kind"] in KINDS
]


@pytest.mark.parametrize("example", EXAMPLES)
async def test_every_example_is_taken(judge: Judge, example: Json) -> None:
    verdict = await judge.create(patched(example, {"metadata": {"namespace": None}}))
    assert verdict.made, verdict.words
    assert with_quantities_as_text(without_empty(verdict.made["spec"])) == _made(example)["spec"]


def _made(document: Json) -> Json:
    verdict = model_verdict(document)
    assert verdict.made, verdict.words
    return verdict.made


def rules(schema: Schema, path: str = "") -> list[tuple[str, str]]:
    """Return path and sentence of every rule in a schema."""
    own = [
        (f"{path}{rule.get('fieldPath', '')}".lstrip("."), rule["message"])
        for rule in schema.get("x-kubernetes-validations", ())
    ]
    inner = [(f"{path}.{name}", node) for name, node in schema.get("properties", {}).items()]
    inner += [(f"{path}[]", schema["items"])] if "items" in schema else []
    inner += [(f"{path}.*", schema["additionalProperties"])] if "additionalProperties" in schema else []
    return own + [rule for at_path, node in inner for rule in rules(node, at_path)]


@pytest.mark.parametrize("kind", CUSTOM_RESOURCES, ids=lambda kind: kind.__name__)
def test_every_rule_is_broken_in_the_table_at_every_place_that_has_it(kind: Any) -> None:
    told = [(case.field, case.says) for case in REFUSED if BASES[case.base]["kind"] == kind.__name__]

    def is_broken(path: str, message: str) -> bool:
        # Items and values are counted and named in the table, and are any in the schema.
        return any(_fits(path, field) and says in message for field, says in told)

    assert [rule for rule in rules(build_schema(kind)) if not is_broken(*rule)] == []


def _fits(path: str, field: str) -> bool:
    if path.endswith(".*"):
        return field.rpartition(".")[0] == path.removesuffix(".*")
    return "".join("[]" if part[:1].isdigit() else part for part in field.replace("]", "[").split("[")) == path


def test_the_tables_are_as_long_as_they_should_be() -> None:
    assert len(REFUSED) >= 60
    assert len(TAKEN) >= 20
    assert len({case.name for case in (*REFUSED, *TAKEN)}) == len(REFUSED) + len(TAKEN)
