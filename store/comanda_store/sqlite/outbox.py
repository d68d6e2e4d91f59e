"""Sends: the only step that is not a transaction, so its beginning and its end are each written down."""

from __future__ import annotations

from sqlite3 import Connection

from comanda_store.records import Begun, Held, Pace, PendingSend, Refused, SendResult
from comanda_store.requests import AHEAD_MS, BEHIND_MS, NEAR_MS, PAIR_BURST, PAIR_MS, WINDOW_MS

_look = (
    "SELECT EXISTS (SELECT 1 FROM outbox e WHERE e.customer_id = o.customer_id AND e.id < o.id"
    " AND e.is_open AND e.state <> 'unknown'),"
    " o.due_at, c.pair_free_at, c.last_inbound_at, k.sends_to, k.unreachable_code, coalesce(n.free_at_us, 0)"
    " FROM outbox o JOIN conversations c ON c.customer_id = o.customer_id JOIN customers k ON k.id = o.customer_id"
    " LEFT JOIN numbers n ON n.phone_number_id = o.phone_number_id"
    " WHERE o.id = ? AND o.tenant = ? AND o.state = 'queued' AND o.owner = ?"
)
_close = "UPDATE outbox SET state = 'failed', error_code = 131047, updated_at = ? WHERE id = ?"
_begin = "UPDATE outbox SET state = 'sending', attempts = attempts + 1, due_at = 0, updated_at = ? WHERE id = ?"
_due = "UPDATE outbox SET due_at = ? WHERE id = ?"
_keep_place = (
    "INSERT INTO numbers (phone_number_id, tenant, free_at_us) VALUES (?, ?, ?)"
    " ON CONFLICT (phone_number_id) DO UPDATE SET free_at_us = excluded.free_at_us"
)
_spend_pair = "UPDATE conversations SET pair_free_at = ? WHERE customer_id = ?"


def begin_send(database: Connection, owner: str, send: PendingSend, pace: Pace, now: int) -> Begun | Held | Refused:
    """Write down that a send begins, if it may leave: still ours, in the window and its turn, within both paces."""
    row = database.execute(_look, (send.outbox_id, send.tenant, owner)).fetchone()
    if row is None:
        return Refused("lost")
    is_behind, due_at, pair_free_at, last_inbound_at, sends_to, unreachable, free_at_us = row
    if not pace.template and last_inbound_at + WINDOW_MS <= now:
        database.execute(_close, (now, send.outbox_id))
        return Refused("closed")
    # An earlier one of its conversation, of whichever pod, goes first.
    owed = BEHIND_MS if is_behind else max(pair_free_at, now) - now - (PAIR_BURST - 1) * PAIR_MS
    if owed > 0:
        return Held(owed, "customer")
    if not due_at:
        free_at_us = max(free_at_us, now * 1000)
        due_at = free_at_us // 1000
        if due_at - now > AHEAD_MS:
            return Held(due_at - now - AHEAD_MS // 2, "number")
        place = (send.phone_number_id, send.tenant, free_at_us + 1_000_000 // pace.per_second)
        database.execute(_keep_place, place)
    wait_ms = max(0, due_at - now)
    if wait_ms > NEAR_MS:
        database.execute(_due, (due_at, send.outbox_id))
        return Held(wait_ms, "place")
    database.execute(_spend_pair, (max(pair_free_at, now) + PAIR_MS, send.customer_id))
    database.execute(_begin, (now, send.outbox_id))
    return Begun(wait_ms, sends_to, unreachable)


_best_status = (
    "SELECT status FROM statuses WHERE phone_number_id = ? AND wamid = ? AND tenant = ?"
    " AND status IN ('sent', 'delivered', 'read', 'played')"
)
_end = (
    "UPDATE outbox SET state = ?, wamid = coalesce(nullif(?, ''), wamid), error_code = ?, ambiguous = ambiguous + ?,"
    " attempts = attempts - ?, updated_at = ? WHERE id = ? AND tenant = ? AND state = 'sending' AND owner = ?"
)
_mark = "UPDATE customers SET unreachable_code = ? WHERE id = ? AND tenant = ?"
_works = "UPDATE customers SET sends_to = ? WHERE id = ? AND tenant = ?"
_pause = "UPDATE numbers SET free_at_us = max(free_at_us, ?) WHERE phone_number_id = ? AND tenant = ?"
_RANKS = {"sent": 1, "delivered": 2, "read": 3, "played": 4}


def end_send(database: Connection, owner: str, send: PendingSend, result: SendResult, now: int) -> None:
    """Write down how a send ended. A status that came before this is not lost: the higher of the two states stays."""
    state: str = result.state
    if result.state == "sent":
        found = database.execute(_best_status, (send.phone_number_id, result.wamid, send.tenant)).fetchall()
        state = max(("sent", *(status for (status,) in found)), key=_RANKS.__getitem__)
    change = (state, result.wamid, result.error_code or None, int(result.state == "unknown"))
    database.execute(_end, (*change, int(not result.made), now, send.outbox_id, send.tenant, owner))
    if result.unreachable is not None:
        database.execute(_mark, (result.unreachable, send.customer_id, send.tenant))
    if result.sends_to:
        database.execute(_works, (result.sends_to, send.customer_id, send.tenant))
    if result.pause_ms:
        database.execute(_pause, ((now + result.pause_ms) * 1000, send.phone_number_id, send.tenant))
