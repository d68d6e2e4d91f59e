"""Which pods are alive, by the database's clock, what the dead ones left behind, and what is due or old."""

from __future__ import annotations

from sqlite3 import Connection

from comanda_store.records import Backlog, PendingSend, Takeover, TenantScope, Waiting
from comanda_store.requests import SWEEP_LIMIT, Worker

_LIVING = "(SELECT incarnation FROM workers WHERE seen_at > :lease)"
_OPEN = "is_open"
"""The very word of the partial index `outbox_open`: SQLite uses it only for a statement that says the same."""


def heartbeat(database: Connection, worker: Worker, now: int) -> None:
    """Show that this process is alive.

    A pod of the same name is one process at a time, so its earlier incarnations are dead at once, not after a lease.
    """
    database.execute("DELETE FROM workers WHERE pod = ? AND incarnation <> ?", (worker.pod, worker.incarnation))
    database.execute("DELETE FROM workers WHERE seen_at < ?", (now - 100 * worker.timing.lease_ms,))
    database.execute(
        "INSERT INTO workers (incarnation, pod, seen_at) VALUES (?, ?, ?)"
        " ON CONFLICT (incarnation) DO UPDATE SET seen_at = excluded.seen_at",
        (worker.incarnation, worker.pod, now),
    )


def leave(database: Connection, worker: Worker) -> None:
    """Say goodbye: what this process still owns is anybody's at once."""
    database.execute("DELETE FROM workers WHERE incarnation = ?", (worker.incarnation,))


def take_over(database: Connection, worker: Worker, now: int) -> Takeover:
    """Take what dead pods left, or this one forgot: pending and unsent messages, and sends nobody saw the end of.

    A send that was under way when its pod died is of unknown outcome; a status may still settle it. Once
    `Timing.unknown_ms` have passed without one, it is queued again: a question asked twice is better than one never
    asked.
    """
    values: dict[str, str | int] = {
        "owner": worker.incarnation,
        "now": now,
        "lease": now - worker.timing.lease_ms,
        "forgotten": now - worker.timing.forgotten_ms,
        "unsettled": now - worker.timing.unknown_ms,
        "limit": SWEEP_LIMIT,
    }
    return Takeover(conversations=_take_messages(database, values), sends=_take_sends(database, values))


def _take_messages(database: Connection, values: dict[str, str | int]) -> tuple[Waiting, ...]:
    rows = database.execute(
        "UPDATE inbox SET owner = :owner WHERE id IN (SELECT id FROM inbox WHERE state = 'pending' AND"
        f" (owner NOT IN {_LIVING} OR (owner = :owner AND received_at < :forgotten)) LIMIT :limit)"
        " RETURNING tenant, phone_number_id, customer_id",
        values,
    ).fetchall()
    return _waiting(rows)


def _waiting(rows: list[tuple[str, str, int]]) -> tuple[Waiting, ...]:
    return tuple(dict.fromkeys(Waiting(TenantScope(tenant, number), customer) for tenant, number, customer in rows))


def _take_sends(database: Connection, values: dict[str, str | int]) -> tuple[PendingSend, ...]:
    left = f"(owner NOT IN {_LIVING} OR (owner = :owner AND updated_at < :forgotten))"
    database.execute(
        "UPDATE outbox SET state = 'unknown', ambiguous = ambiguous + 1, owner = :owner, updated_at = :now"
        f" WHERE {_OPEN} AND state = 'sending' AND {left}",
        values,
    )
    unsettled = f"{_OPEN} AND state = 'unknown' AND owner = :owner AND updated_at < :unsettled"
    # Sent once more, not for ever: a message that was lost from sight twice stays unknown, for staff to see.
    database.execute(
        f"UPDATE outbox SET owner = '', updated_at = :now WHERE {unsettled} AND ambiguous > 1",
        values,
    )
    again = database.execute(
        f"UPDATE outbox SET state = 'queued', updated_at = :now WHERE {unsettled} AND ambiguous <= 1 RETURNING id",
        values,
    ).fetchall()
    database.execute(
        f"UPDATE outbox SET owner = :owner WHERE {_OPEN} AND state = 'unknown' AND owner <> ''"
        f" AND owner NOT IN {_LIVING}",
        values,
    )
    moved = database.execute(
        f"UPDATE outbox SET owner = :owner WHERE id IN"
        f" (SELECT id FROM outbox WHERE {_OPEN} AND state = 'queued' AND {left} LIMIT :limit) RETURNING id",
        values,
    ).fetchall()
    found = [
        database.execute(
            "SELECT id, tenant, phone_number_id, customer_id, payload, attempts, ambiguous FROM outbox WHERE id = ?",
            outbox_id,
        ).fetchone()
        for outbox_id in sorted({*again, *moved})
    ]
    return tuple(PendingSend(*row) for row in found)


