"""The ledger of what Meta bills, summed up for people."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, and_, func, select

from comanda_store import sql

_DELIVERED = ("delivered", "read", "played")


@dataclass(frozen=True, slots=True)
class CostLine:
    """Delivered messages of one number that cost the same for the same reason.

    `micros` is their cost in millionths of `currency`, None when it cannot be known; `reason` says why it is so.
    """

    phone_number_id: str
    category: str
    reason: str
    currency: str
    messages: int
    micros: int | None


def costs_between(connection: Connection, tenant: str, begin: int, end: int) -> list[CostLine]:
    """Return what a tenant's messages of a time cost (unix milliseconds, the end not included)."""
    costs, outbox = sql.COSTS.c, sql.OUTBOX.c
    same = (costs.phone_number_id, costs.category, costs.reason, costs.currency)
    # What was sent is due once it is delivered; what Meta priced of another app's sending is in no outbox of ours.
    sent = and_(outbox.phone_number_id == costs.phone_number_id, outbox.wamid == costs.wamid)
    query = (
        select(*same, func.count(), func.sum(costs.price_micros))
        .select_from(sql.COSTS.join(sql.OUTBOX, sent))
        .where(costs.tenant == tenant, outbox.tenant == tenant, outbox.state.in_(_DELIVERED))
        .where(costs.at >= begin, costs.at < end)
        .group_by(*same)
        .order_by(*same)
    )
    lines = []
    for number, category, reason, currency, messages, micros in connection.execute(query):
        lines.append(CostLine(number, category, reason, currency, messages, None if micros is None else int(micros)))
    return lines
