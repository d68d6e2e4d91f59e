"""One turn as the nodes see it: everything known, and how to say things in the customer's language.

A `Scene` is immutable; nodes return a `Step` with the scene as it should be afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any

import msgspec

from comanda_contract.cloud.messages_in import Contact
from comanda_contract.cloud.messages_out import Outbound
from comanda_flow.actions import action_id
from comanda_flow.documents import in_language, language_of
from comanda_flow.flow import Flow
from comanda_flow.money import money
from comanda_flow.orders import OrderDraft
from comanda_flow.pricing import Bill, price
from comanda_flow.restaurant import Restaurant
from comanda_flow.state import State
from comanda_flow.wording import cart_text, hours_text, status_text

_GAP = re.compile(r"\n{3,}")
"""What an empty placeholder on a line of its own leaves behind."""
_CHANGES_CART = frozenset({"lines", "pending"})


@dataclass(frozen=True)
class Scene:
    """What a turn knows. `notices` are sentences that go before whatever is said next, in the same message."""

    flow: Flow
    restaurant: Restaurant
    contact: Contact
    now: datetime
    message_id: str
    state: State
    notices: tuple[str, ...] = ()

    @property
    def language(self) -> str:
        """The customer's language."""
        return self.state.language

    @property
    def customer_name(self) -> str:
        """The name the customer gave, else the one of their profile, "" when there is none."""
        return self.state.name or self.contact.name

    @property
    def open(self) -> bool:
        """Whether orders are taken now."""
        return self.restaurant.accept_when_closed or self.restaurant.hours.is_open(self.now)

    @cached_property
    def bill(self) -> Bill:
        """The cart priced in the customer's language."""
        return price(self.restaurant, self.state, self.language)

    def with_state(self, **changes: Any) -> Scene:
        """Return the scene with a changed state; a change of cart or pending lines counts its revision up."""
        if _CHANGES_CART & changes.keys():
            changes["revision"] = self.state.revision + 1
        return replace(self, state=msgspec.structs.replace(self.state, **changes))

    def noting(self, key: str, **values: str) -> Scene:
        """Return the scene with a sentence to go before whatever is said next."""
        return replace(self, notices=(*self.notices, self.text(key, **values)))

    def text(self, key: str, **values: str) -> str:
        """Return a text in the customer's language, its placeholders filled in."""
        template = self.flow.text(key, self.language)
        if "{" not in template and "}" not in template:
            return template
        return _GAP.sub("\n\n", template.format_map(_Values(self, values))).strip()

    def money(self, minor: int) -> str:
        """Write an amount as the customer's language and the restaurant's country do."""
        home = self.restaurant.locale
        return money(minor, self.restaurant.currency, home if language_of(home) == self.language else self.language)

    def id(self, action: str, argument: str = "") -> str:
        """Return the id of a button that stands for an action at the cart's present revision."""
        return action_id(action, argument, self.state.revision)


class _Values(dict[str, str]):
    """The values of placeholders: those of this sentence, and general ones worked out when a text uses them."""

    def __init__(self, scene: Scene, values: dict[str, str]) -> None:
        super().__init__(values)
        self.scene = scene

    def __missing__(self, name: str) -> str:
        general = _GENERAL.get(name)
        return general(self.scene) if general is not None else ""


def _greeting(scene: Scene) -> str:
    own = scene.restaurant.greeting
    return in_language(own, scene.language) if own else scene.text("greeting")


def _place(scene: Scene) -> str:
    return scene.restaurant.address or scene.restaurant.called(scene.language)


def _address(scene: Scene) -> str:
    return ", ".join(part for part in (scene.state.address, scene.state.district) if part)


def _payment(scene: Scene) -> str:
    ways = scene.state.payment or ", ".join(in_language(way, scene.language) for way in scene.restaurant.payment)
    return scene.text("payment_line", ways=ways) if ways else ""


def _fulfilment(scene: Scene) -> str:
    if scene.state.fulfilment != "delivery":
        return scene.text("at_restaurant")
    return scene.text("to_address") if scene.state.address else scene.text("to_location")


_GENERAL: dict[str, Callable[[Scene], str]] = {
    "restaurant": lambda scene: scene.restaurant.called(scene.language),
    "greeting": _greeting,
    "name": lambda scene: scene.customer_name,
    "status": lambda scene: "" if scene.open else status_text(scene),
    "hours": hours_text,
    "address": _address,
    "place": _place,
    "cart": lambda scene: cart_text(scene, scene.bill),
    "total": lambda scene: scene.money(scene.bill.total_minor),
    "payment": _payment,
    "notes": lambda scene: scene.text("notes_line", notes=scene.state.notes[:150]) if scene.state.notes else "",
    "fulfilment_text": _fulfilment,
}


@dataclass(frozen=True)
class Step:
    """What one step of a turn does: say something and wait, or go on to another node."""

    scene: Scene
    replies: tuple[Outbound, ...] = ()
    goto: str = ""
    order: OrderDraft | None = None
    handover: bool = False


def wait(scene: Scene, *replies: Outbound) -> Step:
    """Say something and wait for the customer."""
    return Step(scene, replies)


def go(scene: Scene, name: str) -> Step:
    """Go on to another node."""
    return Step(scene, goto=name)
