from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner

from comanda_cli.app import app
from tests.test_cli.test_folder import DEMO, edit, folder

__all__ = ["folder"]
RUN = CliRunner()


def test_help_lists_the_commands() -> None:
    result = RUN.invoke(app, ["--help"])
    assert result.exit_code == 0
    for command in ("up", "demo", "validate", "doctor", "orders", "tenant"):
        assert command in result.output


def test_completion_is_offered() -> None:
    assert "--install-completion" in RUN.invoke(app, ["--help"]).output


def test_validate_says_that_all_is_fine() -> None:
    result = RUN.invoke(app, ["validate", "-f", str(DEMO)])
    assert (result.exit_code, "3 tenants in 2 groups" in result.output) == (0, True)


def test_validate_names_file_and_line_and_fails(folder: Path) -> None:
    line = edit(folder, "napoli.yaml", "price: 9490", "price: lots")
    result = RUN.invoke(app, ["validate", "-f", str(folder)])
    assert result.exit_code == 1
    assert f"napoli.yaml:{line}:" in result.output


def test_validate_as_json_for_programs(folder: Path) -> None:
    edit(folder, "platform.yaml", "kind: BotPool", "kind: BotPoll")
    (folder / "farol.yaml").unlink()
    result = RUN.invoke(app, ["validate", "-f", str(folder), "--output", "json"])
    answer = json.loads(result.output)
    assert (result.exit_code, answer["ok"]) == (1, False)
    assert answer["problems"][0]["file"] == "platform.yaml"
    # Without its platform file neither app nor pool is known, and every tenant says so.
    assert {(each["name"], each["reason"]) for each in answer["refused"]} == {
        ("default/napoli", "AppNotReady"),
        ("parrilla/parrilla", "AppNotReady"),
    }


def test_tenant_list_shows_groups_and_reasons(folder: Path) -> None:
    edit(folder, "napoli.yaml", "kind: Secret", "kind: Sekret\n#")
    edit(folder, "napoli.yaml", "apiVersion: v1", "apiVersion: other/v1")
    result = RUN.invoke(app, ["tenant", "list", "-f", str(folder), "-o", "json"])
    rows = {row["tenant"]: row for row in json.loads(result.output)}
    assert rows["default/farol"]["group"] == "default/pool-default"
    assert rows["default/napoli"]["scheduled"] is False
    assert "SecretMissing" in rows["default/napoli"]["reason"]


def test_orders_of_an_empty_folder_say_what_to_do(tmp_path: Path) -> None:
    result = RUN.invoke(app, ["orders", "list", "--data-dir", str(tmp_path)])
    assert result.exit_code == 1
    assert "holds no orders" in result.output
    assert "comanda up" in result.output


def test_doctor_finds_nothing_wrong_here(tmp_path: Path) -> None:
    result = RUN.invoke(app, ["doctor", "-f", str(DEMO), "--data-dir", str(tmp_path), "-o", "json"])
    assert result.exit_code == 0
    assert {finding["what"] for finding in json.loads(result.output)} >= {
        "Python",
        "Data folder",
        "Durability",
        "Resources",
    }


def test_doctor_says_what_to_do_about_what_it_finds(tmp_path: Path, folder: Path) -> None:
    edit(folder, "napoli.yaml", "price: 9490", "price: lots")
    (tmp_path / "file").write_text("")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        options = ["-f", str(folder), "--data-dir", str(tmp_path / "file"), "--router-port", port]
        result = RUN.invoke(app, ["doctor", *options])
    assert result.exit_code == 1
    for words in ("cannot be written", "Choose another one with --data-dir", f"Port {port}: is in use", "napoli.yaml:"):
        assert words in result.output


@pytest.mark.parametrize(
    "arguments", [["up"], ["validate"], ["tenant", "list"], ["up", "-f", "x", "--router-port", "0"]]
)
def test_missing_and_wrong_options_are_named(arguments: list[str]) -> None:
    result = RUN.invoke(app, arguments)
    assert result.exit_code == 2
    assert "--filename" in result.output or "--router-port" in result.output


@pytest.mark.parametrize(
    ("handler", "refused"),
    [
        ("{type: python, entryPoint: 'napoli_bot.handler:handle'}", ""),
        ("{type: bridge, bridge: {image: napoli/bot}}", "handler type bridge is not run by this version"),
    ],
)
def test_validate_says_which_handlers_are_not_run(folder: Path, handler: str, refused: str) -> None:
    edit(folder, "parrilla.yaml", "    replicas: 1", f"    replicas: 1\n    handler: {handler}")
    result = RUN.invoke(app, ["validate", "-f", str(folder)])
    assert (result.exit_code, refused in result.output.replace("\n", " ")) == (1 if refused else 0, True)
