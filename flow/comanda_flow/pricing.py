"""What a cart costs: always from the restaurant's menu and zones, never from what a customer's message says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from comanda_flow.documents import in_language
from comanda_flow.menu import Choice, Item
from comanda_flow.restaurant import Restaurant
from comanda_flow.state import CartLine, State
from comanda_flow.zones import Coverage, Point, cover


@dataclass(frozen=True)
class PricedLine:
    """A cart line with its names and its price, in minor units."""

    sku: str
    name: str
    quantity: int
    unit_price_minor: int
    options: str
    notes: str
    total_minor: int


@dataclass(frozen=True)
class Bill:
    """What the cart comes to. `coverage` is the delivery's, None for pick-up or while that is open."""

    lines: tuple[PricedLine, ...]
    subtotal_minor: int
    fee_minor: int
    minimum_minor: int
    coverage: Coverage | None = None

    @property
    def total_minor(self) -> int:
        """Subtotal and delivery fee."""
        return self.subtotal_minor + self.fee_minor

    @property
    def missing_minor(self) -> int:
        """How much is missing to the minimum order, 0 when nothing is."""
        return max(0, self.minimum_minor - self.subtotal_minor)


def price(restaurant: Restaurant, state: State, language: str) -> Bill:
    """Price a cart, with the delivery fee as far as the place is known."""
    lines = tuple(line for each in state.lines if (line := price_line(restaurant, each, language)) is not None)
    subtotal = sum(line.total_minor for line in lines)
    coverage = coverage_of(restaurant, state) if state.fulfilment == "delivery" else None
    zone = coverage.zone if coverage is not None else None
    minimum = max(restaurant.minimum_minor, zone.minimum_minor if zone is not None else 0)
    return Bill(lines, subtotal, zone.fee_minor if zone is not None else 0, minimum, coverage)


def coverage_of(restaurant: Restaurant, state: State) -> Coverage:
    """Return what is known about delivering to the customer's place."""
    known = state.latitude is not None and state.longitude is not None
    point = Point(state.latitude or 0.0, state.longitude or 0.0) if known else None
    return cover(restaurant.zones, restaurant.location, point, state.address, state.district)


def price_line(restaurant: Restaurant, line: CartLine, language: str) -> PricedLine | None:
    """Price one line; None when its item is no longer on the menu."""
    item = restaurant.menu.items.get(line.sku)
    if item is None:
        return None
    chosen = [choice for each in line.options if (choice := choice_of(item, each)) is not None]
    unit = item.price_minor + sum(choice.price_minor for choice in chosen)
    names = ", ".join(in_language(choice.name, language) for choice in chosen)
    return PricedLine(line.sku, item.called(language), line.quantity, unit, names, line.notes, unit * line.quantity)


def choice_of(item: Item, chosen: str) -> Choice | None:
    """Return the choice that an `option=choice` id names, None when the item has no such choice."""
    option_id, _, choice_id = chosen.partition("=")
    option = item.option(option_id)
    return option.choice(choice_id) if option is not None else None


def orderable(restaurant: Restaurant, line: CartLine) -> bool:
    """Tell whether a line can still be ordered as it is: item available, choices known, as many as are needed."""
    item = restaurant.menu.items.get(line.sku)
    if item is None or not item.available or not line.quantity >= 1:
        return False
    if any(choice_of(item, each) is None for each in line.options):
        return False
    return all(option.least <= count_of(line.options, option.id) <= option.most for option in item.options)


def count_of(chosen: Sequence[str], option_id: str) -> int:
    """Return how many choices of an option are among `option=choice` ids."""
    return sum(each.partition("=")[0] == option_id for each in chosen)
