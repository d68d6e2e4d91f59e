"""Taking in what the router delivers: messages, statuses and other changes, each at most once."""

from __future__ import annotations

from dataclasses import replace
from sqlite3 import Connection

from comanda_store.records import EventItem, InboundItem, Ingested, Item, StatusItem, TenantScope
from comanda_store.requests import Aliases, Worker
from comanda_store.sqlite.identity import customer_of, forget, link, pause
from comanda_store.sqlite.turns import claim_alone

_MESSAGE = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)"
_add_messages = {
    count: "INSERT INTO inbox (tenant, phone_number_id, wamid, customer_id, type, payload, contact, sent_at,"
    f" received_at, state, owner, attempts) VALUES {', '.join([_MESSAGE] * count)} ON CONFLICT DO NOTHING"
    for count in (64, 16, 4, 1)
}
"""Statements for so many messages at once: Python's lock is given up once a statement, not once a row."""
_last_message = "SELECT coalesce(max(id), 0) FROM inbox"
_added_since = "SELECT phone_number_id, wamid FROM inbox WHERE id > ?"
_alone = "SELECT count(*) FROM customers WHERE merged_into = 0 AND id IN (SELECT value FROM json_each(?))"
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


def ingest(database: Connection, cache: Aliases, worker: Worker, items: tuple[Item, ...], now: int) -> list[Ingested]:
    """Store items, messages first; the answer to each, in the order given, says whether it is new.

    All become durable with the same commit, the claims of messages that are to be answered at once with them.
    """
    messages = [item for item in items if isinstance(item, InboundItem)]
    taken = iter(_take_messages(database, cache, worker.incarnation, messages, now))
    answers: list[Ingested] = []
    for item in items:
        match item:
            case InboundItem():
                answers.append(next(taken))
            case StatusItem():
                answers.append(Ingested(duplicate=not _take_status(database, item, now)))
            case EventItem():
                answers.append(Ingested(duplicate=not _take_event(database, cache, item, now)))
    return [_begun(database, worker, *each, now) for each in zip(items, answers, strict=True)]


def _begun(database: Connection, worker: Worker, item: Item, stored: Ingested, now: int) -> Ingested:
    if not (isinstance(item, InboundItem) and item.at_once and stored.customer_id):
        return stored
    scope = TenantScope(item.tenant, item.phone_number_id)
    return replace(stored, claim=claim_alone(database, worker, scope, stored.customer_id, now))


def _take_messages(
    database: Connection, cache: Aliases, owner: str, items: list[InboundItem], now: int
) -> list[Ingested]:
    customers = _customers(database, cache, items, now)
    new = _add(database, owner, items, customers, now)
    answers: list[Ingested] = []
    for item, customer in zip(items, customers, strict=True):
        # Of two alike in one batch the first is the new one.
        fresh = (item.phone_number_id, item.wamid) in new
        new.discard((item.phone_number_id, item.wamid))
        answers.append(Ingested(not fresh, customer if fresh and item.state == "pending" else 0))
        if fresh:
            for told in item.links:
                link(database, cache, item.tenant, told, now)
    return answers


def _customers(database: Connection, cache: Aliases, items: list[InboundItem], now: int) -> list[int]:
    """Return whose each message is, following merges."""
    customers = [customer_of(database, cache, item, now) for item in items]
    distinct = set(customers)
    (alone,) = database.execute(_alone, (str(list(distinct)),)).fetchone()
    if alone == len(distinct):
        return customers
    return [_living(database, cache, item, customer, now) for item, customer in zip(items, customers, strict=True)]


def _living(database: Connection, cache: Aliases, item: InboundItem, customer: int, now: int) -> int:
    known = database.execute(_merged_into, (customer,)).fetchone()
    if known is None:
        # What a pod remembers may be gone: a database that was restored knows less than its pods.
        forget(cache, item)
        return customer_of(database, cache, item, now)
    return int(known[0]) or customer


def _add(
    database: Connection, owner: str, items: list[InboundItem], customers: list[int], now: int
) -> set[tuple[str, str]]:
    """Insert messages; returns number and wamid of those that are new."""
    (last,) = database.execute(_last_message).fetchone()
    added = start = 0
    for count, statement in _add_messages.items():
        while len(items) - start >= count:
            values: list[str | int] = []
            for item, customer in zip(items[start : start + count], customers[start : start + count], strict=True):
                values += (item.tenant, item.phone_number_id, item.wamid, customer, item.type[:32], item.payload)
                values += (item.contact, item.sent_at, now, item.state, owner)
            added += database.execute(statement, values).rowcount
            start += count
    if added == len(items):
        return {(item.phone_number_id, item.wamid) for item in items}
    return set(database.execute(_added_since, (last,)))


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
