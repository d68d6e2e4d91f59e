"""Durable state of the bots: inbox, conversations, orders, outbox and costs, written with group commit.

`Store` is the one way in. Everything that a turn changes is one transaction, and an answer leaves only after the
commit that it speaks of is on disk.
"""

from comanda_store.errors import FencedError, StorageError, WeakDurabilityError
from comanda_store.records import (
    Busy,
    Claim,
    EventItem,
    InboundItem,
    Ingested,
    NewOrder,
    NewOrderLine,
    OrderLineRecord,
    OrderRecord,
    PendingSend,
    PublishedTenant,
    SendResult,
    StatusItem,
    Takeover,
    TurnResult,
    Waiting,
)
from comanda_store.store import Store

__all__ = [
    "Busy",
    "Claim",
    "EventItem",
    "FencedError",
    "InboundItem",
    "Ingested",
    "NewOrder",
    "NewOrderLine",
    "OrderLineRecord",
    "OrderRecord",
    "PendingSend",
    "PublishedTenant",
    "SendResult",
    "StatusItem",
    "StorageError",
    "Store",
    "Takeover",
    "TurnResult",
    "Waiting",
    "WeakDurabilityError",
]
