"""Taking in what the router delivers: messages, statuses and other changes, each at most once."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, Table, bindparam, or_, update

from comanda_store import sql
from comanda_store.identity import Aliases, customer_of
from comanda_store.records import EventItem, InboundItem, Ingested, StatusItem

_RANKED_STATES = ("sent", "delivered", "read", "played")


def ingest(
    connection: Connection, cache: Aliases, owner: str, items: Sequence[InboundItem | StatusItem | EventItem]
) -> list[Ingested]:
    """Store items in order; the answer to each says whether it is new. All become durable with the same commit."""
    now = sql.now_ms(connection)
    answers: list[Ingested] = []
    for item in items:
        match item:
            case InboundItem():
                answers.append(_take_message(connection, cache, owner, item, now))
            case StatusItem():
                answers.append(Ingested(duplicate=not _take_status(connection, item, now)))
            case EventItem():
                answers.append(Ingested(duplicate=not _take_event(connection, item, now)))
    return answers


def _take_message(connection: Connection, cache: Aliases, owner: str, item: InboundItem, now: int) -> Ingested:
    customer = customer_of(connection, cache, item, now)
    row = {
        "tenant": item.tenant,
        "phone_number_id": item.phone_number_id,
        "wamid": item.wamid,
        "customer_id": customer,
        "type": item.type[:32],
        "payload": item.payload,
        "contact": item.contact,
        "sent_at": item.sent_at,
        "received_at": now,
        "state": "silent" if item.silent else "pending",
        "owner": owner,
        "attempts": 0,
    }
    new = _insert_new(connection, sql.INBOX, row)
    return Ingested(duplicate=not new, customer_id=customer if new and not item.silent else 0)


def _take_status(connection: Connection, item: StatusItem, now: int) -> bool:
    row = {
        "phone_number_id": item.phone_number_id,
        "wamid": item.wamid,
        "status": item.status[:16],
        "tenant": item.tenant,
        "payload": item.payload,
        "received_at": now,
    }
    if not _insert_new(connection, sql.STATUSES, row):
        return False
    if item.category:
        cost = {
            "phone_number_id": item.phone_number_id,
            "wamid": item.wamid,
            "tenant": item.tenant,
            "category": item.category[:40],
            "type": item.pricing_type[:40],
            "pricing_model": item.pricing_model[:8],
            "at": now,
        }
        _insert_new(connection, sql.COSTS, cost)
    _apply_status(connection, item, now)
    return True


_raise_rank = (
    update(sql.OUTBOX)
    .where(
        sql.OUTBOX.c.phone_number_id == bindparam("number"),
        or_(sql.OUTBOX.c.wamid == bindparam("status_wamid"), sql.OUTBOX.c.id == bindparam("tagged")),
        sql.OUTBOX.c.state.in_(bindparam("lower", expanding=True)),
    )
    .values(state=bindparam("new_state"), wamid=bindparam("status_wamid"), updated_at=bindparam("now"))
)

_mark_failed = (
    update(sql.OUTBOX)
    .where(
        sql.OUTBOX.c.phone_number_id == bindparam("number"),
        or_(sql.OUTBOX.c.wamid == bindparam("status_wamid"), sql.OUTBOX.c.id == bindparam("tagged")),
        sql.OUTBOX.c.state.in_(["sending", "unknown", "sent"]),
    )
    .values(state="failed", error_code=bindparam("code"), updated_at=bindparam("now"))
)


def _apply_status(connection: Connection, item: StatusItem, now: int) -> None:
    """Raise the sent message's state, never lower it; a status also settles a send whose outcome was unknown."""
    found = {"number": item.phone_number_id, "status_wamid": item.wamid, "tagged": item.outbox_id, "now": now}
    if item.status == "failed":
        connection.execute(_mark_failed, found | {"code": item.error_code})
    elif item.rank:
        lower = ["sending", "unknown", "queued", *_RANKED_STATES[: item.rank - 1]]
        connection.execute(_raise_rank, found | {"new_state": item.status, "lower": lower})


def _take_event(connection: Connection, item: EventItem, now: int) -> bool:
    row = {
        "phone_number_id": item.phone_number_id,
        "key": item.key[:160],
        "tenant": item.tenant,
        "field": item.field[:64],
        "payload": item.payload,
        "received_at": now,
    }
    return _insert_new(connection, sql.EVENTS, row)


def _insert_new(connection: Connection, table: Table, row: dict[str, object]) -> bool:
    return connection.execute(sql.insert(connection, table).on_conflict_do_nothing(), row).rowcount == 1
