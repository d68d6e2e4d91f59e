"""The menu as the engine works with it: categories of items, items with options, prices in minor units."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from comanda_flow.documents import in_language


@dataclass(frozen=True)
class Choice:
    """One choice of an option; its price is added to the item's."""

    id: str
    name: Mapping[str, str]
    price_minor: int = 0


@dataclass(frozen=True)
class Option:
    """Something to decide about an item (a size, extras): between `least` and `most` of its choices."""

    id: str
    name: Mapping[str, str]
    least: int
    most: int
    choices: tuple[Choice, ...]

    def choice(self, identifier: str) -> Choice | None:
        """Return a choice by its id, None when there is none."""
        return next((choice for choice in self.choices if choice.id == identifier), None)


@dataclass(frozen=True)
class Item:
    """Something to order. `sku` is also the catalogue's `product_retailer_id`."""

    sku: str
    name: Mapping[str, str]
    price_minor: int
    description: Mapping[str, str]
    aliases: tuple[str, ...] = ()
    image: str = ""
    available: bool = True
    options: tuple[Option, ...] = ()

    def option(self, identifier: str) -> Option | None:
        """Return an option by its id, None when there is none."""
        return next((option for option in self.options if option.id == identifier), None)

    def in_order(self, chosen: Iterable[str]) -> tuple[str, ...]:
        """Return `option=choice` ids in the order of the menu, whatever the order they were chosen in."""
        known = [f"{option.id}={choice.id}" for option in self.options for choice in option.choices]
        return tuple(sorted(chosen, key=lambda each: known.index(each) if each in known else len(known)))

    def called(self, language: str) -> str:
        """Return the item's name in a language."""
        return in_language(self.name, language)


@dataclass(frozen=True)
class Category:
    """A part of the menu."""

    id: str
    name: Mapping[str, str]
    items: tuple[Item, ...]

    @property
    def available(self) -> tuple[Item, ...]:
        """What can be ordered now, in the menu's order."""
        return tuple(item for item in self.items if item.available)


@dataclass(frozen=True)
class Menu:
    """All categories."""

    categories: tuple[Category, ...] = ()

    @cached_property
    def items(self) -> dict[str, Item]:
        """Every item by its sku."""
        return {item.sku: item for category in self.categories for item in category.items}

    @cached_property
    def open_categories(self) -> tuple[Category, ...]:
        """Categories with at least one item that can be ordered now."""
        return tuple(category for category in self.categories if category.available)

    def category(self, identifier: str) -> Category | None:
        """Return a category by its id, None when there is none."""
        return next((category for category in self.categories if category.id == identifier), None)

    def category_of(self, sku: str) -> Category | None:
        """Return the category an item is in, None for an unknown sku."""
        return next((category for category in self.categories if any(i.sku == sku for i in category.items)), None)
