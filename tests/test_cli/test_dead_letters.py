from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from comanda_cli.app import app
from tests.harness import change, text_message, until, webhook
from tests.test_router.conftest import NUMBERS, RouterUnderTest, router_under_test

runner = CliRunner()
CONTACT: dict[str, Any] = {"wa_id": "56911112222", "profile": {"name": "Ana"}}


class Operator:
    """A person in the router's container, whose environment says where everything is."""

    def __init__(self, router: RouterUnderTest) -> None:
        self._url = router.url
        self._environment = {
            "COMANDA_ROUTER_DEAD_LETTERS_DIR": str(router.folder / "dead"),
            "COMANDA_ROUTER_APPS_DIR": str(router.folder / "apps"),
        }

    async def types(self, *words: str) -> tuple[int, str]:
        ran = await asyncio.to_thread(runner.invoke, app, ["dead-letter", *words], env=self._environment)
        return ran.exit_code, ran.output

    async def replays(self, *words: str) -> tuple[int, str]:
        return await self.types("replay", *words, "--router-url", self._url)

    async def sees(self, *words: str) -> list[dict[str, Any]]:
        code, said = await self.types("list", "-o", "json", *words)
        assert code == 0, said
        rows: list[dict[str, Any]] = json.loads(said)
        return rows


@asynccontextmanager
async def router_with_a_letter(folder: Path) -> AsyncIterator[tuple[RouterUnderTest, Operator]]:
    async with router_under_test(folder) as router:
        document = webhook(change("99", messages=[text_message("wamid.1")], contacts=[CONTACT]))
        assert await router.post(document) == 200
        yield router, Operator(router)


async def test_letters_are_listed_without_what_they_say_and_shown_with_it(tmp_path: Path) -> None:
    async with router_with_a_letter(tmp_path) as (_, operator):
        (row,) = await operator.sees()
        assert (row["phone_number_id"], row["reason"], row["app"]) == ("99", "unknown_number", "default")
        _, said = await operator.types("list")
        assert "99" in said
        assert "hola" not in said
        assert CONTACT["wa_id"] not in said
        code, said = await operator.types("show", row["id"])
        assert code == 0
        assert json.loads(said)["content"]["id"] == "wamid.1"


async def test_a_letter_is_handed_in_again_whole_once_its_number_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with router_with_a_letter(tmp_path) as (router, operator):
        monkeypatch.setitem(NUMBERS, "99", ("other/own", "default"))
        generation = router.publish()

        async def knows() -> bool:
            async with router.session.get(f"{router.url}/readyz") as response:
                return bool((await response.json())["generation"] == generation)

        await until(knows)
        (row,) = await operator.sees()
        assert await operator.replays(row["id"]) == (0, f"Letter {row['id']} was taken.\n")
        (delivery,) = router.pods["own-0"].stored
        assert (delivery.kind, delivery.phone_number_id, delivery.key) == ("message", "99", "wamid.1")
        assert json.loads(bytes(delivery.contact)) == CONTACT
        assert await operator.sees() == []
        assert [each["replayed"] for each in await operator.sees("--all")] == [True]


async def test_a_letter_that_would_come_back_stays_and_says_why(tmp_path: Path) -> None:
    async with router_with_a_letter(tmp_path) as (router, operator):
        code, said = await operator.replays("--all")
        assert (code, "the number 99 is still unknown" in said) == (1, True)
        assert (await operator.replays("nothing"))[0] == 1
        assert len(await operator.sees()) == 1
        assert len(router.dead_letters()) == 1


async def test_a_letter_that_the_router_cannot_place_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with router_with_a_letter(tmp_path) as (router, operator):
        monkeypatch.setitem(NUMBERS, "99", ("other/own", "default"))
        generation = router.publish(own_0=False)

        async def knows() -> bool:
            async with router.session.get(f"{router.url}/readyz") as response:
                return bool((await response.json())["generation"] == generation)

        await until(knows)
        code, said = await operator.replays("--all")
        assert (code, "answered 503" in said) == (1, True)
        assert len(await operator.sees()) == 1


async def test_a_line_that_was_cut_off_is_no_letter_and_spoils_no_other(tmp_path: Path) -> None:
    async with router_with_a_letter(tmp_path) as (router, operator):
        with (tmp_path / "dead" / "dead-letters.jsonl").open("ab") as file:
            file.write(b'{"at": 1, "reason')
        assert await router.post(webhook(change("98", messages=[text_message("wamid.2")]))) == 200
        assert [row["phone_number_id"] for row in await operator.sees()] == ["99", "98"]
