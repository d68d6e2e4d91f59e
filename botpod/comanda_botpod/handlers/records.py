"""What every kind of handler turns into the store's records in the same way."""

from __future__ import annotations

from comanda_flow import OrderDraft, OrderLine
from comanda_store import Claim, NewOrder, NewOrderLine, NewTimer, TurnResult

HANDOVER_MS = 2 * 3600 * 1000
"""How long the bot is silent after a conversation was given to the staff, in milliseconds."""


def untouched(claim: Claim, timers: tuple[NewTimer, ...] = ()) -> TurnResult:
    """Return the result of a turn that says nothing and leaves the conversation as it is."""
    return TurnResult(claim.state or b"", claim.flow_version, claim.handover_until, messages=(), timers=timers)


def new_order(draft: OrderDraft, menu_version: str) -> NewOrder:
    """Return the order to be written."""
    return NewOrder(
        code=draft.code,
        customer_name=draft.customer_name,
        fulfilment=draft.fulfilment,
        address=draft.address,
        latitude=draft.latitude,
        longitude=draft.longitude,
        notes=draft.notes,
        currency=draft.currency,
        subtotal=draft.subtotal_minor,
        delivery_fee=draft.delivery_fee_minor,
        total=draft.total_minor,
        menu_version=menu_version,
        lines=tuple(map(_line, draft.lines)),
        payment=draft.payment,
    )


def _line(line: OrderLine) -> NewOrderLine:
    return NewOrderLine(
        sku=line.sku,
        name=line.name,
        options=line.options,
        notes=line.notes,
        quantity=line.quantity,
        unit_price=line.unit_price_minor,
        total=line.total_minor,
    )
