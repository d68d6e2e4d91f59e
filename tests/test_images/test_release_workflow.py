"""The release is run by a tag alone; what can be known of it before is looked at here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from tools.images import ROOT, SERVICES

WORKFLOWS = ROOT / ".github" / "workflows"


def jobs(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((WORKFLOWS / name).read_text())["jobs"]
    return found


def steps(name: str) -> Iterator[dict[str, Any]]:
    for job in jobs(name).values():
        yield from job["steps"]


@pytest.mark.parametrize("name", sorted(path.name for path in WORKFLOWS.glob("*.yaml")))
def test_every_action_is_pinned_by_its_commit(name: str) -> None:
    used = [step["uses"] for step in steps(name) if "uses" in step]
    assert used
    assert [each for each in used if not re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}", each)] == []


def test_every_image_is_built_and_every_list_of_contents_is_attached() -> None:
    assert tuple(jobs("release.yaml")["images"]["strategy"]["matrix"]["service"]) == SERVICES
    (listing,) = (step["run"] for step in steps("release.yaml") if "--sbom-only" in step.get("run", ""))
    assert f"for service in {' '.join(SERVICES)}; do" in listing


def test_no_job_may_do_more_than_it_says() -> None:
    assert yaml.safe_load((WORKFLOWS / "release.yaml").read_text())["permissions"] == {}
    for job in jobs("release.yaml").values():
        assert job["permissions"]
        assert "timeout-minutes" in job


def test_the_sources_are_as_the_workflow_reads_them() -> None:
    (version,) = re.findall(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    chart = (ROOT / "charts" / "comanda" / "Chart.yaml").read_text().splitlines()
    assert {f"version: {version}", f"appVersion: {version}"} <= set(chart)
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()
    assert (ROOT / "charts" / "comanda" / "values.yaml").read_text().count('\n  registry: ""\n') == 1
    assert re.search(r"^ARG BASE=\S+$", (ROOT / "images" / "Containerfile").read_text(), re.MULTILINE)
