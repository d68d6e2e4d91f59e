"""`handover`: calls a person; the caller keeps the bot silent until the conversation is handed back."""

from __future__ import annotations

from comanda_flow.flow import HandoverNode
from comanda_flow.said import Said
from comanda_flow.scene import Scene, Step
from comanda_flow.screens import say


def enter(scene: Scene, node: HandoverNode) -> Step:
    """Say that a person will answer, and ask for one."""
    return Step(scene, (say(scene.text(node.say)),), handover=True)


def answer(_scene: Scene, _node: HandoverNode, _said: Said) -> Step | None:
    """Understand nothing: a message after the person is done begins anew."""
    return None
