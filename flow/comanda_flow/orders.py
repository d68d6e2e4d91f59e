"""The order a conversation ends in: priced from the menu, named in the kitchen's language, with a short code."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

from comanda_flow.pricing import price
from comanda_flow.restaurant import Restaurant
from comanda_flow.state import State

_ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Digits and capitals that are not mistaken for each other when read aloud: without 0 O 1 I L U."""
_CODE_LENGTH = 5


@dataclass(frozen=True)
class OrderLine:
    """One line of an order; amounts in minor units. `options` and `notes` are texts for the kitchen."""

    sku: str
    name: str
    quantity: int
    unit_price_minor: int
    options: str
    total_minor: int
    notes: str = ""


@dataclass(frozen=True)
class OrderDraft:
    """An order as the customer confirmed it; the caller stores it."""

    code: str
    customer_name: str
    fulfilment: Literal["pickup", "delivery"]
    address: str
    latitude: float | None
    longitude: float | None
    notes: str
    lines: tuple[OrderLine, ...]
    subtotal_minor: int
    delivery_fee_minor: int
    total_minor: int
    currency: str
    payment: str = ""


def order_code(message_id: str) -> str:
    """Derive the code of the order that a message places: five characters, the same for the same message."""
    number = int.from_bytes(hashlib.sha256(b"comanda/order-code/v1:" + message_id.encode("utf-8", "replace")).digest())
    code = ""
    for _ in range(_CODE_LENGTH):
        number, digit = divmod(number, len(_ALPHABET))
        code += _ALPHABET[digit]
    return code


def build_order(restaurant: Restaurant, state: State, customer_name: str, message_id: str) -> OrderDraft:
    """Build the order from a state that has been summed up and confirmed."""
    bill = price(restaurant, state, restaurant.language)
    delivered = state.fulfilment == "delivery"
    address = ", ".join(part for part in (state.address, state.district) if part)
    lines = tuple(
        OrderLine(x.sku, x.name, x.quantity, x.unit_price_minor, x.options, x.total_minor, x.notes) for x in bill.lines
    )
    return OrderDraft(
        code=order_code(message_id),
        customer_name=state.name or customer_name,
        fulfilment="delivery" if delivered else "pickup",
        address=address if delivered else "",
        latitude=state.latitude if delivered else None,
        longitude=state.longitude if delivered else None,
        notes=state.notes,
        lines=lines,
        subtotal_minor=bill.subtotal_minor,
        delivery_fee_minor=bill.fee_minor,
        total_minor=bill.total_minor,
        currency=restaurant.currency,
        payment=state.payment,
    )
