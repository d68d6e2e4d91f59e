"""What goes into the store and comes out of it: frozen records, no table rows. Times are unix milliseconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SendState = Literal["sent", "queued", "failed", "unknown"]


@dataclass(frozen=True, slots=True)
class InboundItem:
    """A customer's message to be stored; `silent` ones get no turn (reactions, edits, a suspended tenant's)."""

    tenant: str
    phone_number_id: str
    wamid: str
    phone: str
    user_id: str
    name: str
    type: str
    payload: str
    contact: str
    sent_at: int
    silent: bool = False


@dataclass(frozen=True, slots=True)
class StatusItem:
    """A status of a sent message. `rank` orders sent < delivered < read; 0 for failed and unknown words.

    `outbox_id` is the one that the callback data names, 0 if none.
    """

    tenant: str
    phone_number_id: str
    wamid: str
    status: str
    rank: int
    outbox_id: int
    payload: str
    error_code: int = 0
    category: str = ""
    pricing_type: str = ""
    pricing_model: str = ""


@dataclass(frozen=True, slots=True)
class EventItem:
    """A change of another kind, kept whole."""

    tenant: str
    phone_number_id: str
    key: str
    field: str
    payload: str


@dataclass(frozen=True, slots=True)
class Ingested:
    """What became of one item: new or seen before, and whose conversation has work now (0: none)."""

    duplicate: bool
    customer_id: int = 0


@dataclass(frozen=True, slots=True)
class Claim:
    """A message that this pod may handle now, with all that its turn needs; `version` is the fence.

    Until `handover_until` staff has the conversation; 0 when the bot has it.
    """

    inbox_id: int
    wamid: str
    tenant: str
    phone_number_id: str
    customer_id: int
    phone: str
    user_id: str
    payload: str
    contact: str
    received_at: int
    attempts: int
    state: bytes | None
    flow_version: str
    version: int
    handover_until: int


@dataclass(frozen=True, slots=True)
class Busy:
    """The conversation's next message belongs to another living pod."""


@dataclass(frozen=True, slots=True)
class NewOrderLine:
    """A line of a new order, in minor units."""

    sku: str
    name: str
    options: str
    notes: str
    quantity: int
    unit_price: int
    total: int


@dataclass(frozen=True, slots=True)
class NewOrder:
    """An order to be written with its turn, in minor units."""

    code: str
    customer_name: str
    fulfilment: str
    address: str
    latitude: float | None
    longitude: float | None
    notes: str
    currency: str
    subtotal: int
    delivery_fee: int
    total: int
    menu_version: str
    lines: tuple[NewOrderLine, ...]


@dataclass(frozen=True, slots=True)
class TurnResult:
    """What a turn changes: the state, who has the conversation, the messages to send (Graph API JSON), an order."""

    state: bytes
    flow_version: str
    handover_until: int
    messages: tuple[str, ...]
    order: NewOrder | None = None


@dataclass(frozen=True, slots=True)
class PendingSend:
    """A message that this pod is to send."""

    outbox_id: int
    tenant: str
    phone_number_id: str
    customer_id: int
    payload: str
    attempts: int
    ambiguous: int = 0


@dataclass(frozen=True, slots=True)
class SendResult:
    """How a send ended: `sent` with its wamid, `queued` to be tried again, `failed` for good, or `unknown`."""

    state: SendState
    wamid: str = ""
    error_code: int = 0


@dataclass(frozen=True, slots=True)
class Waiting:
    """A conversation with pending messages: its customer and the number that was written to."""

    customer_id: int
    phone_number_id: str


@dataclass(frozen=True, slots=True)
class Takeover:
    """What a dead pod left and this one has now: conversations with pending messages, and messages to send."""

    conversations: tuple[Waiting, ...] = ()
    sends: tuple[PendingSend, ...] = ()


@dataclass(frozen=True, slots=True)
class OrderLineRecord:
    """A line of an order as the kitchen reads it."""

    sku: str
    name: str
    options: str
    notes: str
    quantity: int
    unit_price: int
    total: int


@dataclass(frozen=True, slots=True)
class OrderRecord:
    """An order as the kitchen reads it; amounts in minor units of `currency`."""

    tenant: str
    code: str
    status: str
    customer_name: str
    fulfilment: str
    address: str
    latitude: float | None
    longitude: float | None
    notes: str
    currency: str
    subtotal: int
    delivery_fee: int
    total: int
    created_at: int
    lines: tuple[OrderLineRecord, ...]


@dataclass(frozen=True, slots=True)
class PublishedTenant:
    """A tenant as the pods serve it now; documents are JSON text, versions their digests."""

    tenant: str
    phone_number_id: str
    waba_id: str
    display_name: str
    plan: str
    flow_version: str
    flow: str
    menu_version: str
    menu: str
