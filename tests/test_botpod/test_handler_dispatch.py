from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from comanda_botpod.handlers import HandlerInterrupted
from comanda_botpod.handlers.dispatch import Handlers
from comanda_botpod.handlers.flow import FlowHandler
from comanda_store import Store
from comanda_store.sqlite.engine import sqlite_url
from tests.test_botpod.conftest import tenant
from tests.test_botpod.python_handlers import Customer, World, install, load, said, settings_of


@pytest.fixture
async def handlers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Handlers]:
    install(tmp_path, monkeypatch)
    store = await Store.open(sqlite_url(tmp_path / "comanda.db"), pod="pod-0", incarnation="pod-0:1")
    world = World(tmp_path)
    made = Handlers(FlowHandler(store), world.recent, world.media)
    yield made
    await made.close()
    await world.close()
    await store.close()


async def test_the_tenants_setting_decides_who_answers(handlers: Handlers, tmp_path: Path) -> None:
    by_flow, by_python = (Customer(handlers, each) for each in load(tmp_path, tenant(), settings_of(number="10000022")))
    message = {"type": "text", "text": {"body": "hola"}}
    assert "Napoli" in (await by_flow.turn(message)).messages[0]
    assert "turn 1" in await by_python.say("hola")


async def test_a_conversation_passes_from_flow_to_python_and_back(handlers: Handlers, tmp_path: Path) -> None:
    ana = Customer(handlers, load(tmp_path, tenant())[0])
    await ana.turn({"type": "text", "text": {"body": "2 margarita"}})
    ana.tenant = load(tmp_path, settings_of())[0]
    assert "turn 1" in await ana.say("hola")
    ana.tenant = load(tmp_path, tenant())[0]
    result = await ana.turn({"type": "text", "text": {"body": "carta"}})
    assert result.messages
    assert b"turns" not in result.state


async def test_a_timer_of_code_that_answers_no_longer_says_nothing(handlers: Handlers, tmp_path: Path) -> None:
    ana = Customer(handlers, load(tmp_path, settings_of())[0])
    (timer,) = (await ana.turn({"type": "text", "text": {"body": "wait pizza"}})).timers
    ana.tenant = load(tmp_path, tenant())[0]
    before = (ana.state, ana.flow_version)
    result = await ana.turn({"about": timer.payload}, "timer")
    assert (result.messages, (result.state, result.flow_version)) == ((), before)


async def test_a_handler_that_does_not_start_is_a_problem_of_its_tenant(handlers: Handlers, tmp_path: Path) -> None:
    good, bad = load(tmp_path, settings_of(), settings_of("nobody", number="10000022"))
    await handlers.keep([good, bad])
    with pytest.raises(HandlerInterrupted, match="is no entry point"):
        await Customer(handlers, bad).say("hola")
    assert list(handlers.problems) == [bad.name]
    await handlers.keep([good])
    assert handlers.problems == {}
    assert "turn 1" in said(await Customer(handlers, good).turn({"type": "text", "text": {"body": "hola"}}))
