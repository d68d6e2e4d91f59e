"""`comanda orders list`: the orders in a data folder or a database, read beside the pods that write them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from comanda_cli.local.layout import Layout
from comanda_contract.errors import InvalidInputError
from comanda_flow import money
from comanda_store import OrderLineRecord, OrderRecord, StorageError, TenantScope
from comanda_store.orders import list_orders
from comanda_store.sqlite.engine import open_engine, sqlite_url
from comanda_store.store import call_once

COLUMNS = (
    ("code", "CODE"),
    ("tenant", "RESTAURANT"),
    ("at", "AT (UTC)"),
    ("customer_name", "CUSTOMER"),
    ("what", "ORDER…"),
    ("where", "WHERE…"),
    ("amount", "TOTAL"),
)

_POINT_CURRENCIES = frozenset(["DOP", "GTQ", "HNL", "MXN", "NIO", "PEN", "USD"])
"""Where amounts are written 1,234.50 in Spanish too; an order knows its currency, not its country."""


def order_rows(data_dir: Path, tenant: str | None = None, database_url: str | None = None) -> list[dict[str, Any]]:
    """Return all orders of a data folder, the oldest first, each with its record's fields and some for people.

    With a URL those of one tenant in that database. Raises `InvalidInputError` when the folder holds no data of local
    mode or no tenant is named for a URL, or `StorageError`.
    """
    if database_url is not None:
        return _rows(_in_database(database_url, tenant))
    databases = Layout(data_dir).databases()
    if not databases:
        raise InvalidInputError(
            "--data-dir", f"{data_dir} holds no orders.", hint="Give the folder that comanda up was started with."
        )
    return _rows([order for database in databases for order in _orders(database, tenant)])


def _rows(orders: Sequence[OrderRecord]) -> list[dict[str, Any]]:
    return [_row(order) for order in sorted(orders, key=lambda order: order.created_at)]


def _in_database(url: str, tenant: str | None) -> list[OrderRecord]:
    if tenant is None:
        raise InvalidInputError(
            "--tenant", "A database shows one restaurant at a time.", hint="Name it as namespace/name."
        )
    return asyncio.run(call_once(url, TenantScope(tenant, ""), lambda connection: list_orders(connection, tenant)))


def _orders(database: Path, tenant: str | None) -> list[OrderRecord]:
    engine = open_engine(sqlite_url(database), read_only=True)
    try:
        with engine.begin() as connection:
            return list_orders(connection, tenant)
    except SQLAlchemyError as error:
        raise StorageError(f"{database} cannot be read ({error.__cause__ or error}).") from error
    finally:
        engine.dispose()


def _line(line: OrderLineRecord) -> str:
    extras = "; ".join(extra for extra in (line.options, line.notes) if extra)
    return f"{line.quantity} × {line.name}{f' ({extras})' if extras else ''}"


def _row(order: OrderRecord) -> dict[str, Any]:
    lines = [_line(line) for line in order.lines]
    point = (
        f"{order.latitude:.4f}, {order.longitude:.4f}"
        if order.latitude is not None and order.longitude is not None
        else ""
    )
    return asdict(order) | {
        "at": datetime.fromtimestamp(order.created_at / 1000, UTC).strftime("%m-%d %H:%M"),
        "what": ", ".join(lines),
        "where": (order.address or point) if order.fulfilment == "delivery" else order.fulfilment,
        "amount": money(order.total, order.currency, "es-MX" if order.currency in _POINT_CURRENCIES else "es"),
    }
