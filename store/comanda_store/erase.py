"""Erasing all that is known of a tenant, in slices: rows that others point to go last."""

from __future__ import annotations

from sqlalchemy import Connection, text

from comanda_store.records import TenantScope

_OF_NUMBER = ("outbox", "inbox", "statuses", "account_events", "costs")
"""Tables that are many rows long and have an index that begins with the number."""

ORDER = (
    "order_lines",
    "orders",
    *_OF_NUMBER,
    "timers",
    "conversations",
    "customer_aliases",
    "customers",
    "menu_versions",
    "flow_versions",
    "numbers",
    "audit",
    "tenants",
)
"""Every table with rows of tenants, in the order in which they can go."""

_LINES = "order_id IN (SELECT id FROM orders WHERE tenant = :tenant)"


def erase(connection: Connection, scope: TenantScope, limit: int) -> int:
    """Erase one slice of at most `limit` rows; returns how many went, 0 when nothing is left."""
    if connection.dialect.name == "postgresql":
        # The service's role may delete nothing by itself.
        statement = text("SELECT comanda_erase(:number, :limit)")
        return int(connection.execute(statement, {"number": scope.phone_number_id, "limit": limit}).scalar_one())
    left = limit
    for table in ORDER:
        if left > 0:
            values = {"tenant": scope.tenant, "number": scope.phone_number_id, "limit": left}
            left -= connection.execute(text(_statement(table)), values).rowcount
    return limit - left


def _statement(table: str) -> str:
    condition = "tenant = :tenant"
    if table == "order_lines":
        condition = f"{condition} AND {_LINES}"
    elif table in _OF_NUMBER:
        condition = f"{condition} AND phone_number_id = :number"
    return f"DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {table} WHERE {condition} LIMIT :limit)"  # noqa: S608
