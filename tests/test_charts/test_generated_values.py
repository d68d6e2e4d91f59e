"""Any values: they give objects that Kubernetes knows, or are refused with a path. COMANDA_CHART_EXAMPLES runs more."""

from __future__ import annotations

import os
import re
from typing import Any

import helm_python as helm
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tools import chart_files, chart_values

from tests.test_charts.chart import assert_known, chart, objects, read, render
from tests.test_charts.drawing import allowed_by

EXAMPLES = int(os.environ.get("COMANDA_CHART_EXAMPLES", "60"))

PATH = re.compile(r"at '(/[^']*)?'|additional properties|: [a-zA-Z.\[\]0-9]+: (must|was)")
"""A refusal names where: by the schema as a pointer, by the chart's own rules as a path."""

SIMPLE: dict[str, Any] = {"crds": {"enabled": False}}
"""CRDs are the same whatever else is said, and large."""


def sections(schema: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Draw some sections of the values: all at once is more than one reads, and slow."""
    kept = {name: part for name, part in schema["properties"].items() if name not in {"crds", *REMOVED}}
    parts = {name: allowed_by(part) for name, part in kept.items()}
    return st.fixed_dictionaries({}, optional=parts)


def spoilt(values: dict[str, Any], junk: Any, choose: Any) -> dict[str, Any]:
    """Put something into a place of the values where it may not belong."""
    place: Any = values
    while isinstance(place, dict) and place:
        key = choose(sorted(place))
        if not isinstance(place[key], dict) or not place[key]:
            place[key] = junk
            break
        place = place[key]
    return values


REMOVED = {path.partition(".")[0] for path in chart_values.REMOVED} - chart_files.defaults().keys()
"""Sections in which nothing is left."""

KNOWN = chart().schema
assert KNOWN is not None
VALUES = sections(KNOWN)
JUNK = st.one_of(st.none(), st.integers(), st.booleans(), st.text(max_size=20), st.just([]), st.just({"a": [1]}))

LIMITS = settings(
    max_examples=EXAMPLES,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)


def said(values: dict[str, Any]) -> dict[str, str] | str:
    """Return what the chart makes of values, or the sentence with which it refuses them."""
    try:
        return render({**values, **SIMPLE})
    except (helm.HelmValuesError, helm.HelmRenderError) as refused:
        return str(refused)


def hold(values: dict[str, Any]) -> None:
    """Hold values against the law: they render to what Kubernetes knows, or are refused with a path."""
    made = said(values)
    if isinstance(made, str):
        assert PATH.search(made), made
        return
    for name, text in made.items():
        if not name.endswith(".txt"):
            for found in read(text):
                assert_known(found, "1.31")


@pytest.mark.timeout(3600)
@LIMITS
@given(VALUES)
def test_values_that_the_schema_allows_render_or_are_refused_with_a_path(values: dict[str, Any]) -> None:
    hold(values)


@pytest.mark.timeout(3600)
@LIMITS
@given(VALUES, JUNK, st.data())
def test_values_with_something_wrong_in_them_render_or_are_refused_with_a_path(
    values: dict[str, Any], junk: Any, data: st.DataObject
) -> None:
    hold(spoilt(values, junk, lambda keys: data.draw(st.sampled_from(keys))))


def test_a_refusal_without_a_path_would_be_noticed() -> None:
    assert not PATH.search("execution error at (comanda/templates/pool.yaml:1:4): nil pointer evaluating interface {}")
    assert objects(SIMPLE)
