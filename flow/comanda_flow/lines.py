"""From what a customer wants to lines in the cart: drafts wait, first come first asked, until they are complete."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from comanda_flow import lexicon
from comanda_flow.answers import number_in
from comanda_flow.choices import match_choices
from comanda_flow.documents import in_language
from comanda_flow.flow import AskNode
from comanda_flow.menu import Item, Option
from comanda_flow.offers import closed, item_tap, offer_instead, refuse
from comanda_flow.pricing import choice_of, count_of, orderable
from comanda_flow.scene import Scene, Step, go, wait
from comanda_flow.screens import Tap, choose, page, say
from comanda_flow.state import MAX_LINES, MAX_QUANTITY, CartLine, Draft
from comanda_flow.text import tokens
from comanda_flow.understand import Understood

_ALTERNATIVES = 3


def order_understood(scene: Scene, understood: Understood, then: str) -> Step:
    """Take an understood order: complete lines go to the cart, open questions are asked, `then` is where it leads."""
    if not scene.open:
        return closed(scene)
    scene = _with_fulfilment(scene, understood.fulfilment)
    drafts: list[Draft] = []
    refused: list[str] = []
    for mention in understood.mentions:
        skus = tuple(sku for sku in mention.skus if scene.restaurant.menu.items[sku].available)
        if not skus:
            refused.append(mention.skus[0])
            continue
        drafts.append(
            Draft(
                skus=skus,
                quantity=mention.quantity or 1,
                options=mention.options if len(skus) == 1 else (),
                notes=mention.notes,
                heard=mention.heard,
            )
        )
    if understood.unknown:
        scene = scene.noting("not_found", words=", ".join(understood.unknown[:8])[:200])
    return take(scene, tuple(drafts), then, refused)


def take(scene: Scene, drafts: tuple[Draft, ...], then: str, refused: Sequence[str] = ()) -> Step:
    """Queue drafts behind those that wait already, and go on asking or adding.

    `refused` are skus that cannot be had: they are named, with what there is instead.
    """
    for sku in refused:
        scene = refuse(scene, sku)
    if drafts:
        scene = scene.with_state(pending=(*scene.state.pending, *drafts)[:MAX_LINES], then=then)
    elif refused:
        return offer_instead(scene, refused[-1])
    return settle(scene)


def settle(scene: Scene) -> Step:
    """Add every complete draft to the cart, ask about the first that is not, go on when none is left."""
    added: list[str] = []
    while scene.state.pending:
        draft, *rest = scene.state.pending
        question = _question(scene, draft)
        if question is not None:
            return question
        options = scene.restaurant.menu.items[draft.skus[0]].in_order(draft.options)
        line = CartLine(sku=draft.skus[0], quantity=draft.quantity, options=options, notes=draft.notes)
        scene = _added(scene.with_state(pending=tuple(rest)), line)
        added.append(f"{line.quantity} × {scene.restaurant.menu.items[line.sku].called(scene.language)}")
    if added and _asks_elsewhere(scene):
        scene = scene.noting("added", items=", ".join(added)[:200])
    return go(scene, scene.state.then if scene.state.then in scene.flow.nodes else scene.flow.on_order)


def _asks_elsewhere(scene: Scene) -> bool:
    """Tell whether the customer is being asked for something that does not show the cart, such as an address."""
    node = scene.flow.nodes.get(scene.state.node)
    return isinstance(node, AskNode) and node.field != "fulfilment"


def _added(scene: Scene, line: CartLine) -> Scene:
    line = msgspec.structs.replace(line, quantity=max(1, min(line.quantity, MAX_QUANTITY)))
    lines = list(scene.state.lines)
    for at, each in enumerate(lines):
        if (each.sku, each.options, each.notes) == (line.sku, line.options, line.notes):
            lines[at] = msgspec.structs.replace(each, quantity=min(each.quantity + line.quantity, MAX_QUANTITY))
            return scene.with_state(lines=tuple(lines))
    if len(lines) >= MAX_LINES:
        return scene.noting("cart_full")
    return scene.with_state(lines=(*lines, line))


def _with_fulfilment(scene: Scene, fulfilment: str) -> Scene:
    if not fulfilment:
        return scene
    if not scene.restaurant.offers(fulfilment):
        return scene.noting("only_pickup" if fulfilment == "delivery" else "only_delivery")
    return scene.with_state(fulfilment=fulfilment)


# What is asked about a draft


def _question(scene: Scene, draft: Draft, number: int = 0) -> Step | None:
    """Ask the next open question about a draft; None when it is complete."""
    if len(draft.skus) > 1:
        return _ask_which(scene, draft, number)
    item = scene.restaurant.menu.items[draft.skus[0]]
    option = open_option(item, draft)
    if option is not None:
        return _ask_option(scene, draft, item, option, number)
    return None if draft.quantity else _ask_quantity(scene, item)


def open_option(item: Item, draft: Draft) -> Option | None:
    """Return the first option of an item that a draft must still decide, None when all are decided."""
    for option in item.options:
        count = count_of(draft.options, option.id)
        offered = draft.thorough and option.id not in draft.settled and count < option.most
        if count < option.least or offered:
            return option
    return None


def ask_page(scene: Scene, number: int) -> Step | None:
    """Ask about the first draft again, showing another page of the answers; None when nothing is pending."""
    return _question(scene, scene.state.pending[0], number) if scene.state.pending else None


def _ask_which(scene: Scene, draft: Draft, number: int) -> Step:
    items = [scene.restaurant.menu.items[sku] for sku in draft.skus]
    taps = [item_tap(scene, item, "which") for item in items]
    text = scene.text("which_item", heard=draft.heard[:60])
    return wait(scene, choose(scene, text, page(scene, taps, number, "page", "")))


def _ask_option(scene: Scene, draft: Draft, item: Item, option: Option, number: int) -> Step:
    taps = []
    for choice in option.choices:
        chosen = f"{option.id}={choice.id}"
        extra = f"+ {scene.money(choice.price_minor)}" if choice.price_minor else ""
        if chosen not in draft.options:
            taps.append(Tap(scene.id("pick", chosen), in_language(choice.name, scene.language), extra))
    enough = count_of(draft.options, option.id) >= option.least
    if enough:
        taps.insert(0, Tap(scene.id("done", option.id), scene.text("done_row")))
    name = in_language(option.name, scene.language).lower()
    text = scene.text("choose_extra" if enough else "choose_option", item=item.called(scene.language), option=name)
    return wait(scene, choose(scene, text, page(scene, taps, number, "page", "")))


def _ask_quantity(scene: Scene, item: Item) -> Step:
    taps = [Tap(scene.id("qty", str(number)), str(number)) for number in (1, 2, 3)]
    return wait(scene, say(scene.text("ask_quantity", item=item.called(scene.language)), taps, image=item.image))


# Answers about the first draft


def amend(scene: Scene, **changes: object) -> Step:
    """Change the first draft and go on."""
    draft, *rest = scene.state.pending
    changed = msgspec.structs.replace(draft, **changes)
    return settle(scene.with_state(pending=(changed, *rest)))


def pick(scene: Scene, chosen: tuple[str, ...]) -> Step:
    """Add choices to the first draft; an option with one choice is then done with."""
    draft = scene.state.pending[0]
    options = (*draft.options, *(each for each in chosen if each not in draft.options))
    return amend(scene, options=options)


def answer_draft(scene: Scene, text: str, words: tuple[str, ...]) -> Step | None:
    """Understand a typed answer to what was asked about the first draft; None when it is none."""
    draft = scene.state.pending[0]
    if len(draft.skus) > 1:
        return _answer_which(scene, draft, text)
    item = scene.restaurant.menu.items[draft.skus[0]]
    option = open_option(item, draft)
    if option is None:
        number = number_in(text)
        return amend(scene, quantity=number) if number else None
    if _is_done(words) and count_of(draft.options, option.id) >= option.least:
        return amend(scene, settled=(*draft.settled, option.id))
    picked, _ = match_choices(item, tuple(tokens(text)), draft.options)
    return pick(scene, picked) if picked else None


def _answer_which(scene: Scene, draft: Draft, text: str) -> Step | None:
    index = scene.restaurant.index
    stems = [stem for token in tokens(text) if not token.separates for stem in index.corrected(token)]
    named = index.narrowed(index.holding(stems) & frozenset(draft.skus), stems)
    kept = tuple(sku for sku in draft.skus if sku in named)
    return amend(scene, skus=kept, heard=text[:60]) if kept and len(kept) < len(draft.skus) else None


def _is_done(words: tuple[str, ...]) -> bool:
    return bool(words) and all(word in lexicon.DONE or word in lexicon.FILLERS for word in words)


def withdraw(scene: Scene) -> Scene:
    """Take out of cart and drafts what can no longer be ordered, and say so."""
    menu, state = scene.restaurant.menu, scene.state
    gone = [line for line in state.lines if not orderable(scene.restaurant, line)]
    drafts = tuple(d for d in (_still_open(scene, each) for each in state.pending) if d is not None)
    if gone:
        known = [(line.sku, menu.items.get(line.sku)) for line in gone]
        names = [item.called(scene.language) if item is not None else sku for sku, item in known]
        scene = scene.with_state(lines=tuple(line for line in state.lines if line not in gone))
        scene = scene.noting("withdrawn", item=", ".join(names))
    return scene.with_state(pending=drafts) if drafts != state.pending else scene


def _still_open(scene: Scene, draft: Draft) -> Draft | None:
    items = scene.restaurant.menu.items
    skus = tuple(sku for sku in draft.skus if sku in items and items[sku].available)
    options = tuple(each for each in draft.options if len(skus) == 1 and choice_of(items[skus[0]], each) is not None)
    return msgspec.structs.replace(draft, skus=skus, options=options) if skus else None
