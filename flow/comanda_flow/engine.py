"""One turn of a conversation: a message and a state in, a state and replies out. Pure, total, deterministic.

begin     a long silence starts anew; the language is settled; what is sold out leaves the cart
respond   what the message means here: tap, catalogue cart, place, wish, answer, order, in this order
follow    enter nodes until one of them waits for the customer
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import msgspec

from comanda_contract.cloud.messages_in import TURNLESS_TYPES, Contact, InboundMessage
from comanda_contract.cloud.messages_out import Outbound
from comanda_flow.flow import Flow
from comanda_flow.languages import first_language, language_written
from comanda_flow.lines import withdraw
from comanda_flow.nodes import ask, cart, confirm, handover, info, menu, message, place_order, repeat
from comanda_flow.orders import OrderDraft
from comanda_flow.responses import respond
from comanda_flow.restaurant import Restaurant
from comanda_flow.said import Said, read_message
from comanda_flow.scene import Scene, Step, wait
from comanda_flow.screens import say, with_notices
from comanda_flow.state import State, cleared

_MAX_HOPS = 20
"""More nodes in a row than any sensible flow passes without waiting; a circle ends here."""

Enter = Callable[[Scene, Any], Step]

ENTER: dict[str, Enter] = {
    "message": message.enter,
    "info": info.enter,
    "menu": menu.enter,
    "cart": cart.enter,
    "ask": ask.enter,
    "confirm": confirm.enter,
    "place_order": place_order.enter,
    "repeat": repeat.enter,
    "handover": handover.enter,
}


@dataclass(frozen=True)
class Turn:
    """What a message led to. `handover` is true when the customer asked for a person."""

    state: State
    replies: tuple[Outbound, ...] = ()
    order: OrderDraft | None = None
    handover: bool = False


def advance(  # noqa: PLR0917 (the six facts of a turn are the room's contract)
    flow: Flow,
    restaurant: Restaurant,
    state: State | None,
    message: InboundMessage,
    contact: Contact,
    now: datetime,
) -> Turn:
    """Take one message of a customer; `now` is aware, `state` None for the first one.

    Never raises, whatever the message holds. Reactions, system notes, edits and group messages are no turns: they
    leave the state as it is.
    """
    if message.type in TURNLESS_TYPES or message.group_id:
        return Turn(state if state is not None else _fresh(flow, restaurant))
    said = read_message(message)
    begun = _begin(flow, restaurant, state, said, now)
    scene = withdraw(Scene(flow, restaurant, contact, now, message.id, begun))
    step = _follow(_unreadable(scene) if said.nothing else respond(_readable(scene), said))
    return Turn(step.scene.state, step.replies, step.order, step.handover)


def _fresh(flow: Flow, restaurant: Restaurant) -> State:
    return State(language=first_language(flow.locales, restaurant.language))


def _begin(flow: Flow, restaurant: Restaurant, state: State | None, said: Said, now: datetime) -> State:
    seconds = int(now.timestamp())
    state = state if state is not None else _fresh(flow, restaurant)
    if seconds - state.last_activity > flow.idle_hours * 3600:
        state = msgspec.structs.replace(cleared(state), node="") if state.last_activity else state
    current = first_language(flow.locales, state.language or restaurant.language)
    language = language_written(said.words, said.text, current, flow.locales)
    return msgspec.structs.replace(state, language=language, last_activity=seconds)


def _readable(scene: Scene) -> Scene:
    return scene.with_state(hinted=False) if scene.state.hinted else scene


def _unreadable(scene: Scene) -> Step:
    """Say once that only text, buttons and places can be read; a row of stickers is not worth a row of answers."""
    if scene.state.hinted:
        return Step(scene)
    return wait(scene.with_state(hinted=True), say(scene.text("unreadable")))


def _follow(step: Step) -> Step:
    """Enter node after node until one waits; gather what is said on the way."""
    said: tuple[Outbound, ...] = step.replies
    for _ in range(_MAX_HOPS):
        node = step.scene.flow.nodes.get(step.goto)
        if node is None:
            break
        scene = step.scene.with_state(node=step.goto)
        arrived = ENTER[node.kind](scene, node)
        said += arrived.replies
        step = replace(arrived, order=arrived.order or step.order, handover=arrived.handover or step.handover)
    return replace(step, replies=with_notices(step.scene.notices, said), goto="")
