"""Turns: claim a conversation's next message, then write everything the turn changed, or nothing."""

from __future__ import annotations

from sqlite3 import Connection

from comanda_store.errors import FencedError
from comanda_store.records import Busy, Claim, Finished, NewOrder, PendingSend, TenantScope
from comanda_store.requests import MAX_ATTEMPTS, FinishTurn, ReleaseTurn, Worker
from comanda_store.sqlite.outbox import begin_send

_alias = "(SELECT value FROM customer_aliases WHERE customer_id = i.customer_id AND kind = '%s' ORDER BY since DESC)"
_next_pending = (
    "SELECT i.id, i.wamid, i.type, i.payload, i.contact, i.sent_at, i.received_at, i.attempts, i.owner,"
    " c.state, c.flow_version, c.version, c.handover_until,"
    f" {_alias % 'phone'}, {_alias % 'user_id'}"
    " FROM inbox i JOIN conversations c ON c.customer_id = i.customer_id"
    " WHERE i.customer_id = ? AND i.state = 'pending' AND i.tenant = ? AND c.tenant = i.tenant"
    # Meta's clock has a grain of a second, so the order of arrival decides within it.
    " ORDER BY i.sent_at, i.id LIMIT 1"
)
_two_pending = (
    "SELECT count(*) FROM (SELECT 1 FROM inbox WHERE customer_id = ? AND state = 'pending' AND tenant = ? LIMIT 2)"
)
_count_try = "UPDATE inbox SET attempts = attempts + 1, owner = ? WHERE id = ?"
_park = "UPDATE inbox SET state = 'parked', done_at = ? WHERE id = ?"


def claim(database: Connection, worker: Worker, scope: TenantScope, customer: int, now: int) -> Claim | Busy | None:
    """Take the conversation's oldest pending message and count the try; None when nothing is pending.

    A message that has used up its tries is parked and the next one is taken. A message of another living pod answers
    `Busy`: the conversation stays serial across pods. A dead pod's message is taken over.
    """
    while True:
        row = database.execute(_next_pending, (customer, scope.tenant)).fetchone()
        if row is None:
            return None
        inbox_id, wamid, type_, payload, contact, sent_at, received_at, attempts, claimed_by, *conversation = row
        if claimed_by != worker.incarnation and _is_alive(database, claimed_by, now - worker.timing.lease_ms):
            return Busy()
        if attempts < MAX_ATTEMPTS:
            break
        database.execute(_park, (now, inbox_id))
    database.execute(_count_try, (worker.incarnation, inbox_id))
    state, flow_version, version, handover_until, phone, user_id = conversation
    return Claim(
        inbox_id=inbox_id,
        wamid=wamid,
        tenant=scope.tenant,
        phone_number_id=scope.phone_number_id,
        customer_id=customer,
        phone=phone or "",
        user_id=user_id or "",
        type=type_,
        payload=payload,
        contact=contact,
        sent_at=sent_at,
        received_at=received_at,
        attempts=attempts + 1,
        state=state,
        flow_version=flow_version,
        version=version,
        handover_until=handover_until,
    )


def claim_alone(database: Connection, worker: Worker, scope: TenantScope, customer: int, now: int) -> Claim | None:
    """Take the conversation's one pending message, just stored by this pod; None when others are pending too.

    A turn that is under way leaves its message pending until it ends, so what is alone here disturbs no turn.
    """
    (pending,) = database.execute(_two_pending, (customer, scope.tenant)).fetchone()
    taken = claim(database, worker, scope, customer, now) if pending == 1 else None
    return taken if isinstance(taken, Claim) else None


def _is_alive(database: Connection, incarnation: str, since: int) -> bool:
    seen = database.execute("SELECT 1 FROM workers WHERE incarnation = ? AND seen_at > ?", (incarnation, since))
    return seen.fetchone() is not None


