"""Which pods are alive, by the database's clock, and what the dead ones left behind."""

from __future__ import annotations

from sqlalchemy import Connection, Select, and_, bindparam, delete, or_, select, text, update

from comanda_store import sql
from comanda_store.records import PendingSend, Takeover, Waiting

LEASE_MS = 5_000
"""A pod whose heartbeat is older than this is dead: its messages are anybody's. Heartbeats come every second."""

UNKNOWN_MS = 10_000
"""How long a status may take to settle a send of unknown outcome before the message is sent once more."""

FORGOTTEN_MS = 30_000
"""Work of a pod's own that is older than this is handed to it again: if it is busy with it that changes nothing, and if
a task of it has died the work is not lost. Longer than any send may take."""

_TAKEOVER_LIMIT = 500

_OPEN = text("outbox.state IN ('queued', 'sending', 'unknown')")
"""The very words of the partial index `outbox_open`: SQLite uses it only for a statement that says the same."""

_alive = select(sql.WORKERS.c.seen_at).where(sql.WORKERS.c.incarnation == bindparam("incarnation"))


def is_alive(connection: Connection, incarnation: str) -> bool:
    """Tell whether a pod's process has shown itself within the lease."""
    seen_at = connection.execute(_alive, {"incarnation": incarnation}).scalar_one_or_none()
    return seen_at is not None and seen_at > sql.now_ms(connection) - LEASE_MS


def heartbeat(connection: Connection, pod: str, incarnation: str) -> None:
    """Show that this process is alive.

    A pod of the same name is one process at a time, so its earlier incarnations are dead at once, not after a lease.
    """
    now = sql.now_ms(connection)
    workers = sql.WORKERS
    earlier = delete(workers).where(workers.c.pod == pod, workers.c.incarnation != incarnation)
    connection.execute(earlier)
    connection.execute(delete(workers).where(workers.c.seen_at < now - 100 * LEASE_MS))
    beat = sql.insert(connection, workers).values(incarnation=incarnation, pod=pod, seen_at=now)
    connection.execute(beat.on_conflict_do_update(index_elements=["incarnation"], set_={"seen_at": now}))


def leave(connection: Connection, incarnation: str) -> None:
    """Say goodbye: what this process still owns is anybody's at once."""
    connection.execute(delete(sql.WORKERS).where(sql.WORKERS.c.incarnation == incarnation))


def take_over(connection: Connection, owner: str) -> Takeover:
    """Take what dead pods left, or this one forgot: pending and unsent messages, and sends nobody saw the end of.

    A send that was under way when its pod died is of unknown outcome; a status may still settle it. Once
    `UNKNOWN_MS` have passed without one, it is queued again: a question asked twice is better than one never asked.
    """
    now = sql.now_ms(connection)
    living = select(sql.WORKERS.c.incarnation).where(sql.WORKERS.c.seen_at > now - LEASE_MS)
    return Takeover(
        conversations=_take_messages(connection, owner, living, now), sends=_take_sends(connection, owner, living, now)
    )


def _take_messages(connection: Connection, owner: str, living: Select[tuple[str]], now: int) -> tuple[Waiting, ...]:
    inbox = sql.INBOX
    forgotten = and_(inbox.c.owner == owner, inbox.c.received_at < now - FORGOTTEN_MS)
    orphans = (
        select(inbox.c.id)
        .where(inbox.c.state == sql.PENDING, or_(inbox.c.owner.not_in(living), forgotten))
        .limit(_TAKEOVER_LIMIT)
    )
    taken = (
        update(inbox)
        .where(inbox.c.id.in_(orphans))
        .values(owner=owner)
        .returning(inbox.c.customer_id, inbox.c.phone_number_id)
    )
    return tuple(dict.fromkeys(Waiting(*row) for row in connection.execute(taken)))


def _take_sends(connection: Connection, owner: str, living: Select[tuple[str]], now: int) -> tuple[PendingSend, ...]:
    outbox = sql.OUTBOX
    abandoned = outbox.c.owner.not_in(living)
    left = or_(abandoned, and_(outbox.c.owner == owner, outbox.c.updated_at < now - FORGOTTEN_MS))
    connection.execute(
        update(outbox)
        .where(_OPEN, outbox.c.state == sql.SENDING, left)
        .values(state="unknown", ambiguous=outbox.c.ambiguous + 1, owner=owner, updated_at=now)
    )
    unsettled = update(outbox).where(
        _OPEN, outbox.c.state == sql.UNKNOWN, outbox.c.owner == owner, outbox.c.updated_at < now - UNKNOWN_MS
    )
    # Sent once more, not for ever: a message that was lost from sight twice stays unknown, for staff to see.
    connection.execute(unsettled.where(outbox.c.ambiguous > 1).values(owner="", updated_at=now))
    again = unsettled.where(outbox.c.ambiguous <= 1).values(state="queued", updated_at=now)
    requeued = set(connection.execute(again.returning(outbox.c.id)).scalars())
    connection.execute(
        update(outbox).where(_OPEN, outbox.c.state == sql.UNKNOWN, abandoned, outbox.c.owner != "").values(owner=owner)
    )
    orphans = select(outbox.c.id).where(_OPEN, outbox.c.state == sql.QUEUED, left).limit(_TAKEOVER_LIMIT)
    moved = set(
        connection.execute(
            update(outbox).where(outbox.c.id.in_(orphans)).values(owner=owner).returning(outbox.c.id)
        ).scalars()
    )
    return _pending(connection, requeued | moved)


def _pending(connection: Connection, ids: set[int]) -> tuple[PendingSend, ...]:
    if not ids:
        return ()
    outbox = sql.OUTBOX.c
    query = (
        select(
            outbox.id,
            outbox.tenant,
            outbox.phone_number_id,
            outbox.customer_id,
            outbox.payload,
            outbox.attempts,
            outbox.ambiguous,
        )
        .where(outbox.id.in_(ids))
        .order_by(outbox.id)
    )
    return tuple(PendingSend(*row) for row in connection.execute(query))
