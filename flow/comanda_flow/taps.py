"""What a tapped button or row does, judged by the present state: a tap may be years old.

What cannot do harm is done (showing a part of the menu, beginning to add an item). What depends on the cart that the
customer saw (taking out a line, emptying, saying yes) is done only at the very revision the button was made for.
"""

from __future__ import annotations

from collections.abc import Callable

from comanda_flow import delivery
from comanda_flow.actions import Action
from comanda_flow.flow import AskNode, ConfirmNode, MenuNode, MessageNode
from comanda_flow.lines import amend, ask_page, open_option, pick, take
from comanda_flow.nodes import ask, cart, confirm, menu
from comanda_flow.offers import closed
from comanda_flow.pricing import choice_of, count_of
from comanda_flow.scene import Scene, Step, go
from comanda_flow.state import MAX_QUANTITY, Draft


def on_tap(scene: Scene, action: Action) -> Step:
    """Do what a tap asks for, or explain why not and show where the conversation stands."""
    handle = _HANDLERS.get(action.name)
    return (handle(scene, action) if handle is not None else None) or outdated(scene)


def outdated(scene: Scene) -> Step:
    """Say that a button is from earlier, and show what is current: the open question, the cart, or the start."""
    scene = scene.noting("outdated")
    question = ask_page(scene, 0)
    if question is not None:
        return question
    return go(scene, (scene.flow.first("cart") if scene.state.lines else "") or scene.flow.start)


def _is_current(scene: Scene, action: Action) -> bool:
    return action.revision == scene.state.revision


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 4 else 0


def _go(scene: Scene, action: Action) -> Step | None:
    node = scene.flow.nodes.get(action.argument)
    if node is None or node.kind == "place_order":
        return None
    clears = isinstance(node, MessageNode) and node.clear
    if clears and scene.state.lines and not _is_current(scene, action):
        return None
    return go(scene.with_state(pending=()) if scene.state.pending else scene, action.argument)


def _menu(scene: Scene, action: Action) -> Step | None:
    name = scene.flow.first("menu")
    node = scene.flow.nodes.get(name)
    if not isinstance(node, MenuNode):
        return None
    return menu.show_overview(scene.with_state(node=name), node, _number(action.argument.rpartition("/")[2]))


def _category(scene: Scene, action: Action) -> Step | None:
    identifier, _, number = action.argument.rpartition("/")
    return show_category(scene, identifier, _number(number))


def show_category(scene: Scene, identifier: str, number: int = 0) -> Step | None:
    """Show a category of the menu; None when it is not there or sold out."""
    category = scene.restaurant.menu.category(identifier)
    if category is None or not category.available:
        return None
    return menu.show_category(scene.with_state(node=scene.flow.first("menu") or scene.state.node), category, number)


def _add(scene: Scene, action: Action) -> Step | None:
    """Begin to add an item. Questions about items that were tapped before are dropped: the customer moved on."""
    if not scene.open:
        return closed(scene)
    item = scene.restaurant.menu.items.get(action.argument)
    pending = tuple(draft for draft in scene.state.pending if not draft.thorough)
    scene = scene.with_state(pending=pending)
    node = scene.flow.nodes.get(scene.flow.first("menu"))
    then = node.goto if isinstance(node, MenuNode) else scene.flow.on_order
    if item is None or not item.available:
        return take(scene, (), then, (action.argument,))
    quantity = 0 if isinstance(node, MenuNode) and node.ask_quantity else 1
    draft = Draft(skus=(item.sku,), quantity=quantity, heard=item.called(scene.language), thorough=True)
    return take(scene, (draft,), then)


def _which(scene: Scene, action: Action) -> Step | None:
    if not (_is_current(scene, action) and scene.state.pending):
        return _add(scene, action)
    draft = scene.state.pending[0]
    return amend(scene, skus=(action.argument,)) if action.argument in draft.skus else None


