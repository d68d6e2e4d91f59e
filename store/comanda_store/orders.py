"""Orders, as the kitchen reads them."""

from __future__ import annotations

from collections import defaultdict

from sqlalchemy import Connection, select

from comanda_store import sql
from comanda_store.records import OrderLineRecord, OrderRecord


def list_orders(connection: Connection, tenant: str | None = None, customer: int | None = None) -> list[OrderRecord]:
    """Return orders, the oldest first: of one tenant or all that may be seen here, of one customer if given."""
    orders, lines = sql.ORDERS.c, sql.ORDER_LINES.c
    query = select(sql.ORDERS).order_by(orders.created_at, orders.id)
    if tenant is not None:
        query = query.where(orders.tenant == tenant)
    if customer is not None:
        query = query.where(orders.customer_id == customer)
    rows = connection.execute(query).all()
    by_order: dict[int, list[OrderLineRecord]] = defaultdict(list)
    if rows:
        wanted = select(sql.ORDER_LINES).order_by(lines.order_id, lines.position)
        if tenant is not None:
            wanted = wanted.where(lines.tenant == tenant)
        if customer is not None:
            wanted = wanted.where(lines.order_id.in_([row.id for row in rows]))
        for line in connection.execute(wanted):
            record = OrderLineRecord(
                line.sku, line.name, line.options, line.notes, line.quantity, line.unit_price, line.total
            )
            by_order[line.order_id].append(record)
    return [
        OrderRecord(
            tenant=row.tenant,
            code=row.code,
            status=row.status,
            customer_name=row.customer_name,
            fulfilment=row.fulfilment,
            address=row.address,
            latitude=row.latitude,
            longitude=row.longitude,
            notes=row.notes,
            currency=row.currency,
            subtotal=row.subtotal,
            delivery_fee=row.delivery_fee,
            total=row.total,
            created_at=row.created_at,
            lines=tuple(by_order[row.id]),
            payment=row.payment,
        )
        for row in rows
    ]
