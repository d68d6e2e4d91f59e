"""Sends: the only step that is not a transaction, so its beginning and its end are each written down."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, select, update

from comanda_store import sql
from comanda_store.records import PendingSend, SendResult

_begin = (
    update(sql.OUTBOX)
    .where(
        sql.OUTBOX.c.id == bindparam("outbox_id"),
        sql.OUTBOX.c.state == "queued",
        sql.OUTBOX.c.owner == bindparam("sender"),
    )
    .values(state="sending", attempts=sql.OUTBOX.c.attempts + 1, updated_at=bindparam("now"))
)
_end = (
    update(sql.OUTBOX)
    .where(
        sql.OUTBOX.c.id == bindparam("outbox_id"),
        sql.OUTBOX.c.state == "sending",
        sql.OUTBOX.c.owner == bindparam("sender"),
    )
    .values(
        state=bindparam("new_state"),
        wamid=bindparam("new_wamid"),
        error_code=bindparam("code"),
        ambiguous=sql.OUTBOX.c.ambiguous + bindparam("doubt"),
        updated_at=bindparam("now"),
    )
)
_best_status = select(sql.STATUSES.c.status).where(
    sql.STATUSES.c.phone_number_id == bindparam("number"), sql.STATUSES.c.wamid == bindparam("sent_wamid")
)
_RANKS = {"sent": 1, "delivered": 2, "read": 3, "played": 4}


def begin_send(connection: Connection, owner: str, outbox_id: int) -> bool:
    """Write down that a send begins; False when it is no longer this pod's to send."""
    values = {"outbox_id": outbox_id, "sender": owner, "now": sql.now_ms(connection)}
    return connection.execute(_begin, values).rowcount == 1


def finish_send(connection: Connection, owner: str, send: PendingSend, result: SendResult) -> None:
    """Write down how a send ended. A status that came before this is not lost: the higher of the two states stays."""
    state: str = result.state
    if result.state == "sent":
        found = connection.execute(_best_status, {"number": send.phone_number_id, "sent_wamid": result.wamid}).scalars()
        state = max((status for status in ("sent", *found) if status in _RANKS), key=_RANKS.__getitem__)
    values = {
        "outbox_id": send.outbox_id,
        "sender": owner,
        "new_state": state,
        "new_wamid": result.wamid or None,
        "code": result.error_code or None,
        "doubt": int(result.state == "unknown"),
        "now": sql.now_ms(connection),
    }
    connection.execute(_end, values)
