"""A tenant moves from one group to another: what is next, and what both groups' shards say meanwhile. Pure.

    phase     status.group   shard it leaves   shard it comes to   goes on when
    –         origin         serves it         –                   pods of both are ready
    Pausing   destination    leaving           –                   the origin's pods have let go of it, both answer
    Copying   destination    leaving           –                   its data are in the destination's database
    Loading   destination    leaving           serves it           the destination's pods have loaded it
    Erasing   destination    to be erased      serves it           the origin's pods have erased it

From Pausing to Loading its webhooks are refused, and come again. Each step is in the status before anything is done for
it, so any leader goes on where the last one was; everything that is done may be done again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from comanda_contract.moves import move_name
from comanda_operator.records import TenantRecord

Phase = Literal["", "Pausing", "Copying", "Loading", "Erasing"]
AT_ONCE = 8
"""Tenants that are paused at the same time: where a pool is emptied, each is away for seconds and not for all of it."""


class Move(NamedTuple):
    """Where a tenant is to be and which step its move is at; `since` is when its webhooks began to wait, "" before."""

    group: str
    origin: str = ""
    since: str = ""
    phase: Phase = ""

    @property
    def name(self) -> str:
        """Which move it is, as pods are told of it."""
        return move_name(self.origin, self.group, self.since)


@dataclass(frozen=True)
class Facts:
    """What is known of a move. All are false of what nobody has said yet."""

    origin_exists: bool = False
    """Something of the origin is there: without it there is nothing to wait for, and nothing to bring."""
    can_begin: bool = False
    """Pods of both groups are ready, and not too many others move."""
    shares_database: bool = False
    """Both groups were found to work on one database."""
    left: bool = False
    """The old group's pods have let go of it."""
    both_answer: bool = False
    """Pods of both groups were asked: the old ones have given the tenant up, the new ones have another database."""
    copied: bool = False
    loaded: bool = False
    erased: bool = False


def move_of(tenant: TenantRecord) -> Move:
    """Return the move that a tenant's status tells of; one without a phase while it is not moving."""
    status = tenant.status
    if not status.moving_from or not status.move_phase:
        return Move(status.group)
    return Move(status.group, status.moving_from, status.paused_since, status.move_phase)


def destination_of(name: str) -> str:
    """Return the group that a move of this name goes to."""
    return name.partition(">")[2].rpartition("@")[0]


def must_move(tenant: TenantRecord, wanted: str) -> bool:
    """Tell whether a tenant has data in a group other than the one that it is to have."""
    status = tenant.status
    return bool(wanted and status.group and status.group != wanted and status.credentials_hash)


def next_move(now: Move, wanted: str, facts: Facts, time: str) -> Move:
    """Return the step after this one, or this one while it is not done; `wanted` is the group that it is to have.

    A move that is under way ends before another one begins. Before its data are touched it can be called back.
    """
    nothing_to_bring = not facts.origin_exists
    after = now
    match now.phase:
        case "" if facts.can_begin and not facts.shares_database:
            after = Move(wanted, now.group, time, "Pausing")
        case "Pausing" if wanted == now.origin:
            after = Move(now.origin)
        case "Pausing" if facts.shares_database:
            after = Move(now.origin)
        case "Pausing" if facts.left and facts.both_answer:
            after = now._replace(phase="Copying")
        case "Pausing" if nothing_to_bring:
            after = now._replace(phase="Loading")
        case "Copying" if facts.copied or nothing_to_bring:
            after = now._replace(phase="Loading")
        case "Loading" if facts.loaded:
            after = now._replace(phase="Erasing", since="")
        case "Erasing" if facts.erased or nothing_to_bring:
            after = Move(now.group)
    return after


def place_during(now: Move) -> str:
    """Return the group whose shard says that it serves the tenant; "" while none does."""
    return "" if now.phase in {"Pausing", "Copying"} else now.group


_WORDS = {
    "Pausing": "its pods there finish what is under way",
    "Copying": "its data are being copied",
    "Loading": "its pods here load it",
}


def paused_message(now: Move) -> str:
    """Return the sentence that its status shows while webhooks wait."""
    return (
        f"It moves from {now.origin} to {now.group}: {_WORDS[now.phase]}. Since {now.since} its webhooks are refused;"
        " Meta brings them again."
    )


def waiting_message(now: Move, wanted: str, *, shares_database: bool) -> str:
    """Return the sentence that a tenant's status shows while its move has not begun."""
    if shares_database:
        return (
            f"The pods of {now.group} serve it. It cannot move to {wanted}: both groups work on one database, whose"
            " rows they would take from each other. Give each a database of its own."
        )
    return f"The pods of {now.group} serve it; it moves to {wanted} once pods of both are ready."
