"""`repeat`: fills the cart with the last order."""

from __future__ import annotations

from comanda_flow.flow import RepeatNode
from comanda_flow.lines import withdraw
from comanda_flow.offers import closed
from comanda_flow.said import Said
from comanda_flow.scene import Scene, Step, go


def enter(scene: Scene, node: RepeatNode) -> Step:
    """Put the last order into the cart, with how and where it was delivered; what is sold out is left out."""
    last = scene.state.last
    if last is None:
        return go(scene.noting("nothing_to_repeat"), node.empty)
    if not scene.open:
        return closed(scene)
    scene = scene.with_state(
        lines=last.lines,
        pending=(),
        fulfilment=last.fulfilment if scene.restaurant.offers(last.fulfilment) else "",
        address=last.address,
        district=last.district,
        latitude=last.latitude,
        longitude=last.longitude,
    )
    scene = withdraw(scene)
    return go(scene, node.goto if scene.state.lines else node.empty)


def answer(_scene: Scene, _node: RepeatNode, _said: Said) -> Step | None:
    """Understand nothing: nobody is ever left here."""
    return None
