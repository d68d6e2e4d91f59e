"""Alerts and pages speak of metrics that there are, and each alert has a runbook."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest
import yaml

ROOT = Path(__file__).parents[2]
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((ROOT / "charts/comanda/rules/alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
]
RUNBOOKS = (ROOT / "docs/operating/runbooks.md").read_text()
EXPOSED = {
    name
    for room in ("operator/comanda_operator", "router/comanda_router", "botpod/comanda_botpod")
    for path in (ROOT / room).rglob("*metrics.py")
    for name in re.findall(r"\"(comanda_\w+)\"", path.read_text())
}
SUFFIXES = ("", "_total", "_bucket", "_sum", "_count")


def selectors(expression: Any) -> Iterator[Any]:
    """Give the selectors of metrics in an expression, whatever they are in."""
    if isinstance(expression, promql.VectorSelector):
        yield expression
        return
    for part in ("expr", "lhs", "rhs", "vector_selector"):
        inner = getattr(expression, part, None)
        if inner is not None:
            yield from selectors(inner)
    for argument in getattr(expression, "args", None) or ():
        yield from selectors(argument)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_is_a_query_of_metrics_that_there_are(rule: dict[str, Any]) -> None:
    found = {selector.name for selector in selectors(promql.parse(rule["expr"]))}
    assert found
    assert found <= {name + suffix for name in EXPOSED for suffix in SUFFIXES}


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")), ids=lambda page: page.stem)
def test_a_page_speaks_of_metrics_that_there_are(page: Path) -> None:
    found = set(re.findall(r"`(?:\w+ )*.*?\b(comanda_(?:router|operator|botpod)_\w+)", page.read_text()))
    assert found <= {name + suffix for name in EXPOSED for suffix in SUFFIXES}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_says_how_urgent_it_is_and_what_it_means(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert rule["annotations"]["summary"].endswith(".")


def test_each_alert_has_a_runbook_and_each_runbook_an_alert() -> None:
    assert re.findall(r"^## (\w+)$", RUNBOOKS, re.MULTILINE) == [rule["alert"] for rule in RULES]
