"""Taking in what the router delivers: messages, statuses and other changes, each at most once."""

from __future__ import annotations

from sqlite3 import Connection

from comanda_store.records import EventItem, InboundItem, Ingested, Item, StatusItem
from comanda_store.requests import Aliases
from comanda_store.sqlite.identity import customer_of, forget, link, pause

_add_message = (
    "INSERT INTO inbox (tenant, phone_number_id, wamid, customer_id, type, payload, contact, sent_at, received_at,"
    " state, owner, attempts) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0) ON CONFLICT DO NOTHING"
)
_merged_into = "SELECT merged_into FROM customers WHERE id = ?"
_add_status = (
    "INSERT INTO statuses (phone_number_id, wamid, status, tenant, payload, received_at) VALUES (?, ?, ?, ?, ?, ?)"
    " ON CONFLICT DO NOTHING"
)
_add_cost = (
    "INSERT INTO costs (phone_number_id, wamid, tenant, category, type, pricing_model, at, market, price_micros,"
    " currency, reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
)
_add_event = (
    "INSERT INTO account_events (phone_number_id, key, tenant, field, payload, received_at) VALUES (?, ?, ?, ?, ?, ?)"
    " ON CONFLICT DO NOTHING"
)
_OURS = "tenant = ? AND phone_number_id = ?"
_BELOW = {
    1: "('queued', 'sending', 'unknown')",
    2: "('queued', 'sending', 'unknown', 'sent')",
    3: "('queued', 'sending', 'unknown', 'sent', 'delivered')",
    4: "('queued', 'sending', 'unknown', 'sent', 'delivered', 'read')",
}
_raise_tagged = {
    rank: f"UPDATE outbox SET state = ?, wamid = ?, updated_at = ? WHERE {_OURS} AND id = ? AND state IN {lower}"
    for rank, lower in _BELOW.items()
}
_raise_by_wamid = {
    rank: f"UPDATE outbox SET state = ?, wamid = ?, updated_at = ? WHERE {_OURS} AND wamid = ? AND state IN {lower}"
    for rank, lower in _BELOW.items()
}
_fail = (
    f"UPDATE outbox SET state = 'failed', error_code = ?, updated_at = ? WHERE {_OURS} AND %s = ?"
    " AND state IN ('sending', 'unknown', 'sent')"
)
_fail_tagged, _fail_by_wamid = _fail % "id", _fail % "wamid"


def ingest(database: Connection, cache: Aliases, owner: str, items: tuple[Item, ...], now: int) -> list[Ingested]:
    """Store items in order; the answer to each says whether it is new. All become durable with the same commit."""
    answers: list[Ingested] = []
    for item in items:
        match item:
            case InboundItem():
                answers.append(_take_message(database, cache, owner, item, now))
            case StatusItem():
                answers.append(Ingested(duplicate=not _take_status(database, item, now)))
            case EventItem():
                answers.append(Ingested(duplicate=not _take_event(database, cache, item, now)))
    return answers


def _take_message(database: Connection, cache: Aliases, owner: str, item: InboundItem, now: int) -> Ingested:
    customer = customer_of(database, cache, item, now)
    known = database.execute(_merged_into, (customer,)).fetchone()
    if known is None:
        # What a pod remembers may be gone: a database that was restored knows less than its pods.
        forget(cache, item)
        customer = customer_of(database, cache, item, now)
    elif known[0]:
        (customer,) = known
    row = (
        item.tenant,
        item.phone_number_id,
        item.wamid,
        customer,
        item.type[:32],
        item.payload,
        item.contact,
        item.sent_at,
        now,
        item.state,
        owner,
    )
    new = database.execute(_add_message, row).rowcount == 1
    if new:
        for told in item.links:
            link(database, cache, item.tenant, told, now)
    return Ingested(duplicate=not new, customer_id=customer if new and item.state == "pending" else 0)


def _take_status(database: Connection, item: StatusItem, now: int) -> bool:
    row = (item.phone_number_id, item.wamid, item.status[:16], item.tenant, item.payload, now)
    if database.execute(_add_status, row).rowcount != 1:
        return False
    if item.category:
        cost = (item.phone_number_id, item.wamid, item.tenant, item.category[:40], item.pricing_type[:40])
        price = (item.market, item.price_micros, item.price_currency, item.price_reason)
        database.execute(_add_cost, (*cost, item.pricing_model[:8], now, *price))
    _apply_status(database, item, now)
    return True


def _apply_status(database: Connection, item: StatusItem, now: int) -> None:
    """Raise the sent message's state, never lower it; a status also settles a send whose outcome was unknown."""
    sent: tuple[str, str, str | int] = (item.tenant, item.phone_number_id, item.outbox_id or item.wamid)
    if item.status == "failed":
        database.execute(_fail_tagged if item.outbox_id else _fail_by_wamid, (item.error_code, now, *sent))
    elif item.rank:
        statement = (_raise_tagged if item.outbox_id else _raise_by_wamid)[item.rank]
        database.execute(statement, (item.status, item.wamid, now, *sent))


def _take_event(database: Connection, cache: Aliases, item: EventItem, now: int) -> bool:
    row = (item.phone_number_id, item.key[:160], item.tenant, item.field[:64], item.payload, now)
    if database.execute(_add_event, row).rowcount != 1:
        return False
    for told in item.links:
        link(database, cache, item.tenant, told, now)
    for told_pause in item.pauses:
        pause(database, item.tenant, told_pause)
    return True
