"""`info`: says the opening hours or the address, or sends the restaurant's place on the map."""

from __future__ import annotations

from comanda_contract.cloud.messages_out import Location
from comanda_flow.flow import InfoNode
from comanda_flow.nodes import message
from comanda_flow.said import Said
from comanda_flow.scene import Scene, Step, wait
from comanda_flow.wording import hours_text


def enter(scene: Scene, node: InfoNode) -> Step:
    """Say the text followed by what is to be shown; a place on the map carries the address itself."""
    restaurant = scene.restaurant
    if node.show == "location" and restaurant.location is not None:
        place = Location(
            latitude=restaurant.location.latitude,
            longitude=restaurant.location.longitude,
            name=restaurant.called(scene.language)[:100],
            address=restaurant.address,
        )
        return wait(scene, place, *([message.speak(scene, node, scene.text(node.say))] if node.options else []))
    shown = hours_text(scene) if node.show == "hours" else restaurant.address
    return wait(scene, message.speak(scene, node, f"{scene.text(node.say)}\n{shown}"))


def answer(scene: Scene, node: InfoNode, said: Said) -> Step | None:
    """Follow an option whose title was typed."""
    return message.answer(scene, node, said)
