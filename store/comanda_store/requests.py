"""What a pod asks of its database on the hot path: small values that wait together and are committed together."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any

from comanda_store.records import Claim, Item, Pace, PendingSend, SendResult, TenantScope, TurnResult

Aliases = MutableMapping[tuple[str, str, str], int]
"""(tenant, kind, value) → customer id; a cache of what the database holds."""


@dataclass(frozen=True, slots=True)
class Ingest:
    """Store what was delivered → `list[Ingested]`."""

    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class ClaimTurn:
    """Take a conversation's next message for a turn → `Claim | Busy | None`."""

    scope: TenantScope
    customer: int


@dataclass(frozen=True, slots=True)
class FinishTurn:
    """Write all that a turn changed, or nothing → `Finished`, or `FencedError`.

    With a pace, the first message's send begins in the same transaction: it may leave as soon as that is on disk.
    """

    claim: Claim
    result: TurnResult
    pace: Pace | None


@dataclass(frozen=True, slots=True)
class ReleaseTurn:
    """Note why a turn has no result, and give its counted try back if it was not at fault → None."""

    claim: Claim
    problem: str
    counted: bool


@dataclass(frozen=True, slots=True)
class BeginSend:
    """Write down that a send begins → `Begun | Held | Refused`."""

    send: PendingSend
    pace: Pace


@dataclass(frozen=True, slots=True)
class EndSend:
    """Write down how a send ended → None."""

    send: PendingSend
    result: SendResult


Request = Ingest | ClaimTurn | FinishTurn | ReleaseTurn | BeginSend | EndSend
Outcome = Any
"""What a request asked for, or the exception that its caller gets."""

MAX_ATTEMPTS = 5
"""Tries of a message before it is parked; counted before each try, so a crash counts too."""


@dataclass(frozen=True, slots=True)
class Timing:
    """When something of another pod's, or of an earlier time, may be taken up, in milliseconds."""

    lease_ms: int = 5_000
    """A pod whose heartbeat is older is dead: its messages are anybody's. Heartbeats come every second."""
    unknown_ms: int = 10_000
    """How long a status may take to settle a send of unknown outcome before the message is sent once more."""
    forgotten_ms: int = 30_000
    """A pod's own work that is older is handed to it again: if it is busy with it that changes nothing, and if a task
    of it has died the work is not lost. Longer than any send may take."""


def rows_of(request: Request) -> int:
    """Return how many rows a request takes in: what bounds and measures a group."""
    return len(request.items) if isinstance(request, Ingest) else 1


@dataclass(frozen=True, slots=True)
class Worker:
    """A pod's process: the stable name of the pod, and the incarnation that owns what this process works on."""

    pod: str
    incarnation: str
    timing: Timing = Timing()


WINDOW_MS = 24 * 3600 * 1000 - 5 * 60 * 1000
"""How long after a customer's last message anything may be sent to them: Meta's 24 h less a margin for both clocks."""

PAIR_MS = 6_000
"""Meta lets one message in 6 s go from a number to the same customer …"""

PAIR_BURST = 45
"""… and up to 45 at once, borrowed from the future (Meta's overview of throughput and pair limits)."""

AHEAD_MS = 1_000
"""How far ahead a place in a number's pace is given out; who would wait longer asks again."""

BEHIND_MS = 100
"""How soon a send asks again that an earlier one of its conversation, of whichever pod, has to go before."""

NEAR_MS = 5
"""A place so near counts as now: the send is written down as begun and waits the rest. Not longer, because what has
begun when a pod dies is of unknown outcome."""

SWEEP_LIMIT = 500
"""Rows that one look for what others left takes at most."""
