"""What the page on GitOps gives to copy is what the chart takes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.test_charts.chart import objects

PAGE = Path(__file__).parents[2] / "docs" / "operating" / "gitops.md"


def examples() -> Iterator[dict[str, Any]]:
    for block in re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL):
        yield from yaml.safe_load_all(block)


def values_in(example: dict[str, Any]) -> dict[str, Any] | None:
    source = example["spec"].get("source", {})
    found = source.get("helm", {}).get("valuesObject") or example["spec"].get("values")
    return found if isinstance(found, dict) else None


@pytest.mark.parametrize("tool", ["Application", "HelmRelease"])
def test_the_chart_takes_the_values_of_each_example(tool: str) -> None:
    (values,) = (found for each in examples() if each["kind"] == tool and (found := values_in(each)))
    made = objects(values)
    assert {"Deployment", "BotPool", "WhatsAppApp"} <= {each["kind"] for each in made}


def test_what_is_rendered_without_a_cluster_draws_no_key() -> None:
    (values,) = (found for each in examples() if each["kind"] == "Application" and (found := values_in(each)))
    assert objects(values) == objects(values)
