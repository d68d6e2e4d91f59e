"""Checks a tenant's flow and restaurant with the flow room, and says on which line they are wrong."""

from __future__ import annotations

from collections.abc import Iterator

from comanda_cli.documents import BrokenYamlError, Document, Problem, parse_path, read_documents
from comanda_contract.resources import WhatsAppTenantSpec
from comanda_contract.resources.tenant import FLOW_KEY
from comanda_flow import FlowError, RestaurantError, load_flow, load_restaurant


def check_bot(file: str, first_line: int, key: str, text: str, spec: WhatsAppTenantSpec) -> Iterator[Problem]:
    """Yield what is wrong with one key of a ConfigMap; `first_line` is the line in the file where its text begins."""
    try:
        documents = read_documents(text)
    except BrokenYamlError as error:
        yield Problem(file, first_line + error.line - 1, key, error.rule)
        return
    document = documents[0] if documents else Document({}, {(): 1})
    if not isinstance(document.data, dict):
        yield Problem(file, first_line, key, "must be a mapping.")
        return
    try:
        if key == FLOW_KEY:
            load_flow(document.data)
        else:
            content = {"name": spec.display_name} | document.data
            load_restaurant(content, currency=spec.currency, timezone=spec.timezone, locale=spec.locale)
    except (FlowError, RestaurantError) as error:
        for problem in error.problems:
            line = first_line + document.line_of(parse_path(problem.path)) - 1
            yield Problem(file, line, f"{key}: {problem.path}", problem.rule, problem.hint)
