"""The container file agrees with the project and the chart. `make e2e` builds it."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from tools import chart_files

from comanda_operator.manifests.pods import USER

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "images" / "Containerfile").read_text()
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
_, *_STAGES, LAST = TEXT.split("\nFROM ")
BUILD = "\n".join(_STAGES)
SERVICES = ("operator", "router", "botpod", "simulator", "migrate")


def test_each_image_of_the_chart_can_be_built() -> None:
    defaults = chart_files.defaults()
    parts = {name: defaults[name]["image"]["repository"] for name in SERVICES}
    assert parts == {name: f"comanda-{name}" for name in SERVICES}
    assert f"give {', '.join(SERVICES[:-1])} or {SERVICES[-1]}" in TEXT


@pytest.mark.parametrize("service", SERVICES[:-1])
def test_a_service_is_an_extra_of_the_project_and_a_module_that_runs(service: str) -> None:
    assert service in PROJECT["project"]["optional-dependencies"]
    assert importlib.util.find_spec(f"comanda_{service}.__main__") is not None


def test_all_that_the_wheel_is_made_of_is_there() -> None:
    rooms = {path.partition("/")[0] for path in PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]}
    copied = set(re.findall(r"^COPY (\w+) \w+$", BUILD, re.MULTILINE))
    assert copied == rooms
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert rooms < let_in


def test_what_is_installed_is_what_the_lock_pins() -> None:
    assert TEXT.count("--require-hashes") == 2
    assert "--frozen" in BUILD
    assert "--only-binary :all:" in BUILD, "nothing is compiled"


def test_the_last_stage_has_neither_installer_nor_root() -> None:
    assert not re.search(r"\b(apt-get|pip|uv|gcc)\b", LAST)
    assert f"USER {USER}:{USER}" in LAST
    assert "RUN" not in LAST


def test_its_version_is_the_projects_and_the_charts() -> None:
    version = PROJECT["project"]["version"]
    assert f"ARG VERSION={version}" in LAST
    assert f"appVersion: {version}" in (ROOT / "charts" / "comanda" / "Chart.yaml").read_text()
