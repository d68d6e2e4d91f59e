from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

from typer.testing import CliRunner

from comanda_cli.app import app
from tests.harness import until
from tests.test_router.conftest import NUMBERS, router_under_test

runner = CliRunner()


async def explain(url: str, number: str, *words: str) -> tuple[int, str]:
    arguments = ["route", "explain", number, "--admin-url", url, *words]
    ran = await asyncio.to_thread(runner.invoke, app, arguments)
    return ran.exit_code, ran.output


async def test_a_number_s_pod_is_shown_with_the_others_in_their_order(tmp_path: Path) -> None:
    async with router_under_test(tmp_path) as router:
        code, said = await explain(router.url, "11")
        route = json.loads((await explain(router.url, "11", "-o", "json"))[1])
        assert code == 0
        assert route["served"]
        first, *rows = said.splitlines()
        assert re.match(rf"11 → {route['pod']} of default/pool +tenant \S+, app default", first)
        assert [row.split()[0] for row in rows[1:]].count("→") == 1
        shown = [word for row in rows[1:] for word in row.split() if word.startswith("pod-")]
        assert shown == [each["pod"] for each in route["candidates"]]


async def test_a_number_without_a_live_pod_says_what_becomes_of_its_webhooks(tmp_path: Path) -> None:
    async with router_under_test(tmp_path) as router:
        router.publish(own_0=False)

        async def unserved() -> bool:
            return "Not served now" in (await explain(router.url, "33"))[1]

        await until(unserved)
        _, said = await explain(router.url, "33")
        assert "no pod of other/own" in said
        assert "not ready" in said


async def test_an_unknown_number_and_a_router_that_is_away_say_what_to_do(tmp_path: Path) -> None:
    async with router_under_test(tmp_path) as router:
        assert "404404" not in NUMBERS
        code, said = await explain(router.url, "404404")
        assert code == 1
        assert "is not in the directory" in said
        assert "WhatsAppTenant" in said
    code, said = await explain("http://127.0.0.1:9", "11")
    assert code == 1
    assert "does not answer" in said
    assert "--admin-url" in said


async def test_an_address_that_is_no_router_s_health_port_is_told_from_an_unknown_number(
    tmp_path: Path,
) -> None:
    async with router_under_test(tmp_path) as router:
        code, said = await explain(f"{router.url}/webhook", "11")
        assert code == 1
        assert "health port" in said
