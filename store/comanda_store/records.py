"""What goes into the store and comes out of it: frozen records, no table rows. Times are unix milliseconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SendState = Literal["sent", "queued", "failed", "unknown"]
InboundState = Literal["pending", "silent", "stale"]


@dataclass(frozen=True, slots=True)
class TenantScope:
    """Whose data an operation may touch: the tenant (`namespace/name`) and its number.

    Every operation on a tenant's data takes one, or a record that came out of the store with one in it. The database
    holds to it as well: a row of another tenant is as if it were not there.
    """

    tenant: str
    phone_number_id: str


@dataclass(frozen=True, slots=True)
class AliasLink:
    """One customer under two names: the alias they had and the one they have now. Kinds: `phone`, `user_id`."""

    previous_kind: str
    previous: str
    current_kind: str
    current: str


@dataclass(frozen=True, slots=True)
class Pause:
    """The bot is silent towards this customer until a time: somebody else has the conversation. 0: it has it again.

    With a `wamid`, nothing happens when that message is one of ours, or may be: an echo of what the bot has just sent.
    """

    kind: str
    value: str
    until: int
    wamid: str = ""


@dataclass(frozen=True, slots=True)
class InboundItem:
    """A customer's message to be stored.

    `pending` gets a turn; `silent` gets none by rule (reactions, edits, a suspended tenant's); `stale` is too old.
    """

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
    state: InboundState = "pending"
    links: tuple[AliasLink, ...] = ()
    at_once: bool = False
    """Whether it is claimed with being stored, when nothing else of its conversation is pending."""


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
    market: str = ""
    price_micros: int | None = None
    price_currency: str = ""
    price_reason: str = ""


@dataclass(frozen=True, slots=True)
class EventItem:
    """A change of another kind, kept whole, with what it says of who a customer is and who talks to them."""

    tenant: str
    phone_number_id: str
    key: str
    field: str
    payload: str
    links: tuple[AliasLink, ...] = ()
    pauses: tuple[Pause, ...] = ()


Item = InboundItem | StatusItem | EventItem


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
    type: str
    payload: str
    contact: str
    sent_at: int
    received_at: int
    attempts: int
    state: bytes | None
    flow_version: str
    version: int
    handover_until: int

    @property
    def scope(self) -> TenantScope:
        """Whose message it is."""
        return TenantScope(self.tenant, self.phone_number_id)

    @property
    def wrote_at(self) -> int:
        """When the customer wrote it, which opens Meta's 24 h window; 0 for a timer, which no customer wrote."""
        return 0 if self.type == "timer" else self.sent_at


@dataclass(frozen=True, slots=True)
class Ingested:
    """What became of one item: new or seen before, whose conversation has work now (0: none), its claim if taken."""

    duplicate: bool
    customer_id: int = 0
    claim: Claim | None = None


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
    payment: str = ""
    """How the customer will pay, in their words; empty when they were not asked."""


@dataclass(frozen=True, slots=True)
class NewTimer:
    """A later turn of the same conversation: a message of type `timer` with this payload (JSON text)."""

    after_ms: int
    payload: str


@dataclass(frozen=True, slots=True)
class TurnResult:
    """What a turn changes: the state, who has the conversation, the messages to send (Graph API JSON), an order."""

    state: bytes
    flow_version: str
    handover_until: int
    messages: tuple[str, ...]
    order: NewOrder | None = None
    timers: tuple[NewTimer, ...] = ()


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
class Finished:
    """A written turn: what is to be sent, in order, and the conversation's next message if there is one.

    `first` is how the first send began, when that was asked for with the turn.
    """

    sends: tuple[PendingSend, ...]
    next: Claim | Busy | None
    first: Begun | Held | Refused | None = None


@dataclass(frozen=True, slots=True)
class Pace:
    """What bounds a send: the number's messages a second, and whether it may go outside the 24 h window (templates)."""

    per_second: int
    template: bool = False


@dataclass(frozen=True, slots=True)
class Begun:
    """The send is written down as under way and may leave after `wait_ms`.

    `sends_to` is the form of the number that is known to work, if another than the one they write from; `unreachable`
    the code with which Meta once said that this customer cannot be reached, 0 if it did not.
    """

    wait_ms: int
    sends_to: str = ""
    unreachable: int = 0


@dataclass(frozen=True, slots=True)
class Held:
    """The send may not leave yet: ask again after `wait_ms`.

    By `place`: it has its place in the number's pace, which comes then; `number`: all places that are given out ahead
    are taken; `customer`: by the customer's pace, or an earlier send of the conversation.
    """

    wait_ms: int
    by: Literal["place", "number", "customer"]


@dataclass(frozen=True, slots=True)
class Refused:
    """The send will not leave: `lost` (no longer this pod's) or `closed` (the 24 h window; it is marked failed)."""

    reason: Literal["lost", "closed"]


@dataclass(frozen=True, slots=True)
class SendResult:
    """How a send ended: `sent` with its wamid, `queued` to be tried again, `failed` for good, or `unknown`.

    `unreachable` marks (a code) or clears (0) that this customer cannot be reached; `sends_to` is a form of the number
    that worked; for `pause_ms` nothing more leaves from this number. One that was never `made` costs no try.
    """

    state: SendState
    wamid: str = ""
    error_code: int = 0
    unreachable: int | None = None
    sends_to: str = ""
    pause_ms: int = 0
    made: bool = True


@dataclass(frozen=True, slots=True)
class Waiting:
    """A conversation with pending messages: whose it is and its customer."""

    scope: TenantScope
    customer_id: int


@dataclass(frozen=True, slots=True)
class ParkedMessage:
    """A message whose handler failed too often: staff has to look at it."""

    inbox_id: int
    type: str
    received_at: int
    problem: str


@dataclass(frozen=True, slots=True)
class Takeover:
    """What a dead pod left and this one has now: conversations with pending messages, and messages to send."""

    conversations: tuple[Waiting, ...] = ()
    sends: tuple[PendingSend, ...] = ()


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits in a group's database: messages without a turn, the age of the oldest, and what is for staff."""

    pending: int
    oldest_ms: int
    parked: int
    unknown: int


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
    payment: str = ""


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
