"""A browser on the chat page, and a small bot that answers it through the Graph API."""

from __future__ import annotations

import asyncio
import os
import shutil
from typing import Any

import aiohttp
import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, ViewportSize, expect

from tests.test_simulator.harness import NUMBER, TOKEN, Json, Simulator

DESKTOP: ViewportSize = {"width": 1280, "height": 800}
PHONE: ViewportSize = {"width": 390, "height": 844}
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

BUTTONS = {
    "type": "button",
    "header": {"type": "text", "text": "¡Hola!"},
    "body": {"text": "Bienvenida a *Pizzería Napoli*"},
    "footer": {"text": "Abierto hasta las 23:00"},
    "action": {
        "buttons": [
            {"type": "reply", "reply": {"id": "menu", "title": "See the menu"}},
            {"type": "reply", "reply": {"id": "human", "title": "Talk to somebody"}},
        ]
    },
}
LIST = {
    "type": "list",
    "body": {"text": "What would you like?"},
    "action": {
        "button": "Open the list",
        "sections": [
            {"title": "Pizzas", "rows": [{"id": "MARG", "title": "Margherita", "description": "Tomate"}]},
            {"title": "Drinks", "rows": [{"id": "WATER", "title": "Water"}]},
        ],
    },
}
ASK_PLACE = {"type": "location_request_message", "body": {"text": "Where to?"}, "action": {"name": "send_location"}}
CATALOGUE = {"type": "catalog_message", "body": {"text": "Our catalogue"}, "action": {"name": "catalog_message"}}
LINK = {
    "type": "cta_url",
    "body": {"text": "Pay here"},
    "action": {"name": "cta_url", "parameters": {"display_text": "Pay", "url": "https://pay.example/1"}},
}
FORMATTED = "*bold* _italic_ ~gone~ `code` 2*3*4 <img src=x onerror=alert(1)> https://menu.example/a.\n> quoted"
ARABIC = "مرحبا بكم 🍕"


class Bot:
    """Marks each message read with typing, and answers it by a fixed script."""

    def __init__(self, sim: Simulator) -> None:
        self._sim = sim
        self._http = aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"})
        self._turns: set[asyncio.Task[None]] = set()
        self.quiet = False

    async def take(self, webhook: Json) -> None:
        for entry in webhook["entry"]:
            for change in entry["changes"]:
                for message in change["value"].get("messages", []):
                    number = change["value"]["metadata"]["phone_number_id"]
                    turn = asyncio.create_task(self._turn(number, message))
                    self._turns.add(turn)
                    turn.add_done_callback(self._turns.discard)

    async def stop(self) -> None:
        await asyncio.gather(*self._turns)
        await self._http.close()

    async def _turn(self, number: str, message: Json) -> None:
        mark = {"status": "read", "message_id": message["id"], "typing_indicator": {"type": "text"}}
        await self._post(number, mark)
        if self.quiet:
            return
        address = {"to": f"+{message['from']}"} if "from" in message else {"recipient": message["from_user_id"]}
        await self._post(number, address | self._answer(message))

    async def _post(self, number: str, body: Json) -> None:
        url = f"{self._sim.url}/v26.0/{number}/messages"
        async with self._http.post(url, json={"messaging_product": "whatsapp"} | body) as response:
            assert response.status == 200, await response.text()

    def _answer(self, message: Json) -> Json:
        kind = message["type"]
        if kind == "text":
            return _SCRIPT.get(message["text"]["body"], _interactive(BUTTONS))
        if kind == "interactive":
            tapped = message["interactive"].get("button_reply", message["interactive"].get("list_reply"))
            return _text(f"You chose {tapped['id']}")
        return _text(f"Thanks for the {kind}") | {"context": {"message_id": message["id"]}}


def _text(body: str) -> Json:
    return {"type": "text", "text": {"body": body}}


def _interactive(content: Json) -> Json:
    return {"type": "interactive", "interactive": content}


_SCRIPT: dict[str, Json] = {
    "list": _interactive(LIST),
    "place": _interactive(ASK_PLACE),
    "catalogue": _interactive(CATALOGUE),
    "link": _interactive(LINK),
    "formatted": _text(FORMATTED),
    "arabic": _text(ARABIC),
    "shop": {
        "type": "location",
        "location": {"latitude": -33.4, "longitude": -70.6, "name": "Local", "address": "Av. 1"},
    },
}


def chromium() -> str:
    """Return the browser's path; its absence is a failure, not a reason to skip."""
    path = os.environ.get("COMANDA_CHROMIUM") or shutil.which("chromium")
    if not path:
        pytest.fail("Chromium is missing: install the package chromium, or set COMANDA_CHROMIUM to its path.")
    return path


class Chat:
    """A page with the few gestures that tests make."""

    def __init__(self, page: Page, sim: Simulator) -> None:
        self.page = page
        self.sim = sim
        self.problems: list[str] = []
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.box = page.get_by_role("textbox", name="Write a message")
        self.log = page.get_by_role("log")
        self.sheet = page.get_by_role("dialog")

    def _note(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.problems.append(message.text)

    async def open(self, number: str = NUMBER) -> None:
        await self.page.goto(f"{self.sim.url}/chat/{number}")
        await expect(self.box).to_be_visible()

    async def say(self, text: str) -> None:
        await self.box.fill(text)
        await self.box.press("Enter")

    async def sent(self, count: int) -> Json:
        """Wait until the customer has written `count` messages in all; returns the last."""
        await self.sim.receiver.until(lambda: len(self.sim.receiver.messages) >= count)
        return self.sim.receiver.messages[count - 1]


async def open_page(browser: Browser, sim: Simulator, viewport: ViewportSize = DESKTOP, **options: Any) -> Chat:
    touch = viewport["width"] < 800
    context = await browser.new_context(
        viewport=viewport, has_touch=touch, is_mobile=touch, **({"locale": "en-US"} | options)
    )
    context.set_default_timeout(15_000)
    return Chat(await context.new_page(), sim)
