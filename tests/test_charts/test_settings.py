"""What the chart tells each process: settings that it knows and takes, and commands that there are."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from typing import Any

import pytest
from pydantic_settings import BaseSettings
from typer.main import get_command

from comanda_cli.app import app
from comanda_operator.settings import OperatorSettings
from comanda_router.settings import RouterSettings
from comanda_simulator.config import read_config
from tests.test_charts.chart import ROOT, SETS, Object, environment, objects, pick, pods, values_of

MODELS: dict[str, type[BaseSettings]] = {"comanda-operator": OperatorSettings, "comanda-router": RouterSettings}
FROM_ELSEWHERE = {"COMANDA_ROUTER_MASTER_KEY": "00" * 32}
"""What a Secret would bring."""


def pods_of(name: str) -> dict[str, Object]:
    return dict(pods(objects(values_of(name))))


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("component", MODELS)
def test_a_component_takes_all_that_the_chart_sets(name: str, component: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = MODELS[component]
    prefix = str(model.model_config["env_prefix"])
    known = {f"{prefix}{field}".upper() for field in model.model_fields}
    variables = environment(pods_of(name)[component])
    assert variables.keys() <= known
    for variable, value in variables.items():
        text = value if isinstance(value, str) else FROM_ELSEWHERE.get(variable, "x")
        assert isinstance(text, str)
        monkeypatch.setenv(variable, text)
    model()


def test_what_is_tuned_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    found = pods_of("everything")
    for component in MODELS:
        for variable, value in environment(found[component]).items():
            monkeypatch.setenv(variable, value if isinstance(value, str) else FROM_ELSEWHERE.get(variable, "x"))
    router, operator = RouterSettings(), OperatorSettings()
    assert (router.workers, router.pod_queue_bytes, router.stall_seconds) == (2, 67_108_864, 0.25)
    assert operator.allowed_images == ("registry.example.com/", "registry.example.com/team/")
    assert operator.meta_check_hours == 0.5
    assert str(operator.graph_url) == "http://graph.example.com:8080/"


@pytest.mark.parametrize("name", SETS)
def test_each_command_is_a_module_that_runs_or_a_command_that_there_is(name: str) -> None:
    for workload, pod in pods_of(name).items():
        if workload == "comanda-database":
            continue  # PostgreSQL's own image
        command = pod["spec"]["containers"][0]["command"]
        if command[:2] == ["python", "-m"]:
            spec = importlib.util.find_spec(command[2])
            assert spec is not None
            if spec.submodule_search_locations:
                spec = importlib.util.find_spec(f"{command[2]}.__main__")
            assert spec is not None
            assert given_options(command) <= options_of(str(spec.origin))
        else:
            assert_cli(command, environment(pod))


def given_options(words: list[str]) -> set[str]:
    """Return the names of the options that a command line gives."""
    return {word.partition("=")[0] for word in words if word.startswith("--")}


def options_of(path: str) -> set[str]:
    """Return the options that a module's parser has."""
    calls = [node for node in ast.walk(ast.parse(Path(path).read_text())) if isinstance(node, ast.Call)]
    words = [argument.value for call in calls for argument in call.args if isinstance(argument, ast.Constant)]
    return {word for word in words if isinstance(word, str) and word.startswith("--")}


def assert_cli(command: list[str], variables: dict[str, Any]) -> None:
    """Parse a command as `comanda` would, and look at where its variables go."""
    assert command[0] == "comanda"
    found: Any = get_command(app)
    words = command[1:]
    while words and not words[0].startswith("-"):
        found = found.commands[words[0]]
        words = words[1:]
    asked = {parameter.envvar for parameter in found.params}
    assert variables.keys() <= asked
    missing = [each.name for each in found.params if each.required and each.envvar not in variables]
    assert missing == []
    options = {option for parameter in found.params for option in parameter.opts}
    assert given_options(words) <= options


@pytest.mark.parametrize("name", SETS)
def test_ports_that_processes_are_told_to_open_are_those_that_probes_and_services_name(name: str) -> None:
    made = objects(values_of(name))
    found = dict(pods(made))
    router = environment(found["comanda-router"])
    ports = {each["name"]: each["containerPort"] for each in found["comanda-router"]["spec"]["containers"][0]["ports"]}
    assert ports == {"http": int(router["COMANDA_ROUTER_PORT"]), "health": int(router["COMANDA_ROUTER_HEALTH_PORT"])}
    for workload, pod in found.items():
        container = pod["spec"]["containers"][0]
        names = {each["name"] for each in container.get("ports", ())}
        probes = [container[probe] for probe in container if probe.endswith("Probe")]
        assert {probe["httpGet"]["port"] for probe in probes if "httpGet" in probe} <= names, workload
    for service in (each for each in made if each["kind"] == "Service"):
        wanted = service["spec"]["selector"].items()
        (pod,) = [each for each in found.values() if wanted <= each["metadata"]["labels"].items()]
        names = {each["name"] for each in pod["spec"]["containers"][0]["ports"]}
        assert {each["targetPort"] for each in service["spec"]["ports"]} <= names


def test_the_simulator_takes_its_configuration(tmp_path: Path) -> None:
    secret = pick(objects(values_of("simulator")), "Secret", "comanda-simulator")
    file = tmp_path / "simulator.json"
    file.write_text(secret["stringData"]["simulator.json"])
    config = read_config(file)
    assert config.webhook_url_of("default") == "http://comanda-router.comanda.svc/webhook"
    app_secret = pick(objects(values_of("simulator")), "Secret", "comanda-simulator-app")["stringData"]
    assert config.apps["default"].app_secret == app_secret["appSecret"]
    assert config.apps["default"].verify_token == app_secret["verifyToken"]


def test_the_router_grants_itself_what_its_own_tests_run_it_with() -> None:
    from tests.test_router.directory_cluster import RULES  # noqa: PLC0415 - the room's own fixtures

    assert pick(objects(), "ClusterRole", "comanda-router")["rules"] == RULES
    assert (ROOT / "charts/comanda/rbac/router.yaml").exists()
