"""`place_order`: turns the confirmed cart into an order and begins with an empty one."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from comanda_flow.flow import PlaceOrderNode
from comanda_flow.orders import build_order
from comanda_flow.said import Said
from comanda_flow.scene import Scene, Step
from comanda_flow.screens import say
from comanda_flow.state import LastOrder, cleared


def enter(scene: Scene, node: PlaceOrderNode) -> Step:
    """Place the order, say its code, and remember it for the next time."""
    state = scene.state
    order = build_order(scene.restaurant, state, scene.contact.name, scene.message_id)
    reply = say(scene.text(node.say, code=order.code))
    last = LastOrder(
        lines=state.lines,
        fulfilment=state.fulfilment,
        address=state.address,
        district=state.district,
        latitude=state.latitude,
        longitude=state.longitude,
    )
    after = msgspec.structs.replace(cleared(state), last=last)
    return Step(replace(scene, state=after), (reply,), order=order)


def answer(_scene: Scene, _node: PlaceOrderNode, _said: Said) -> Step | None:
    """Understand nothing: whatever comes after an order begins anew."""
    return None
