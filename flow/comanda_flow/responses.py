"""What a message means at this point of the conversation; the first reading that fits wins.

tap → catalogue cart → place → a wish (intent) → answer to an open question about an item → answer to the node
→ a remark on the order → something to take out → a category → a question about items → an order → not understood
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec

from comanda_contract.cloud.messages_in import CatalogOrder, Place, ProductItem
from comanda_flow import delivery, lexicon
from comanda_flow.answers import category_named
from comanda_flow.flow import AskNode
from comanda_flow.intents import intent_of
from comanda_flow.lines import answer_draft, ask_page, order_understood, take
from comanda_flow.nodes import ask, cart, confirm, handover, info, menu, message, place_order, repeat
from comanda_flow.offers import closed, show_items
from comanda_flow.said import Said
from comanda_flow.scene import Scene, Step, go
from comanda_flow.state import MAX_LINES, MAX_QUANTITY, Draft
from comanda_flow.taps import on_tap, show_category
from comanda_flow.understand import Understood, understand

Answer = Callable[[Scene, Any, Said], Step | None]

ANSWER: dict[str, Answer] = {
    "message": message.answer,
    "info": info.answer,
    "menu": menu.answer,
    "cart": cart.answer,
    "ask": ask.answer,
    "confirm": confirm.answer,
    "place_order": place_order.answer,
    "repeat": repeat.answer,
    "handover": handover.answer,
}
_NOTES_LENGTH = 300


def respond(scene: Scene, said: Said) -> Step:
    """Return the first step of the answer to a message that says something."""
    if said.action is not None:
        return _understood(on_tap(scene, said.action))
    if said.order is not None:
        return _understood(_on_catalogue(scene, said.order))
    if said.place is not None:
        return _understood(_on_place(scene, said.place))
    for read in (_as_intent, _as_draft_answer, _as_node_answer, _as_remark):
        step = read(scene, said)
        if step is not None:
            return _understood(step)
    step = _as_order(scene, said)
    return _understood(step) if step is not None else _not_understood(scene)


def _understood(step: Step) -> Step:
    return replace(step, scene=step.scene.with_state(misses=0)) if step.scene.state.misses else step


def _on_catalogue(scene: Scene, order: CatalogOrder) -> Step:
    """Take a cart from the catalogue: its quantities replace those of the same items, its prices are ignored."""
    if not scene.open:
        return closed(scene)
    drafts: dict[str, Draft] = {}
    refused = []
    for product in order.product_items[:MAX_LINES]:
        sku, quantity = product.product_retailer_id, _quantity(product)
        item = scene.restaurant.menu.items.get(sku)
        if item is None or not item.available:
            refused.append(sku)
        elif quantity:
            total = min(quantity + (drafts[sku].quantity if sku in drafts else 0), MAX_QUANTITY)
            drafts[sku] = Draft(skus=(sku,), quantity=total, heard=item.called(scene.language))
    kept = tuple(line for line in scene.state.lines if line.sku not in drafts)
    if order.text.strip():
        scene = scene.with_state(notes=_joined(scene.state.notes, order.text.strip()))
    return take(scene.with_state(lines=kept, pending=()), tuple(drafts.values()), scene.flow.on_order, refused)


def _quantity(product: ProductItem) -> int:
    """Return a catalogue line's quantity, 0 when it is none: the field comes as a number or a text of any kind."""
    try:
        number = float(product.quantity)
    except ValueError:
        return 0
    return int(min(number, MAX_QUANTITY)) if number >= 1 else 0


def _on_place(scene: Scene, place: Place) -> Step:
    """Deliver to a location: it answers the question for an address wherever it comes."""
    name = scene.flow.asking("address", "location")
    if not scene.restaurant.delivery:
        scene = scene.noting("only_pickup")
    else:
        scene = delivery.at_place(scene, place)
        if scene.state.lines and name and not scene.state.pending:
            return go(scene, name)
        scene = scene.noting("location_noted")
    question = ask_page(scene, 0)
    return question if question is not None else _resume(scene)


def _resume(scene: Scene) -> Step:
    """Show again what is current: the node that waits, or the start when none does."""
    at = scene.state.node
    return go(scene, scene.flow.start if scene.flow.rests(at) else at)


def _as_intent(scene: Scene, said: Said) -> Step | None:
    name = intent_of(list(said.words), scene.flow.phrases)
    if not name:
        return None
    intent = scene.flow.intents[name]
    target = intent.with_cart if intent.with_cart and scene.state.lines else intent.goto
    return go(scene.with_state(pending=()) if scene.state.pending else scene, target)