def fire_timers(database: Connection, worker: Worker, now: int) -> tuple[Waiting, ...]:
    """Turn timers that are due into messages; returns the conversations that have work by it."""
    due = database.execute(
        "DELETE FROM timers WHERE id IN (SELECT id FROM timers WHERE due_at <= ? ORDER BY due_at LIMIT ?)"
        " RETURNING id, tenant, phone_number_id, customer_id, due_at, payload",
        (now, SWEEP_LIMIT),
    ).fetchall()
    rows = [
        (tenant, number, f"timer:{timer}", customer, payload, due_at, now, worker.incarnation)
        for timer, tenant, number, customer, due_at, payload in due
    ]
    database.executemany(
        "INSERT INTO inbox (tenant, phone_number_id, wamid, customer_id, type, payload, contact, sent_at, received_at,"
        " state, owner, attempts) VALUES (?, ?, ?, ?, 'timer', ?, 'null', ?, ?, 'pending', ?, 0)"
        " ON CONFLICT DO NOTHING",
        rows,
    )
    return _waiting([(tenant, number, customer) for _, tenant, number, customer, _, _ in due])


def backlog(database: Connection, now: int) -> Backlog:
    """Return what waits."""
    pending, oldest = database.execute(
        "SELECT count(*), min(received_at) FROM inbox WHERE state = 'pending'"
    ).fetchone()
    (parked,) = database.execute("SELECT count(*) FROM inbox WHERE state = 'parked'").fetchone()
    (unknown,) = database.execute(
        f"SELECT count(*) FROM outbox WHERE {_OPEN} AND state = 'unknown' AND owner = ''"
    ).fetchone()
    return Backlog(pending, now - oldest if oldest is not None else 0, parked, unknown)


_OLD = "i.received_at < :messages AND i.payload <> ''"
"""A message without a text is an order's and stays. The very words of the partial index `inbox_received`."""
_OLD_SENDS = f"SELECT o.id FROM inbox i JOIN outbox o ON o.inbox_id = i.id WHERE {_OLD} AND NOT o.is_open LIMIT :limit"
_ORDERED = (
    f"SELECT i.id FROM inbox i JOIN orders o ON o.inbox_id = i.id WHERE {_OLD}"
    " AND NOT EXISTS (SELECT 1 FROM outbox s WHERE s.inbox_id = i.id) LIMIT :limit"
)
_OLD_MESSAGES = (
    f"SELECT i.id FROM inbox i WHERE {_OLD} AND i.state NOT IN ('pending', 'parked')"
    " AND NOT EXISTS (SELECT 1 FROM orders o WHERE o.inbox_id = i.id)"
    " AND NOT EXISTS (SELECT 1 FROM outbox s WHERE s.inbox_id = i.id) LIMIT :limit"
)
_OLD_EVENTS = "SELECT rowid FROM account_events WHERE received_at < :messages LIMIT :limit"
_PURGES = (
    "DELETE FROM statuses WHERE rowid IN (SELECT rowid FROM statuses WHERE received_at < :statuses LIMIT :limit)",
    f"DELETE FROM account_events WHERE rowid IN ({_OLD_EVENTS})",
    f"DELETE FROM outbox WHERE id IN ({_OLD_SENDS})",
    # A message that became an order keeps its row and loses its text.
    f"UPDATE inbox SET payload = '', contact = '' WHERE id IN ({_ORDERED})",
    f"DELETE FROM inbox WHERE id IN ({_OLD_MESSAGES})",
)


def purge(database: Connection, statuses_before: int, messages_before: int, limit: int) -> int:
    """Throw away one slice of what is older than its keeping time; returns the rows that went."""
    values = {"statuses": statuses_before, "messages": messages_before, "limit": limit}
    return sum(database.execute(statement, values).rowcount for statement in _PURGES)
