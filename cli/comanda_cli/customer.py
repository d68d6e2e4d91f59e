"""A simulated customer: does one thing, waits for the bot's answer, and can tap what the bot offered."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import aiohttp

from comanda_contract.errors import UnavailableError

REPLY_SECONDS = 15.0


@dataclass(frozen=True)
class Say:
    """Types a text."""

    text: str


@dataclass(frozen=True)
class Tap:
    """Taps the button or row whose title is this."""

    title: str


@dataclass(frozen=True)
class Order:
    """Sends a cart from the catalogue: (sku, quantity)."""

    items: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class SharePlace:
    """Sends a location."""

    latitude: float
    longitude: float


Step = Say | Tap | Order | SharePlace


@dataclass(frozen=True)
class Bubble:
    """What one side said, for printing: text, and the titles of what can be tapped."""

    who: str
    text: str
    choices: tuple[str, ...] = ()


class NoReplyError(UnavailableError):
    """The bot did not answer in time."""

    code = "no_reply"


class Customer:
    """One person in one conversation."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        simulator_url: str,
        *,
        phone_number_id: str,
        phone: str,
        name: str,
        patience_seconds: float = REPLY_SECONDS,
    ) -> None:
        self._session = session
        self._url = simulator_url
        self._number = phone_number_id
        self._phone = phone
        self._name = name
        self._patience_seconds = patience_seconds
        self._seen = 0
        self._offered: dict[str, dict[str, Any]] = {}

    async def do(self, step: Step) -> tuple[Bubble, list[Bubble]]:
        """Do one thing and wait for the answer; returns both. Raises `NoReplyError`."""
        message, said = self._message(step)
        body = {"phone_number_id": self._number, "from": self._phone, "name": self._name, "message": message}
        async with self._session.post(f"{self._url}/simulator/messages", json=body) as response:
            response.raise_for_status()
        return Bubble(self._name, said), await self._replies()

    def _message(self, step: Step) -> tuple[dict[str, Any], str]:
        match step:
            case Say(text):
                return {"type": "text", "text": {"body": text}}, text
            case Tap(title):
                return {"type": "interactive", "interactive": self._offer(title)}, f"👆 {title}"
            case SharePlace(latitude, longitude):
                place = {"latitude": latitude, "longitude": longitude}
                return {"type": "location", "location": place}, f"📍 {latitude:.4f}, {longitude:.4f}"
            case Order(items):
                # The price is what the customer's phone shows; the bot must not believe it.
                lines = [
                    {"product_retailer_id": sku, "quantity": quantity, "item_price": 1, "currency": "USD"}
                    for sku, quantity in items
                ]
                words = ", ".join(f"{quantity} × {sku}" for sku, quantity in items)
                return {"type": "order", "order": {"catalog_id": "demo", "product_items": lines}}, f"🛍 {words}"

    def _offer(self, title: str) -> dict[str, Any]:
        for offered, reply in self._offered.items():
            if offered.casefold() == title.casefold() or offered.casefold().endswith(title.casefold()):
                return reply
        choices = ", ".join(self._offered) or "nothing"
        raise NoReplyError(f"The bot did not offer “{title}”.", hint=f"It offered {choices}.")

    async def _replies(self) -> list[Bubble]:
        try:
            async with asyncio.timeout(self._patience_seconds):
                while True:
                    params = {
                        "after": str(self._seen),
                        "phone_number_id": self._number,
                        "customer": self._phone,
                        "direction": "out",
                    }
                    async with self._session.get(f"{self._url}/simulator/ledger", params=params) as response:
                        entries = await response.json()
                    if entries:
                        self._seen = entries[-1]["seq"]
                        return [self._read(entry["payload"]) for entry in entries]
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise NoReplyError(f"The bot did not answer within {self._patience_seconds:.0f} s.") from None

    def _read(self, payload: dict[str, Any]) -> Bubble:
        """Remember what can be tapped, and return the message as a bubble."""
        kind = payload["type"]
        if kind != "interactive":
            content = payload.get(kind, {})
            return Bubble("bot", str(content.get("body") or content.get("caption") or f"[{kind}]"))
        interactive = payload["interactive"]
        action = interactive.get("action", {})
        self._offered = {
            button["reply"]["title"]: {"type": "button_reply", "button_reply": button["reply"]}
            for button in action.get("buttons", ())
        } | {
            row["title"]: {"type": "list_reply", "list_reply": row}
            for section in action.get("sections", ())
            for row in section.get("rows", ())
        }
        return Bubble("bot", interactive["body"]["text"], tuple(self._offered))
