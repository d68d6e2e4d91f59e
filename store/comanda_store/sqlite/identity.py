"""Who wrote: customers by their aliases, phone number or business-scoped user id, whichever Meta tells."""

from __future__ import annotations

from sqlite3 import Connection

from comanda_store.records import AliasLink, InboundItem, Pause
from comanda_store.requests import Aliases

_find = "SELECT customer_id FROM customer_aliases WHERE tenant = ? AND kind = ? AND value = ?"
_add_alias = "INSERT INTO customer_aliases (tenant, kind, value, customer_id, since) VALUES (?, ?, ?, ?, ?)"
_add_customer = "INSERT INTO customers (tenant, name, created_at) VALUES (?, ?, ?)"
_add_conversation = (
    "INSERT INTO conversations"
    " (customer_id, tenant, phone_number_id, flow_version, version, handover_until, last_inbound_at)"
    " VALUES (?, ?, ?, '', 0, 0, ?)"
)


def forget(cache: Aliases, item: InboundItem) -> None:
    """Ask the database for this sender again; what the cache says of them no longer holds."""
    for kind, value in (("phone", item.phone), ("user_id", item.user_id)):
        cache[item.tenant, kind, value] = 0


def customer_of(database: Connection, cache: Aliases, item: InboundItem, now: int) -> int:
    """Return the customer id of a message's sender, making the customer and missing aliases where needed.

    A sender with neither phone nor user id is a customer per message: it can be stored, never answered.
    """
    known = [(item.tenant, kind, value) for kind, value in (("phone", item.phone), ("user_id", item.user_id)) if value]
    aliases = known or [(item.tenant, "wamid", item.wamid[:160])]
    if all(cache.get(alias) for alias in aliases):
        return cache[aliases[0]]
    found = {alias: row[0] for alias in aliases if (row := database.execute(_find, alias).fetchone())}
    customer = found.get(aliases[0]) or next(iter(found.values()), 0) or _create(database, item, now)
    database.executemany(_add_alias, [(*alias, customer, now) for alias in aliases if alias not in found])
    cache.update(dict.fromkeys(aliases, customer))
    return customer


def _create(database: Connection, item: InboundItem, now: int) -> int:
    customer = database.execute(_add_customer, (item.tenant, item.name, now)).lastrowid
    assert customer is not None  # noqa: S101 - SQLite gives every insert its row id
    database.execute(_add_conversation, (customer, item.tenant, item.phone_number_id, item.sent_at))
    return customer


_add_newest = (
    "INSERT INTO customer_aliases (tenant, kind, value, customer_id, since) SELECT ?1, ?2, ?3, ?4,"
    " max(?5, 1 + coalesce(max(since), 0)) FROM customer_aliases WHERE customer_id = ?4 AND kind = ?2"
)
"""The newest of its kind is what a customer is written to; one that came in the same millisecond is no newer."""


def link(database: Connection, cache: Aliases, tenant: str, told: AliasLink, now: int) -> None:
    """Make one customer of two names: what belonged to the later customer belongs to the earlier one from now on."""
    current = (tenant, told.current_kind, told.current)
    earlier = database.execute(_find, (tenant, told.previous_kind, told.previous)).fetchone()
    later = database.execute(_find, current).fetchone()
    if earlier is None or earlier == later:
        return
    (kept,) = earlier
    if later is None:
        database.execute(_add_newest, (*current, kept, now))
    else:
        (merged,) = later
        values = (kept, tenant, merged)
        database.execute("UPDATE customers SET merged_into = ? WHERE tenant = ? AND id = ?", values)
        database.execute("UPDATE customers SET merged_into = ? WHERE tenant = ? AND merged_into = ?", values)
        database.execute("UPDATE customer_aliases SET customer_id = ? WHERE tenant = ? AND customer_id = ?", values)
        database.execute(
            "UPDATE inbox SET customer_id = ? WHERE tenant = ? AND customer_id = ? AND state = 'pending'", values
        )
    cache[current] = kept


def pause(database: Connection, tenant: str, told: Pause) -> None:
    """Let the bot be silent towards a customer, or no longer; a longer pause stays."""
    database.execute(
        "UPDATE conversations SET handover_until = CASE ?1 WHEN 0 THEN 0 ELSE max(handover_until, ?1) END"
        " WHERE tenant = ?2 AND customer_id ="
        " (SELECT customer_id FROM customer_aliases WHERE tenant = ?2 AND kind = ?3 AND value = ?4)"
        " AND (?5 = '' OR NOT EXISTS (SELECT 1 FROM outbox WHERE phone_number_id = conversations.phone_number_id"
        " AND wamid = ?5))"
        " AND (?5 = '' OR NOT EXISTS (SELECT 1 FROM outbox WHERE customer_id = conversations.customer_id"
        " AND is_open))",
        (told.until, tenant, told.kind, told.value, told.wamid),
    )
