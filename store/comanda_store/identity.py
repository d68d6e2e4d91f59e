"""Who wrote: customers by their aliases, phone number or business-scoped user id, whichever Meta tells."""

from __future__ import annotations

from collections.abc import MutableMapping

from sqlalchemy import Connection, and_, insert, or_, select

from comanda_store import sql
from comanda_store.records import InboundItem

Aliases = MutableMapping[tuple[str, str, str], int]
"""(tenant, kind, value) → customer id; a cache of what the database holds."""


def customer_of(connection: Connection, cache: Aliases, item: InboundItem, now: int) -> int:
    """Return the customer id of a message's sender, making the customer and missing aliases where needed.

    A sender with neither phone nor user id is a customer per message: it can be stored, never answered.
    """
    known = [(item.tenant, kind, value) for kind, value in (("phone", item.phone), ("user_id", item.user_id)) if value]
    aliases = known or [(item.tenant, "wamid", item.wamid[:160])]
    if all(alias in cache for alias in aliases):
        return cache[aliases[0]]
    found = _find(connection, aliases)
    customer = found[aliases[0]] if aliases[0] in found else next(iter(found.values()), 0)
    if not customer:
        customer = _create(connection, item, now)
    missing = [alias for alias in aliases if alias not in found]
    if missing:
        rows = [
            {"tenant": tenant, "kind": kind, "value": value, "customer_id": customer} for tenant, kind, value in missing
        ]
        connection.execute(insert(sql.ALIASES), rows)
    cache.update(dict.fromkeys(aliases, customer))
    return customer


def _find(connection: Connection, aliases: list[tuple[str, str, str]]) -> dict[tuple[str, str, str], int]:
    table = sql.ALIASES.c
    wanted = or_(
        *(and_(table.tenant == tenant, table.kind == kind, table.value == value) for tenant, kind, value in aliases)
    )
    query = select(table.tenant, table.kind, table.value, table.customer_id).where(wanted)
    return {(tenant, kind, value): customer for tenant, kind, value, customer in connection.execute(query)}


def _create(connection: Connection, item: InboundItem, now: int) -> int:
    row = {"tenant": item.tenant, "name": item.name, "created_at": now}
    customer = int(connection.execute(insert(sql.CUSTOMERS).returning(sql.CUSTOMERS.c.id), row).scalar_one())
    conversation = {
        "customer_id": customer,
        "tenant": item.tenant,
        "phone_number_id": item.phone_number_id,
        "flow_version": "",
        "version": 0,
        "handover_until": 0,
        "last_inbound_at": item.sent_at,
    }
    connection.execute(insert(sql.CONVERSATIONS), conversation)
    return customer
