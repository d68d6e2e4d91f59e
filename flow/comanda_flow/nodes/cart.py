"""`cart`: shows the cart; from here it is ordered, added to, or lines are taken out."""

from __future__ import annotations

from comanda_flow.flow import CartNode
from comanda_flow.said import Said
from comanda_flow.scene import Scene, Step, go, wait
from comanda_flow.screens import Tap, page, say, sections


def enter(scene: Scene, node: CartNode) -> Step:
    """Show the cart with its total."""
    if not scene.state.lines:
        return go(scene.noting("cart_empty"), node.empty)
    taps = [
        Tap(scene.id("go", node.confirm), scene.text("order_button")),
        Tap(scene.id("go", node.add), scene.text("add_button")),
        Tap(scene.id("removing"), scene.text("remove_button")),
    ]
    return wait(scene, say(scene.text(node.say), taps))


def answer(scene: Scene, node: CartNode, said: Said) -> Step | None:
    """Take a yes as the wish to order what is in the cart."""
    return go(scene, node.confirm) if said.agrees else None


def ask_removal(scene: Scene, number: int) -> Step:
    """Ask which line to take out."""
    lines = scene.bill.lines
    taps = [
        Tap(scene.id("remove", str(at)), f"{line.quantity} × {line.name}", line.options or line.notes)
        for at, line in enumerate(lines)
    ]
    taps.append(Tap(scene.id("clear"), scene.text("clear_button")))
    return wait(scene, sections(scene, scene.text("which_line"), [("", page(scene, taps, number, "removing", ""))]))
