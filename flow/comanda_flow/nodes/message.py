"""`message`: says something, offers ways to go on."""

from __future__ import annotations

from dataclasses import replace

from comanda_contract.cloud import limits
from comanda_contract.cloud.messages_out import Outbound
from comanda_flow.flow import InfoNode, MessageNode, Option
from comanda_flow.said import Said
from comanda_flow.scene import Scene, Step, go, wait
from comanda_flow.screens import Tap, choose, say, with_notices
from comanda_flow.state import cleared
from comanda_flow.text import fold_words


def enter(scene: Scene, node: MessageNode) -> Step:
    """Say the text; empty the cart first where the node does that."""
    if node.clear:
        scene = replace(scene, state=cleared(scene.state))
    if node.goto:
        said = with_notices(scene.notices, [say(scene.text(node.say))])
        return Step(replace(scene, notices=()), said, node.goto)
    return wait(scene, speak(scene, node, scene.text(node.say)))


def answer(scene: Scene, node: MessageNode | InfoNode, said: Said) -> Step | None:
    """Follow an option whose title was typed."""
    for option in shown(scene, node):
        if said.words and tuple(fold_words(scene.text(option.title))) == said.words:
            return go(scene, option.goto)
    return None


def speak(scene: Scene, node: MessageNode | InfoNode, text: str) -> Outbound:
    """Return the message of a node that offers options."""
    taps = [Tap(scene.id("go", option.goto), scene.text(option.title)) for option in shown(scene, node)]
    return choose(scene, text, taps) if len(node.options) > limits.BUTTONS and taps else say(text, taps)


def shown(scene: Scene, node: MessageNode | InfoNode) -> list[Option]:
    """Return the options that apply now."""
    applies = {"always": True, "cart": bool(scene.state.lines), "returning": scene.state.last is not None}
    return [option for option in node.options if applies[option.when]]
