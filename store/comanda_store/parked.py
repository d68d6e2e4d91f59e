"""Messages whose handler failed too often: staff looks at them, and may let them be tried again."""

from __future__ import annotations

from sqlalchemy import Connection, insert, select, update

from comanda_store import sql
from comanda_store.records import ParkedMessage


def list_parked(connection: Connection, tenant: str) -> list[ParkedMessage]:
    """Return a tenant's parked messages, the oldest first."""
    inbox = sql.INBOX.c
    query = (
        select(inbox.id, inbox.type, inbox.received_at, inbox.problem)
        .where(inbox.tenant == tenant, inbox.state == sql.PARKED)
        .order_by(inbox.id)
    )
    return [ParkedMessage(*row) for row in connection.execute(query)]


def retry(connection: Connection, tenant: str, inbox_id: int, actor: str) -> bool:
    """Let a parked message be tried again; False when the tenant has no such one.

    Its owner is emptied, so the next look of any pod for what others left finds it.
    """
    inbox = sql.INBOX.c
    again = (
        update(sql.INBOX)
        .where(inbox.id == inbox_id, inbox.tenant == tenant, inbox.state == sql.PARKED)
        .values(state="pending", attempts=0, owner="", done_at=None)
    )
    if connection.execute(again).rowcount != 1:
        return False
    entry = {
        "tenant": tenant,
        "at": sql.now_ms(connection),
        "actor": actor,
        "action": "message.retried",
        "detail": str(inbox_id),
    }
    connection.execute(insert(sql.AUDIT), entry)
    return True
