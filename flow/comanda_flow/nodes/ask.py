"""`ask`: asks for one thing about the order, one small question per field; passes on when it is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from rapidfuzz import fuzz, process

from comanda_flow import delivery, lexicon
from comanda_flow.answers import fulfilment_in, is_address
from comanda_flow.documents import in_language
from comanda_flow.flow import AskNode
from comanda_flow.said import Said
from comanda_flow.scene import Scene, Step, go, wait
from comanda_flow.screens import Tap, choose, say
from comanda_flow.text import fold

_NAME_LENGTH = 60
_NOTES_LENGTH = 300


def enter(scene: Scene, node: AskNode) -> Step:
    """Ask, unless the answer is known or the question does not apply."""
    if not scene.state.lines and node.empty:
        return go(scene.noting("cart_empty"), node.empty)
    if node.when not in ("always", scene.state.fulfilment):
        return go(scene, node.goto)
    return _FIELDS[node.field].enter(scene, node)


def answer(scene: Scene, node: AskNode, said: Said) -> Step | None:
    """Take an answer to this question; None when it is none."""
    return _FIELDS[node.field].answer(scene, node, said)


def answered(scene: Scene, node: AskNode, value: str) -> Step:
    """Take a tapped answer, as the value its button carried."""
    if node.field == "fulfilment":
        return _choose_fulfilment(scene, node, value)
    if node.field == "payment":
        ways = scene.restaurant.payment
        known = value.isascii() and value.isdigit() and int(value[:3]) < len(ways)
        return _paid(scene, node, int(value[:3])) if known else enter(scene, node)
    return go(scene.with_state(skipped=(*scene.state.skipped, node.field)), node.goto)


# Fulfilment


def _enter_fulfilment(scene: Scene, node: AskNode) -> Step:
    restaurant = scene.restaurant
    if restaurant.offers(scene.state.fulfilment):
        return go(scene, node.goto)
    if not (restaurant.pickup and restaurant.delivery):
        return go(scene.with_state(fulfilment="pickup" if restaurant.pickup else "delivery"), node.goto)
    taps = [
        Tap(scene.id("set", "fulfilment=delivery"), scene.text("delivery_button")),
        Tap(scene.id("set", "fulfilment=pickup"), scene.text("pickup_button")),
    ]
    if node.edit:
        taps.append(Tap(scene.id("go", node.edit), scene.text("edit_button")))
    return wait(scene, say(scene.text(node.say), taps))


def _answer_fulfilment(scene: Scene, node: AskNode, said: Said) -> Step | None:
    fulfilment, rest = fulfilment_in(said.text)
    if fulfilment == "delivery" and is_address(rest):
        scene = delivery.at_address(scene, rest)
    if not fulfilment and delivery.looks_like_street(said.text) and not delivery.orders_something(scene, said):
        fulfilment, scene = "delivery", delivery.at_address(scene, said.text)
    return _choose_fulfilment(scene, node, fulfilment) if fulfilment else None


def _choose_fulfilment(scene: Scene, node: AskNode, fulfilment: str) -> Step:
    if fulfilment not in ("pickup", "delivery"):
        return enter(scene, node)
    if not scene.restaurant.offers(fulfilment):
        scene = scene.noting("only_pickup" if fulfilment == "delivery" else "only_delivery")
        fulfilment = "pickup" if fulfilment == "delivery" else "delivery"
    return go(scene.with_state(fulfilment=fulfilment), node.goto)


# Address and location


def _enter_address(scene: Scene, node: AskNode) -> Step:
    return delivery.enter(scene, node)


def _answer_address(scene: Scene, node: AskNode, said: Said) -> Step | None:
    return delivery.answer(scene, node, said)


# Name


def _enter_name(scene: Scene, node: AskNode) -> Step:
    return go(scene, node.goto) if scene.customer_name.strip() else wait(scene, say(scene.text(node.say)))


def _answer_name(scene: Scene, node: AskNode, said: Said) -> Step | None:
    name = " ".join(said.text.split())[:_NAME_LENGTH]
    if sum(letter.isalpha() for letter in name) < 2:
        return enter(scene.noting("name_short"), node)
    return go(scene.with_state(name=name), node.goto)


# Notes


def _enter_notes(scene: Scene, node: AskNode) -> Step:
    if scene.state.notes or "notes" in scene.state.skipped:
        return go(scene, node.goto)
    return wait(scene, say(scene.text(node.say), [Tap(scene.id("set", "notes="), scene.text("skip_button"))]))


def _answer_notes(scene: Scene, node: AskNode, said: Said) -> Step | None:
    if said.declines or all(word in lexicon.DONE for word in said.words):
        return answered(scene, node, "")
    return go(scene.with_state(notes=said.text[:_NOTES_LENGTH]), node.goto)


# Payment


def _enter_payment(scene: Scene, node: AskNode) -> Step:
    ways = scene.restaurant.payment
    if scene.state.payment or not ways:
        return go(scene, node.goto)
    if len(ways) == 1:
        return _paid(scene, node, 0)
    taps = [Tap(scene.id("set", f"payment={at}"), in_language(way, scene.language)) for at, way in enumerate(ways)]
    return wait(scene, choose(scene, scene.text(node.say), taps))


def _answer_payment(scene: Scene, node: AskNode, said: Said) -> Step | None:
    ways = [fold(in_language(way, scene.language)) for way in scene.restaurant.payment]
    match = process.extractOne(fold(said.text), ways, scorer=fuzz.partial_ratio, score_cutoff=85)
    return _paid(scene, node, match[2]) if match is not None and said.words else None


def _paid(scene: Scene, node: AskNode, at: int) -> Step:
    way = in_language(scene.restaurant.payment[at], scene.language)
    return go(scene.with_state(payment=way), node.goto)


class _Field(NamedTuple):
    enter: Callable[[Scene, AskNode], Step]
    answer: Callable[[Scene, AskNode, Said], Step | None]


_FIELDS = {
    "fulfilment": _Field(_enter_fulfilment, _answer_fulfilment),
    "address": _Field(_enter_address, _answer_address),
    "location": _Field(_enter_address, _answer_address),
    "name": _Field(_enter_name, _answer_name),
    "notes": _Field(_enter_notes, _answer_notes),
    "payment": _Field(_enter_payment, _answer_payment),
}