def _pick(scene: Scene, action: Action) -> Step | None:
    if not (_is_current(scene, action) and scene.state.pending):
        return None
    draft = scene.state.pending[0]
    item = scene.restaurant.menu.items[draft.skus[0]]
    option = item.option(action.argument.partition("=")[0])
    fits = option is not None and count_of(draft.options, option.id) < option.most
    return pick(scene, (action.argument,)) if fits and choice_of(item, action.argument) is not None else None


def _done(scene: Scene, action: Action) -> Step | None:
    if not (_is_current(scene, action) and scene.state.pending):
        return None
    draft = scene.state.pending[0]
    option = open_option(scene.restaurant.menu.items[draft.skus[0]], draft)
    if option is None or option.id != action.argument or count_of(draft.options, option.id) < option.least:
        return None
    return amend(scene, settled=(*draft.settled, option.id))


def _quantity(scene: Scene, action: Action) -> Step | None:
    number = _number(action.argument)
    if not (_is_current(scene, action) and scene.state.pending and 0 < number <= MAX_QUANTITY):
        return None
    return amend(scene, quantity=number)


def _page(scene: Scene, action: Action) -> Step | None:
    return ask_page(scene, _number(action.argument.rpartition("/")[2]))


def _set(scene: Scene, action: Action) -> Step | None:
    field, _, value = action.argument.partition("=")
    name = scene.flow.asking(field)
    node = scene.flow.nodes.get(name)
    if not isinstance(node, AskNode) or not scene.state.lines:
        return None
    return ask.answered(scene, node, value)


def _district(scene: Scene, action: Action) -> Step | None:
    name = scene.flow.asking("address", "location")
    known = scene.state.address or scene.state.latitude is not None
    return go(scene.with_state(district=action.argument), name) if name and known and scene.state.lines else None


def _districts(scene: Scene, action: Action) -> Step | None:
    return delivery.ask_district(scene, _number(action.argument.rpartition("/")[2])) if scene.restaurant.zones else None


def _elsewhere(scene: Scene, _action: Action) -> Step | None:
    name = scene.flow.asking("address", "location")
    if not name or not scene.state.lines:
        return None
    return go(scene.with_state(address="", district="", latitude=None, longitude=None, fulfilment="delivery"), name)


def _removing(scene: Scene, action: Action) -> Step | None:
    return cart.ask_removal(scene, _number(action.argument.rpartition("/")[2])) if scene.state.lines else None


def _remove(scene: Scene, action: Action) -> Step | None:
    at = _number(action.argument)
    if not _is_current(scene, action) or at >= len(scene.state.lines):
        return None
    name = scene.bill.lines[at].name
    lines = tuple(line for number, line in enumerate(scene.state.lines) if number != at)
    return go(
        scene.with_state(lines=lines).noting("taken_out", item=name), scene.flow.first("cart") or scene.flow.start
    )


def _clear(scene: Scene, action: Action) -> Step | None:
    if not _is_current(scene, action):
        return None
    return go(scene.with_state(lines=(), pending=()), scene.flow.first("cart") or scene.flow.start)


def _yes(scene: Scene, action: Action) -> Step | None:
    at = scene.state.node
    node = scene.flow.nodes.get(at)
    if isinstance(node, ConfirmNode) and _is_current(scene, action):
        return confirm.agree(scene, node)
    name = scene.flow.first("confirm")
    return go(scene.noting("order_changed"), name) if scene.state.lines and name else None


_HANDLERS: dict[str, Callable[[Scene, Action], Step | None]] = {
    "go": _go,
    "menu": _menu,
    "cat": _category,
    "add": _add,
    "which": _which,
    "pick": _pick,
    "done": _done,
    "qty": _quantity,
    "page": _page,
    "set": _set,
    "district": _district,
    "districts": _districts,
    "elsewhere": _elsewhere,
    "removing": _removing,
    "remove": _remove,
    "clear": _clear,
    "yes": _yes,
}
