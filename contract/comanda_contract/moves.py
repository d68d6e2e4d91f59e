"""Operator → pods: a tenant's data on their way from one group's database to another's.

A shard that names a tenant as leaving makes its pods let go of it; once they have reported the shard, the operator
reads the tenant's rows from one of them and writes them to a pod of the group that it moves to. Every request carries
`Authorization: Bearer <group key>` of the group that it goes to.

    GET  /v1/moves/NUMBER?tenant=&move=                 Standing: what this group's database has of this move
    GET  /v1/moves/NUMBER/parts/PART?move=&after=       Page of a tenant that has left
    POST /v1/moves/NUMBER/parts/PART?tenant=            takes a Page of a tenant that is not served here
    POST /v1/moves/NUMBER/rest?move=                    Rest: what is still to be done; it is not done here any more
    POST /v1/moves/NUMBER/arrival?tenant=&move=         takes the Rest, in one transaction: the tenant is here now
"""

from __future__ import annotations

from typing import Any

import msgspec

MOVES_PATH = "/v1/moves"
PARTS = (
    "flow_versions",
    "menu_versions",
    "customers",
    "inbox",
    "outbox",
    "orders",
    "order_lines",
    "statuses",
    "costs",
    "account_events",
)
"""What is copied page by page, in an order in which each finds there what it names."""
REST = ("numbers", "inbox", "outbox", "timers", "audit")
"""What is copied at once, in the end: messages to be answered, replies to be sent, turns to come."""
Row = dict[str, Any]
Cursor = tuple[str | int, int | str]


class Page(msgspec.Struct, frozen=True):
    """Some rows of a part. Rows name others by what both databases know: customers by alias, messages by wamid."""

    rows: list[Row]
    after: Cursor | None = None
    """With what to ask for the next page; None when this is the last one."""


class Rest(msgspec.Struct, frozen=True):
    """Rows by part."""

    parts: dict[str, list[Row]]


class Standing(msgspec.Struct, frozen=True):
    """What a database has of a move."""

    left: bool
    """The tenant leaves from here."""
    arrived: bool
    """All of it has arrived here."""


def move_name(origin: str, destination: str, since: str) -> str:
    """Return the name of one move of a tenant: from where, to where (`namespace/name` of groups) and when it began."""
    return f"{origin}>{destination}@{since}"
