"""Turns: claim a conversation's next message, then write everything the turn changed, or nothing."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, insert, select, update

from comanda_store import sql, workers
from comanda_store.errors import FencedError
from comanda_store.records import Busy, Claim, NewOrder, PendingSend, TurnResult

MAX_ATTEMPTS = 5
"""Tries of a message before it is parked; counted before each try, so a crash counts too."""

_next_pending = (
    select(
        sql.INBOX.c.id,
        sql.INBOX.c.wamid,
        sql.INBOX.c.tenant,
        sql.INBOX.c.phone_number_id,
        sql.INBOX.c.payload,
        sql.INBOX.c.contact,
        sql.INBOX.c.received_at,
        sql.INBOX.c.attempts,
        sql.INBOX.c.owner,
        sql.CONVERSATIONS.c.state,
        sql.CONVERSATIONS.c.flow_version,
        sql.CONVERSATIONS.c.version,
        sql.CONVERSATIONS.c.handover_until,
    )
    .join(sql.CONVERSATIONS, sql.CONVERSATIONS.c.customer_id == sql.INBOX.c.customer_id)
    .where(sql.INBOX.c.customer_id == bindparam("customer"), sql.INBOX.c.state == sql.PENDING)
    # Meta's clock has a grain of a second, so the order of arrival decides within it.
    .order_by(sql.INBOX.c.sent_at, sql.INBOX.c.id)
    .limit(1)
)
_count_try = (
    update(sql.INBOX)
    .where(sql.INBOX.c.id == bindparam("inbox_id"))
    .values(attempts=sql.INBOX.c.attempts + 1, owner=bindparam("new_owner"))
)
_aliases = select(sql.ALIASES.c.kind, sql.ALIASES.c.value).where(sql.ALIASES.c.customer_id == bindparam("customer"))
_park = (
    update(sql.INBOX).where(sql.INBOX.c.id == bindparam("inbox_id")).values(state="parked", done_at=bindparam("now"))
)


def claim(connection: Connection, owner: str, customer: int) -> Claim | Busy | None:
    """Take the conversation's oldest pending message and count the try; None when nothing is pending.

    A message that has used up its tries is parked and the next one is taken. A message of another living pod answers
    `Busy`: the conversation stays serial across pods. A dead pod's message is taken over.
    """
    while True:
        row = connection.execute(_next_pending, {"customer": customer}).one_or_none()
        if row is None:
            return None
        if row.owner != owner and workers.is_alive(connection, row.owner):
            return Busy()
        if row.attempts < MAX_ATTEMPTS:
            break
        connection.execute(_park, {"inbox_id": row.id, "now": sql.now_ms(connection)})
    connection.execute(_count_try, {"inbox_id": row.id, "new_owner": owner})
    aliases: dict[str, str] = {
        alias.kind: alias.value for alias in connection.execute(_aliases, {"customer": customer})
    }
    return Claim(
        inbox_id=row.id,
        wamid=row.wamid,
        tenant=row.tenant,
        phone_number_id=row.phone_number_id,
        customer_id=customer,
        phone=aliases.get("phone", ""),
        user_id=aliases.get("user_id", ""),
        payload=row.payload,
        contact=row.contact,
        received_at=row.received_at,
        attempts=row.attempts + 1,
        state=row.state,
        flow_version=row.flow_version,
        version=row.version,
        handover_until=row.handover_until,
    )


_advance = (
    update(sql.CONVERSATIONS)
    .where(sql.CONVERSATIONS.c.customer_id == bindparam("customer"), sql.CONVERSATIONS.c.version == bindparam("seen"))
    .values(
        state=bindparam("new_state"),
        flow_version=bindparam("new_flow_version"),
        handover_until=bindparam("new_handover_until"),
        version=bindparam("seen") + 1,
        last_inbound_at=bindparam("inbound_at"),
    )
)
_finish = (
    update(sql.INBOX)
    .where(
        sql.INBOX.c.id == bindparam("inbox_id"),
        sql.INBOX.c.state == sql.PENDING,
        sql.INBOX.c.owner == bindparam("claimed_by"),
    )
    .values(state="done", done_at=bindparam("now"))
)


def finish(connection: Connection, owner: str, claimed: Claim, result: TurnResult) -> list[PendingSend]:
    """Write a turn: message done, new state, order, outgoing messages. Returns what is to be sent, in order.

    Raises `FencedError`, and writes nothing, when another pod has taken the message or moved the conversation on.
    """
    now = sql.now_ms(connection)
    advanced = connection.execute(
        _advance,
        {
            "customer": claimed.customer_id,
            "seen": claimed.version,
            "new_state": result.state,
            "new_flow_version": result.flow_version,
            "new_handover_until": result.handover_until,
            "inbound_at": claimed.received_at,
        },
    ).rowcount
    finished = connection.execute(_finish, {"inbox_id": claimed.inbox_id, "claimed_by": owner, "now": now}).rowcount
    if advanced != 1 or finished != 1:
        raise FencedError("Another pod has this conversation; the turn was dropped.")
    if result.order is not None:
        _write_order(connection, claimed, result.order, now)
    return _queue(connection, owner, claimed, result.messages, now)


def _write_order(connection: Connection, claimed: Claim, order: NewOrder, now: int) -> None:
    row = {
        "tenant": claimed.tenant,
        "code": order.code,
        "inbox_id": claimed.inbox_id,
        "customer_id": claimed.customer_id,
        "customer_name": order.customer_name,
        "fulfilment": order.fulfilment,
        "address": order.address,
        "latitude": order.latitude,
        "longitude": order.longitude,
        "notes": order.notes,
        "currency": order.currency,
        "subtotal": order.subtotal,
        "delivery_fee": order.delivery_fee,
        "total": order.total,
        "menu_version": order.menu_version,
        "status": "placed",
        "created_at": now,
    }
    order_id = connection.execute(insert(sql.ORDERS).returning(sql.ORDERS.c.id), row).scalar_one()
    lines = [
        {
            "order_id": order_id,
            "position": position,
            "tenant": claimed.tenant,
            "sku": line.sku,
            "name": line.name,
            "options": line.options,
            "notes": line.notes,
            "quantity": line.quantity,
            "unit_price": line.unit_price,
            "total": line.total,
        }
        for position, line in enumerate(order.lines)
    ]
    connection.execute(insert(sql.ORDER_LINES), lines)


def _queue(
    connection: Connection, owner: str, claimed: Claim, messages: tuple[str, ...], now: int
) -> list[PendingSend]:
    sends: list[PendingSend] = []
    for position, payload in enumerate(messages):
        row = {
            "tenant": claimed.tenant,
            "phone_number_id": claimed.phone_number_id,
            "customer_id": claimed.customer_id,
            "inbox_id": claimed.inbox_id,
            "position": position,
            "payload": payload,
            "state": "queued",
            "owner": owner,
            "attempts": 0,
            "ambiguous": 0,
            "created_at": now,
            "updated_at": now,
        }
        outbox_id = connection.execute(insert(sql.OUTBOX).returning(sql.OUTBOX.c.id), row).scalar_one()
        sends.append(
            PendingSend(outbox_id, claimed.tenant, claimed.phone_number_id, claimed.customer_id, payload, attempts=0)
        )
    return sends
