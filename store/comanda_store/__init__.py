"""Durable state of the bots: inbox, conversations, orders, outbox and costs, written with group commit.

`Store` is the one way in. Everything that a turn changes is one transaction, and an answer leaves only after the
commit that it speaks of is on disk.
"""

from comanda_store.errors import FencedError, StorageError, WeakDurabilityError
from comanda_store.records import (
    AliasLink,
    Begun,
    Busy,
    Claim,
    EventItem,
    Finished,
    Held,
    InboundItem,
    Ingested,
    Item,
    NewOrder,
    NewOrderLine,
    NewTimer,
    OrderLineRecord,
    OrderRecord,
    Pace,
    ParkedMessage,
    Pause,
    PendingSend,
    PublishedTenant,
    Refused,
    SendResult,
    StatusItem,
    Takeover,
    TenantScope,
    TurnResult,
    Waiting,
)
from comanda_store.requests import Timing
from comanda_store.store import Store

__all__ = [
    "AliasLink",
    "Begun",
    "Busy",
    "Claim",
    "EventItem",
    "FencedError",
    "Finished",
    "Held",
    "InboundItem",
    "Ingested",
    "Item",
    "NewOrder",
    "NewOrderLine",
    "NewTimer",
    "OrderLineRecord",
    "OrderRecord",
    "Pace",
    "ParkedMessage",
    "Pause",
    "PendingSend",
    "PublishedTenant",
    "Refused",
    "SendResult",
    "StatusItem",
    "StorageError",
    "Store",
    "Takeover",
    "TenantScope",
    "Timing",
    "TurnResult",
    "Waiting",
    "WeakDurabilityError",
]
