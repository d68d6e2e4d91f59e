"""A restaurant moves in with a foreign tool: pywa points its account's webhooks at the real router, and also sends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from pywa.client import WhatsApp
from pywa.errors import WhatsAppError

from comanda_cli.local.processes import free_port
from tests.e2e.world import NAPOLI, World, world_in
from tests.harness import until

WABA, TOKEN, VERIFY_TOKEN = "102290129340398", "demo-token-of-napoli", "demo-verify-token"
PHONE = "56991110001"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """The product runs, and Meta's app-wide webhook URL leads nowhere: only an override finds the router."""
    async with world_in(tmp_path) as made:
        made.router_port = free_port()
        await made.up()
        yield made


@pytest.fixture
async def whatsapp(world: World) -> AsyncIterator[WhatsApp]:
    """pywa's client of Pizzería Napoli, with the simulator as Meta."""
    logging.getLogger("pywa").setLevel(logging.ERROR)
    with httpx.Client() as http:
        client = WhatsApp(phone_id=NAPOLI, token=TOKEN, session=http, waba_id=WABA, verify_token="unused")
        # pywa writes Meta's address into the session it is given; afterwards it may be changed.
        http.base_url = f"{world.graph_url}/v26.0"
        yield client


async def call(method: Callable[..., Any], *args: Any) -> Any:
    """Call a blocking method of pywa beside the running simulator."""
    return await asyncio.to_thread(method, *args)


async def overrides(whatsapp: WhatsApp) -> list[str]:
    apps = (await call(whatsapp.api.get_waba_subscribed_apps, WABA))["data"]
    return [app["override_callback_uri"] for app in apps if "override_callback_uri" in app]


async def entries(world: World, direction: str) -> list[dict[str, Any]]:
    params = {"after": "0", "direction": direction, "customer": PHONE}
    async with world.session.get(f"{world.graph_url}/simulator/ledger", params=params) as response:
        return list(await response.json())


async def test_the_router_confirms_an_override_with_its_token_alone(world: World, whatsapp: WhatsApp) -> None:
    webhook_url = f"{world.router_url}/webhook"
    for url, token in (
        (webhook_url, "wrong"),
        (webhook_url, ""),
        (f"{webhook_url}/nobody", VERIFY_TOKEN),
    ):
        with pytest.raises(WhatsAppError) as refused:
            await call(whatsapp.override_waba_callback_url, url, token)
        assert refused.value.subcode == 2200
        assert await overrides(whatsapp) == []
    assert await call(whatsapp.override_waba_callback_url, webhook_url, VERIFY_TOKEN)
    assert await overrides(whatsapp) == [webhook_url]


async def test_customers_of_an_overridden_account_reach_the_bot(world: World, whatsapp: WhatsApp) -> None:
    wamid = await world.let_write(PHONE, "hola", acked=False)
    await call(whatsapp.override_waba_callback_url, f"{world.router_url}/webhook", VERIFY_TOKEN)
    await world.count_replies(1, PHONE)
    [reply] = await world.replies(PHONE)
    assert "Bienvenido a Pizzería Napoli" in str(reply["payload"])
    [written] = await entries(world, "in")
    assert (written["wamid"], written["acked"]) == (wamid, True)


async def test_what_pywa_sends_beside_the_bot_comes_back_as_statuses_that_the_router_takes(
    world: World, whatsapp: WhatsApp
) -> None:
    await call(whatsapp.override_waba_callback_url, f"{world.router_url}/webhook", VERIFY_TOKEN)
    await world.let_write(PHONE, "hola")
    await world.count_replies(1, PHONE)
    sent = await call(whatsapp.send_message, PHONE, "Tu pedido va en camino")

    async def taken() -> set[str]:
        return {
            entry["payload"]["status"]
            for entry in await entries(world, "status")
            if entry["wamid"] == sent.id and entry["acked"]
        }

    async def delivered() -> bool:
        return await taken() == {"sent", "delivered"}

    async def read() -> bool:
        body = {"phone_number_id": NAPOLI, "customer": PHONE}
        async with world.session.post(f"{world.graph_url}/simulator/reads", json=body):
            return "read" in await taken()

    await until(delivered)
    await until(read)
    # The bot goes on as if nothing had happened, and does not answer statuses.
    await world.let_write(PHONE, "2 margarita")
    await world.count_replies(3, PHONE)
