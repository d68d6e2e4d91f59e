"""`confirm`: the summary with its total, and the only way to an order: an explicit yes to exactly that cart."""

from __future__ import annotations

from comanda_flow.flow import ConfirmNode
from comanda_flow.offers import closed
from comanda_flow.said import Said
from comanda_flow.scene import Scene, Step, go, wait
from comanda_flow.screens import Tap, say


def enter(scene: Scene, node: ConfirmNode) -> Step:
    """Show the summary, or go where something is still missing: cart, opening hours, way, place, minimum."""
    if not scene.state.lines:
        return go(scene.noting("cart_empty"), node.empty)
    if not scene.open:
        return closed(scene)
    scene = _with_default_fulfilment(scene)
    missing = _missing(scene)
    if missing:
        return go(scene, missing)
    if scene.bill.missing_minor:
        return _below_minimum(scene, node)
    scene = scene.with_state(quoted_revision=scene.state.revision, quoted_total_minor=scene.bill.total_minor)
    taps = [
        Tap(scene.id("yes"), scene.text("yes_button")),
        Tap(scene.id("go", node.change), scene.text("change_button")),
        Tap(scene.id("go", node.cancel), scene.text("cancel_button")),
    ]
    return wait(scene, say(scene.text(node.say), taps))


def answer(scene: Scene, node: ConfirmNode, said: Said) -> Step | None:
    """Take a yes or a no; anything else is left to the engine."""
    if said.agrees:
        return agree(scene, node)
    return go(scene, node.change) if said.declines else None


def agree(scene: Scene, node: ConfirmNode) -> Step:
    """Go on to the order if the customer has seen this very cart at this very price; else show it again."""
    state = scene.state
    if state.quoted_revision != state.revision or state.quoted_total_minor != scene.bill.total_minor or not scene.open:
        return enter(scene.noting("order_changed") if state.quoted_revision >= 0 and scene.open else scene, node)
    return go(scene, node.place)


def _with_default_fulfilment(scene: Scene) -> Scene:
    """Settle the way where the restaurant offers one alone, or the flow never asks."""
    restaurant, known = scene.restaurant, scene.state.fulfilment
    if restaurant.offers(known):
        return scene
    both = restaurant.pickup and restaurant.delivery and scene.flow.asking("fulfilment")
    return scene.with_state(fulfilment="" if both else "pickup" if restaurant.pickup else "delivery")


def _missing(scene: Scene) -> str:
    """Return the node that asks for what the order still needs, "" when nothing is missing or nobody asks."""
    if not scene.state.fulfilment:
        return scene.flow.asking("fulfilment")
    coverage = scene.bill.coverage
    return scene.flow.asking("address", "location") if coverage is not None and coverage.kind != "served" else ""


def _below_minimum(scene: Scene, node: ConfirmNode) -> Step:
    bill = scene.bill
    text = scene.text("minimum", minimum=scene.money(bill.minimum_minor), missing=scene.money(bill.missing_minor))
    menu = scene.flow.first("menu")
    taps = [Tap(scene.id("go", menu), scene.text("add_button"))] if menu else []
    if scene.state.fulfilment == "delivery" and scene.restaurant.pickup:
        taps.append(Tap(scene.id("set", "fulfilment=pickup"), scene.text("pickup_button")))
    taps.append(Tap(scene.id("go", node.cancel), scene.text("cancel_button")))
    return wait(scene, say(text, taps))
