"""The tables as SQLAlchemy Core sees them, for what both databases run alike: catalogue, orders, parked messages."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, literal_column, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.sqlite.dml import Insert

from comanda_store import tables


def _table(model: Any) -> Table:
    table: Table = model.__table__
    return table


METADATA = _table(tables.TenantRow).metadata
TENANTS = _table(tables.TenantRow)
FLOW_VERSIONS = _table(tables.FlowVersionRow)
MENU_VERSIONS = _table(tables.MenuVersionRow)
INBOX = _table(tables.InboxRow)
ORDERS = _table(tables.OrderRow)
ORDER_LINES = _table(tables.OrderLineRow)
COSTS = _table(tables.CostRow)
OUTBOX = _table(tables.OutboxRow)
AUDIT = _table(tables.AuditRow)

# A literal, not a parameter: SQLite uses a partial index only when it can see the state in the statement.
PARKED: ColumnElement[str] = literal_column("'parked'")


def insert(connection: Connection, table: Table) -> Insert:
    """Return an INSERT of this database's dialect, for `on_conflict_do_nothing` and `on_conflict_do_update`."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table)  # type: ignore[return-value]  # the two dialects' methods agree
    return sqlite.insert(table)


def now_ms(connection: Connection) -> int:
    """Return the database's clock in unix milliseconds: the one clock that all pods of a group share."""
    if connection.dialect.name == "postgresql":
        return int(connection.execute(text("select extract(epoch from clock_timestamp()) * 1000")).scalar_one())
    return int(time.time() * 1000)  # an embedded database has its host's clock


def enter(connection: Connection, tenant: str) -> None:
    """Show this transaction one tenant's rows, and nobody else's, from here on.

    SQLite has no row-level security: there it is the statements alone that keep to the tenant.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("select set_config('comanda.tenant', :tenant, true)"), {"tenant": tenant})
