"""What there is: rows of items to tap, what to say when something cannot be had, and what to have instead."""

from __future__ import annotations

from collections.abc import Sequence

from comanda_contract.cloud import limits
from comanda_flow.documents import in_language
from comanda_flow.menu import Item
from comanda_flow.scene import Scene, Step, go, wait
from comanda_flow.screens import Tap, say, sections
from comanda_flow.wording import status_text


def item_tap(scene: Scene, item: Item, action: str) -> Tap:
    """Return the row of an item: name, price and description."""
    described = in_language(item.description, scene.language) if item.description else ""
    details = " · ".join(part for part in (scene.money(item.price_minor), described) if part)
    return Tap(scene.id(action, item.sku), item.called(scene.language), details)


def show_items(scene: Scene, items: Sequence[Item]) -> Step:
    """Show some items with their prices, to be tapped."""
    taps = [item_tap(scene, item, "add") for item in items[: limits.LIST_ROWS]]
    return wait(scene, sections(scene, with_status(scene, scene.text("these_items")), [("", taps)]))


def refuse(scene: Scene, sku: str) -> Scene:
    """Note that an item cannot be had."""
    item = scene.restaurant.menu.items.get(sku)
    if item is None:
        return scene.noting("not_found", words=sku[:40])
    return scene.noting("unavailable", item=item.called(scene.language))


def offer_instead(scene: Scene, sku: str) -> Step:
    """Offer what is in the same part of the menu as an item that cannot be had, else the whole menu."""
    category = scene.restaurant.menu.category_of(sku)
    if category is not None and category.available:
        return show_items(scene, category.available)
    return go(scene, scene.flow.first("menu") or scene.flow.start)


def closed(scene: Scene) -> Step:
    """Say that orders are not taken now, and offer to look at the menu."""
    menu = scene.flow.first("menu")
    taps = [Tap(scene.id("go", menu), scene.text("menu_button"))] if menu else []
    return wait(scene, say(scene.text("closed_order"), taps))


def with_status(scene: Scene, text: str) -> str:
    """Put before a text that the restaurant is closed, when it is."""
    return text if scene.open else f"{status_text(scene)}\n\n{text}"
