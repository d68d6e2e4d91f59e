"""What checkov finds in the manifests of the chart and of the operator; each exception has its reason here."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.binaries import cache, say
from tests.test_charts.chart import ROOT, SETS, objects, values_of
from tests.test_operator.test_manifests import CASES

pytestmark = pytest.mark.timeout(900)

REQUIREMENTS = ROOT / "tools" / "checkov.txt"
"""Made by `echo checkov | uv pip compile --universal --python-version 3.11 --generate-hashes -`."""

ACCEPTED = {
    "CKV_K8S_11": "no limit of CPU unless the values give one: what is idle may be used; requests are the promise",
    "CKV_K8S_15": "tags are of releases and never change; Always would let no pod start while the registry is away",
    "CKV_K8S_35": "the database's address and passwords, and the router's key, are read once at the start, as libpq and"
    " the PostgreSQL image do; what is rotated, tokens and app secrets, is mounted",
    "CKV_K8S_38": "operator and router speak to the API; nobody else has a token",
    "CKV_K8S_43": "a digest is a value of each image; the defaults name the release by its tag",
}


@pytest.fixture(scope="module")
def checkov() -> Path:
    """The program, in an environment of its own beside ours: it wants other versions of what we use."""
    made = cache() / f"checkov-{hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:16]}"
    if not (made / "bin" / "checkov").exists():
        say("» Installing checkov (once; a minute)")
        unfinished = made.with_suffix(f".{os.getpid()}")
        venv.create(unfinished, with_pip=False, clear=True)
        uv = [str(Path(sys.executable).with_name("uv")), "pip", "sync", "--quiet", "--python"]
        subprocess.run([*uv, str(unfinished / "bin" / "python"), "--require-hashes", str(REQUIREMENTS)], check=True)
        shutil.rmtree(made, ignore_errors=True)
        unfinished.rename(made)
    return made


def manifests() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    for name in SETS:
        yield f"chart-{name}", [each for each in objects(values_of(name)) if each["kind"] != "CustomResourceDefinition"]
    for name, make in CASES.items():
        told = [{"apiVersion": each.resource.api_version, "kind": each.resource.kind, **each.body} for each in make()]
        yield f"operator-{name}", told


@pytest.fixture(scope="module")
def findings(checkov: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("manifests")
    for name, made in manifests():
        # By way of JSON: YAML would name what two places share, and refer to it.
        (folder / f"{name}.yaml").write_text(yaml.safe_dump_all(json.loads(json.dumps(made)), sort_keys=False))
    words = ["--framework", "kubernetes", "--output", "json", "--quiet", "--skip-download"]
    # Its scripts name the folder in which they were installed first.
    command = [str(checkov / "bin" / "python"), "-m", "checkov.main", "--directory", str(folder), *words]
    said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    report = json.loads(said.stdout)
    assert report["summary"]["parsing_errors"] == 0
    assert report["summary"]["passed"] > 1000
    found: list[dict[str, Any]] = report["results"]["failed_checks"]
    return found


def test_nothing_is_found_but_what_is_accepted_with_a_reason(findings: list[dict[str, Any]]) -> None:
    others = {(each["check_id"], each["check_name"], each["file_path"], each["resource"]) for each in findings}
    assert {other for other in others if other[0] not in ACCEPTED} == set()


def test_nothing_is_accepted_that_is_not_found(findings: list[dict[str, Any]]) -> None:
    assert {each["check_id"] for each in findings} == ACCEPTED.keys()


def test_only_who_speaks_to_the_api_has_a_token(findings: list[dict[str, Any]]) -> None:
    assert {each["resource"] for each in findings if each["check_id"] == "CKV_K8S_38"} == {
        "Deployment.comanda.comanda-operator",
        "Deployment.comanda.comanda-router",
        "Job.comanda.comanda-startup",
    }
