"""What happened in a run: each webhook, each send as Meta saw it, the rows at the end. Times: monotonic seconds."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(slots=True)
class Webhook:
    """A customer's message on its way in.

    `begun` is when the first webhook with it left Meta, `acked` when a pod said that it is stored, 0 while none has.
    """

    wamid: str
    number: str
    phone: str
    text: str
    begun: float
    acked: float = 0.0
    sent: int = 0
    """Meta's time on it, in unix seconds."""
    overtaken: bool = False
    """Whether its webhook was held back until a later message's had left."""


@dataclass(slots=True)
class Send:
    """A message as Meta took it. `lost` ones were taken, and the pod never got the answer."""

    tag: int
    number: str
    phone: str
    token: str
    body: str
    at: float
    lost: bool = False


@dataclass(frozen=True, slots=True)
class InboxRow:
    """A stored message."""

    id: int
    tenant: str
    number: str
    wamid: str
    customer: int
    state: str
    attempts: int


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A message to a customer."""

    id: int
    tenant: str
    number: str
    customer: int
    inbox: int
    state: str
    attempts: int
    ambiguous: int
    payload: str


@dataclass(frozen=True, slots=True)
class OrderRow:
    """An order."""

    id: int
    tenant: str
    inbox: int
    customer: int
    total: int


Rows = Callable[[str], Awaitable[Sequence[Any]]]
"""Runs a statement and gives its rows."""

WAITING = (
    # A message lost from sight twice belongs to nobody (owner ''): it is for staff to look at.
    "select (select count(*) from inbox where state = 'pending')"
    " + (select count(*) from outbox where state in ('queued', 'sending')"
    " or (state = 'unknown' and owner <> '')) as waiting"
)
"""How much has not had its turn or its end."""


@dataclass
class History:
    """One run."""

    seed: int
    webhooks: list[Webhook] = field(default_factory=list)
    sends: list[Send] = field(default_factory=list)
    inbox: list[InboxRow] = field(default_factory=list)
    outbox: list[OutboxRow] = field(default_factory=list)
    orders: list[OrderRow] = field(default_factory=list)
    phones: dict[int, str] = field(default_factory=dict)
    """Customer → phone."""
    faults: list[dict[str, Any]] = field(default_factory=list)

    async def read(self, rows: Rows) -> None:
        """Take over what the database says at the end."""
        inbox = "select id, tenant, phone_number_id, wamid, customer_id, state, attempts from inbox order by id"
        self.inbox = [InboxRow(*row) for row in await rows(inbox)]
        outbox = "id, tenant, phone_number_id, customer_id, inbox_id, state, attempts, ambiguous, payload"
        self.outbox = [OutboxRow(*row) for row in await rows(f"select {outbox} from outbox order by id")]
        orders = "select id, tenant, inbox_id, customer_id, total from orders order by id"
        self.orders = [OrderRow(*row) for row in await rows(orders)]
        phones = "select customer_id, value from customer_aliases where kind = 'phone'"
        self.phones = dict(await rows(phones))

    def write(self, path: Path) -> None:
        """Write it as JSON lines, one thing that happened a line."""
        with path.open("w") as file:
            file.write(json.dumps({"kind": "run", "seed": self.seed}) + "\n")
            for kind in ("faults", "webhooks", "sends", "inbox", "outbox", "orders"):
                for each in getattr(self, kind):
                    line = each if isinstance(each, dict) else asdict(each)
                    file.write(json.dumps({"kind": kind, **line}, ensure_ascii=False) + "\n")
