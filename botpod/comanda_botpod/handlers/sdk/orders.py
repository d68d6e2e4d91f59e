"""Orders of a handler: what it wants is checked against the restaurant and priced from its menu, here and nowhere else.

The check runs twice: in the tenant's process, so that a handler learns at once what is wrong; and in the pod, which
trusts nothing that comes out of that process.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Literal

import msgspec

from comanda_botpod.handlers.sdk.gathered import Gathered, OrderWish
from comanda_contract.errors import InvalidInputError
from comanda_flow import CartLine, OrderDraft, Restaurant, State
from comanda_flow.documents import in_language
from comanda_flow.menu import Item
from comanda_flow.orders import build_order
from comanda_flow.pricing import orderable, price
from comanda_flow.state import MAX_LINES, MAX_QUANTITY

RECENT = 10
"""How many past orders a handler can see."""
NAME, ADDRESS, NOTES = 128, 300, 500
"""Characters that are kept of what a customer wrote."""

Fulfilment = Literal["pickup", "delivery"]


class OrderError(InvalidInputError):
    """An order cannot be taken as it is; `path` names the part, `code` the reason.

    Codes: `order_empty`, `order_line`, `order_fulfilment`, `order_address`, `order_minimum`, `order_closed`,
    `order_twice`.
    """

    code = "order_refused"


class PastLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a past order, named as it was; `options` is the kitchen's text of what was chosen."""

    sku: str
    name: str
    quantity: int
    options: str = ""
    notes: str = ""
    total_minor: int = 0


class PastOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order that this customer placed; amounts are minor units of `currency`."""

    code: str
    status: str
    created_at: datetime
    fulfilment: Fulfilment
    lines: tuple[PastLine, ...]
    currency: str
    total_minor: int
    address: str = ""
    latitude: float | None = None
    longitude: float | None = None


Fetch = Callable[[], Awaitable[tuple[PastOrder, ...]]]


class Orders:
    """Places an order, at most one a turn, and knows the customer's last ones."""

    def __init__(
        self, gathered: Gathered, restaurant: Restaurant, now: datetime, message_id: str, fetch: Fetch
    ) -> None:
        self._gathered = gathered
        self._restaurant = restaurant
        self._now = now
        self._message_id = message_id
        self._fetch = fetch
        self._past: tuple[PastOrder, ...] | None = None

    def quote(self, wish: OrderWish) -> OrderDraft:
        """Return the order that a wish would make, priced and checked, and place nothing. Raises `OrderError`."""
        return draft_of(self._restaurant, wish, self._now, self._message_id)

    def place(self, wish: OrderWish) -> OrderDraft:
        """Place an order and return it, priced, with its code; the kitchen gets it once the handler has returned.

        Raises `OrderError` when it cannot be taken, or when this turn has placed one already.
        """
        self._gathered.room("orders.place", 0, 1)
        if self._gathered.order is not None:
            raise OrderError("orders.place", "this turn has placed an order already", code="order_twice")
        draft = self.quote(wish)
        self._gathered.order = wish
        return draft

    async def recent(self) -> tuple[PastOrder, ...]:
        """Return the customer's last orders, at most ten, the newest first. Raises `UnavailableError`."""
        if self._past is None:
            self._past = await self._fetch()
        return self._past

    def again(self, past: PastOrder) -> tuple[CartLine, ...]:
        """Return those lines of a past order that can be ordered today just as they were."""
        lines = (_line_again(self._restaurant, line) for line in past.lines)
        return tuple(line for line in lines if line is not None)


def draft_of(restaurant: Restaurant, wish: OrderWish, now: datetime, message_id: str) -> OrderDraft:
    """Check a wish against a restaurant and price it from its menu. Raises `OrderError`."""
    _check_lines(restaurant, wish.lines)
    if not restaurant.offers(wish.fulfilment):
        raise OrderError("fulfilment", f"the restaurant offers no {wish.fulfilment}", code="order_fulfilment")
    if not (-90 <= (wish.latitude or 0) <= 90 and -180 <= (wish.longitude or 0) <= 180):
        raise OrderError("latitude", "the place lies outside the globe", code="order_address")
    if not (restaurant.accept_when_closed or restaurant.hours.is_open(now)):
        raise OrderError("", "the restaurant is closed", code="order_closed")
    state = State(
        lines=tuple(_in_order(restaurant, line) for line in wish.lines),
        fulfilment=wish.fulfilment,
        address=wish.address[:ADDRESS],
        district=wish.district[:ADDRESS],
        latitude=wish.latitude,
        longitude=wish.longitude,
        notes=wish.notes[:NOTES],
        payment=wish.payment,
    )
    bill = price(restaurant, state, restaurant.language)
    if bill.coverage is not None and bill.coverage.kind != "served":
        raise OrderError("address", _UNSERVED[bill.coverage.kind], code="order_address")
    if bill.missing_minor:
        rule = f"{bill.missing_minor} {restaurant.currency} (minor units) are missing to the minimum order"
        raise OrderError("lines", rule, code="order_minimum")
    return build_order(restaurant, state, wish.customer_name[:NAME], message_id)


_UNSERVED = {
    "missing": "a delivery needs an address, or latitude and longitude",
    "district": "the restaurant delivers by district; ask for it",
    "outside": "the restaurant does not deliver there",
}


def _check_lines(restaurant: Restaurant, lines: Sequence[CartLine]) -> None:
    if not lines:
        raise OrderError("lines", "an order needs one line at least", code="order_empty")
    if len(lines) > MAX_LINES:
        raise OrderError("lines", f"an order has {MAX_LINES} lines at most", code="order_line")
    for index, line in enumerate(lines):
        path = f"lines[{index}]"
        if line.quantity not in range(1, MAX_QUANTITY + 1):
            raise OrderError(f"{path}.quantity", f"must be a whole number, 1 to {MAX_QUANTITY}", code="order_line")
        item = restaurant.menu.items.get(line.sku)
        if item is None or not item.available:
            raise OrderError(f"{path}.sku", "is not on the menu today", code="order_line")
        if not orderable(restaurant, line):
            hint = f"Options of {item.sku}: {', '.join(_choices(item)) or 'none'}."
            raise OrderError(f"{path}.options", "are not what the item needs", hint=hint, code="order_line")


def _choices(item: Item) -> list[str]:
    return [f"{option.id}={choice.id}" for option in item.options for choice in option.choices]


def _in_order(restaurant: Restaurant, line: CartLine) -> CartLine:
    options = restaurant.menu.items[line.sku].in_order(line.options)
    return msgspec.structs.replace(line, options=options, notes=line.notes[:NOTES])


def _line_again(restaurant: Restaurant, past: PastLine) -> CartLine | None:
    """Read a line's text of options back; None when the item is gone or the text is not clear today."""
    item = restaurant.menu.items.get(past.sku)
    if item is None:
        return None
    language = restaurant.language
    known: dict[str, str] = {}
    for option in item.options:
        for choice in option.choices:
            known.setdefault(in_language(choice.name, language), f"{option.id}={choice.id}")
    names = past.options.split(", ") if past.options else []
    if any(name not in known for name in names):
        return None
    options = item.in_order(known[name] for name in names)
    line = CartLine(sku=past.sku, quantity=past.quantity, options=options, notes=past.notes)
    return line if orderable(restaurant, line) else None