_advance = (
    "UPDATE conversations SET state = ?, flow_version = ?, handover_until = ?, version = version + 1,"
    " last_inbound_at = max(last_inbound_at, ?) WHERE customer_id = ? AND version = ? AND tenant = ?"
)
_done = (
    "UPDATE inbox SET state = 'done', done_at = ? WHERE id = ? AND state = 'pending' AND owner = ? AND tenant = ?"
    " AND customer_id = ? AND (SELECT version FROM conversations WHERE customer_id = inbox.customer_id) = ?"
)
_add_send = (
    "INSERT INTO outbox (tenant, phone_number_id, customer_id, inbox_id, position, payload, state, owner, attempts,"
    " ambiguous, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, 'queued', ?, 0, 0, ?, ?)"
)
_add_timer = "INSERT INTO timers (tenant, phone_number_id, customer_id, due_at, payload) VALUES (?, ?, ?, ?, ?)"


def finish(database: Connection, worker: Worker, request: FinishTurn, now: int) -> Finished | FencedError:
    """Write a turn: message done, new state, order, outgoing messages; then take the conversation's next message.

    Answers a `FencedError`, and writes nothing, when another pod has taken the message or moved the conversation on.
    """
    claimed, result = request.claim, request.result
    tenant, customer, owner = claimed.tenant, claimed.customer_id, worker.incarnation
    done = database.execute(_done, (now, claimed.inbox_id, owner, tenant, customer, claimed.version)).rowcount
    if done != 1:
        return FencedError("Another pod has this conversation; the turn was dropped.")
    state = (result.state, result.flow_version, result.handover_until, claimed.wrote_at)
    database.execute(_advance, (*state, customer, claimed.version, tenant))
    if result.order is not None:
        _write_order(database, claimed, result.order, now)
    for timer in result.timers:
        row = (tenant, claimed.phone_number_id, customer, now + timer.after_ms, timer.payload)
        database.execute(_add_timer, row)
    sends = tuple(_queue(database, owner, claimed, each, now) for each in enumerate(result.messages))
    begun = begin_send(database, owner, sends[0], request.pace, now) if sends and request.pace else None
    return Finished(sends, claim(database, worker, claimed.scope, customer, now), begun)


def _queue(database: Connection, owner: str, claimed: Claim, message: tuple[int, str], now: int) -> PendingSend:
    position, payload = message
    row = (claimed.tenant, claimed.phone_number_id, claimed.customer_id, claimed.inbox_id, position, payload, owner)
    outbox_id = database.execute(_add_send, (*row, now, now)).lastrowid
    assert outbox_id is not None  # noqa: S101 - SQLite gives every insert its row id
    return PendingSend(outbox_id, claimed.tenant, claimed.phone_number_id, claimed.customer_id, payload, attempts=0)


_add_order = (
    "INSERT INTO orders (tenant, code, inbox_id, customer_id, customer_name, fulfilment, address, latitude, longitude,"
    " notes, currency, subtotal, delivery_fee, total, menu_version, payment, status, created_at)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'placed', ?)"
)
_add_line = (
    "INSERT INTO order_lines (order_id, position, tenant, sku, name, options, notes, quantity, unit_price, total)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


def _write_order(database: Connection, claimed: Claim, order: NewOrder, now: int) -> None:
    row = (
        claimed.tenant,
        order.code,
        claimed.inbox_id,
        claimed.customer_id,
        order.customer_name,
        order.fulfilment,
        order.address,
        order.latitude,
        order.longitude,
        order.notes,
        order.currency,
        order.subtotal,
        order.delivery_fee,
        order.total,
        order.menu_version,
        order.payment,
        now,
    )
    order_id = database.execute(_add_order, row).lastrowid
    lines = [
        (order_id, position, claimed.tenant, line.sku, line.name, line.options, line.notes)
        + (line.quantity, line.unit_price, line.total)
        for position, line in enumerate(order.lines)
    ]
    database.executemany(_add_line, lines)


def release(database: Connection, owner: str, request: ReleaseTurn) -> None:
    """Note why a turn has no result; a try that was not at fault is given back."""
    database.execute(
        "UPDATE inbox SET problem = ?, attempts = attempts - ? WHERE id = ? AND tenant = ? AND owner = ?"
        " AND state = 'pending'",
        (request.problem, int(not request.counted), request.claim.inbox_id, request.claim.tenant, owner),
    )