def _as_draft_answer(scene: Scene, said: Said) -> Step | None:
    return answer_draft(scene, said.text, said.words) if scene.state.pending else None


def _as_node_answer(scene: Scene, said: Said) -> Step | None:
    node = scene.flow.nodes.get(scene.state.node)
    return ANSWER[node.kind](scene, node, said) if node is not None and not scene.state.pending else None


def _as_remark(scene: Scene, said: Said) -> Step | None:
    """Take `nota: tocar el timbre` as a remark on the whole order."""
    if not scene.state.lines or len(said.words) < 2 or said.words[0] not in lexicon.NOTE_LABELS:
        return None
    note = said.text.split(maxsplit=1)[1].lstrip(": ") if len(said.text.split()) > 1 else said.text
    return _resume(scene.with_state(notes=_joined(scene.state.notes, note)).noting("note_added", notes=note[:100]))


def _joined(first: str, second: str) -> str:
    return (f"{first}. {second}" if first else second)[:_NOTES_LENGTH]


def _as_order(scene: Scene, said: Said) -> Step | None:
    understood = understand(said.text, scene.restaurant)
    if understood.removing and scene.state.lines:
        return _take_out(scene, understood) if understood.mentions else None
    counted = any(mention.quantity for mention in understood.mentions)
    shown = show_category(scene, "" if counted else category_named(said.text, scene.restaurant))
    if shown is not None:
        return shown
    if understood.mentions and understood.asking:
        return _show_mentioned(scene, understood)
    if understood.mentions:
        return order_understood(scene, understood, scene.flow.on_order)
    if understood.note and scene.state.lines:
        return _as_note(scene, understood)
    return _as_fulfilment(scene, said)


def _as_fulfilment(scene: Scene, said: Said) -> Step | None:
    """Take `mejor delivery` wherever it is said, once there is something in the cart."""
    node = scene.flow.nodes.get(scene.flow.asking("fulfilment"))
    return ask.answer(scene, node, said) if isinstance(node, AskNode) and scene.state.lines else None


def _show_mentioned(scene: Scene, understood: Understood) -> Step | None:
    items = scene.restaurant.menu.items
    mentioned = dict.fromkeys(sku for mention in understood.mentions for sku in mention.skus)
    available = [items[sku] for sku in mentioned if items[sku].available]
    return show_items(scene, available) if available else take(scene, (), "", tuple(mentioned)[:1])


def _as_note(scene: Scene, understood: Understood) -> Step:
    """Attach `sin cebolla` to the line it follows: the last one in the cart."""
    *before, last = scene.state.lines
    notes = f"{last.notes}, {understood.note}" if last.notes else understood.note
    changed = msgspec.structs.replace(last, notes=notes[:_NOTES_LENGTH])
    scene = scene.with_state(lines=(*before, changed))
    return _resume(scene.noting("note_added", notes=understood.note[:100]))


def _take_out(scene: Scene, understood: Understood) -> Step:
    """Take out of the cart what a message names: so many of it, or all when no number is given."""
    lines = list(scene.state.lines)
    for mention in understood.mentions:
        at = next((at for at, line in enumerate(lines) if line.sku in mention.skus), None)
        if at is None:
            scene = scene.noting("not_in_cart")
            continue
        line = lines.pop(at)
        if 0 < mention.quantity < line.quantity:
            lines.insert(at, msgspec.structs.replace(line, quantity=line.quantity - mention.quantity))
        scene = scene.noting("taken_out", item=scene.restaurant.menu.items[line.sku].called(scene.language))
    return go(scene.with_state(lines=tuple(lines)), scene.flow.first("cart") or scene.flow.start)


def _not_understood(scene: Scene) -> Step:
    """Follow the node's `otherwise`, begin anew where nothing was asked, else ask again and offer more help."""
    at = scene.state.node
    node = scene.flow.nodes.get(at)
    if node is None or scene.flow.rests(at):
        return go(scene.with_state(pending=()), scene.flow.start)
    otherwise = getattr(node, "otherwise", None)
    if otherwise and not scene.state.pending:
        return go(scene, otherwise)
    misses = scene.state.misses + 1
    scene = scene.with_state(misses=misses).noting("misunderstood" if misses < 2 else "misunderstood_again")
    question = ask_page(scene, 0)
    return question if question is not None else go(scene, at)
