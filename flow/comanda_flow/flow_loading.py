"""Reads a flow document: the schema first, then every rule on what the schema could read, all problems at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from comanda_flow.documents import schema_problems
from comanda_flow.errors import FlowError
from comanda_flow.flow import Flow
from comanda_flow.flow_checks import check_flow

_MAPS = ("nodes", "texts", "intents")
"""Parts whose broken entries are left out, so that the rules can be checked on the others."""


def load_flow(document: Mapping[str, Any]) -> Flow:
    """Read a flow document. Raises `FlowError` with every problem found."""
    try:
        flow = Flow.model_validate(document)
    except ValidationError as error:
        problems = schema_problems(error, tagged="nodes")
        sound = _sound_part(document, error)
        if sound is not None:
            problems += check_flow(sound, known=_names(document, "nodes"), known_texts=_names(document, "texts"))
        raise FlowError(problems) from error
    problems = check_flow(flow, known=frozenset(flow.nodes), known_texts=frozenset(flow.texts))
    if problems:
        raise FlowError(problems)
    return flow


def _names(document: Mapping[str, Any], part: str) -> frozenset[str]:
    entries = document.get(part)
    return frozenset(map(str, entries)) if isinstance(entries, Mapping) else frozenset()


def _sound_part(document: Mapping[str, Any], error: ValidationError) -> Flow | None:
    """Return the flow without the entries that broke the schema; None when its frame is broken too."""
    broken = {detail["loc"][:2] for detail in error.errors(include_url=False, include_input=False)}
    rest = dict(document)
    for part in _MAPS:
        entries = document.get(part)
        if isinstance(entries, Mapping):
            rest[part] = {name: entry for name, entry in entries.items() if (part, name) not in broken}
    rest = {name: value for name, value in rest.items() if name in Flow.model_fields}
    try:
        return Flow.model_validate(rest)
    except ValidationError:
        return None
