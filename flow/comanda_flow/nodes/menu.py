"""`menu`: shows what there is, as one list when it fits into ten rows, else by category and page."""

from __future__ import annotations

from comanda_contract.cloud import limits
from comanda_flow.documents import in_language
from comanda_flow.flow import MenuNode
from comanda_flow.menu import Category
from comanda_flow.offers import item_tap, with_status
from comanda_flow.said import Said
from comanda_flow.scene import Scene, Step, go, wait
from comanda_flow.screens import Tap, page, say, sections


def enter(scene: Scene, node: MenuNode) -> Step:
    """Show the menu; while the restaurant is closed, say so and show it all the same."""
    return show_overview(scene, node, 0)


def show_overview(scene: Scene, node: MenuNode, number: int) -> Step:
    """Show all items when they fit into one list, else a page of the categories."""
    categories = scene.restaurant.menu.open_categories
    if not categories:
        return go(scene.noting("menu_empty"), node.empty) if node.empty else wait(scene, say(scene.text("menu_empty")))
    text = with_status(scene, scene.text(node.say))
    if sum(len(category.available) for category in categories) <= limits.LIST_ROWS:
        parts = [
            (_name(scene, category), [item_tap(scene, item, "add") for item in category.available])
            for category in categories
        ]
        return wait(scene, sections(scene, text, parts))
    taps = [_category_tap(scene, category) for category in categories]
    return wait(scene, sections(scene, text, [("", page(scene, taps, number, "menu", ""))]))


def show_category(scene: Scene, category: Category, number: int) -> Step:
    """Show one page of a category's items."""
    text = with_status(scene, scene.text("category_items", category=_name(scene, category)))
    taps = [item_tap(scene, item, "add") for item in category.available]
    return wait(scene, sections(scene, text, [("", page(scene, taps, number, "cat", category.id))]))


def answer(_scene: Scene, _node: MenuNode, _said: Said) -> Step | None:
    """Leave typed text to the engine: orders and categories are understood everywhere."""
    return None


def _name(scene: Scene, category: Category) -> str:
    return in_language(category.name, scene.language)


def _category_tap(scene: Scene, category: Category) -> Tap:
    some = ", ".join(item.called(scene.language) for item in category.available[:4])
    return Tap(scene.id("cat", f"{category.id}/0"), _name(scene, category), some)
