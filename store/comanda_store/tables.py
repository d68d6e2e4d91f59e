"""The tables. Times are unix milliseconds; every row of a tenant carries its `tenant` (`namespace/name`).

What customers and bots said are the inbox and the outbox themselves: there is no third copy of a message. These two
have no foreign keys: their rows come from functions that make or find the other side in the same transaction, and the
checks would be part of every turn.
"""

from __future__ import annotations

from typing import Any, ClassVar

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Computed,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlmodel import Field, SQLModel

# SQLite gives an INTEGER PRIMARY KEY its number; PostgreSQL wants 64 bits for the same.
_SERIAL = BigInteger().with_variant(Integer(), "sqlite")


OPEN_SENDS = "state IN ('queued', 'sending', 'unknown')"


def _serial() -> Column[int]:
    return Column(_SERIAL, primary_key=True, autoincrement=True)


def _added(value: Any, type_: Any) -> Any:
    """Return a column that came with a later version: the one before, which does not name it, leaves the default."""
    column_type = type_ if not isinstance(type_, type) else type_()
    return Field(default=value, sa_type=column_type, sa_column_kwargs={"server_default": str(value)})


def _where(condition: str) -> dict[str, Any]:
    """Return what makes an index partial on both databases."""
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


class TenantRow(SQLModel, table=True):
    """A restaurant as the pods know it; credentials stay in Secrets."""

    __tablename__: ClassVar[str] = "tenants"

    tenant: str = Field(primary_key=True, max_length=320)
    phone_number_id: str = Field(max_length=32, index=True)
    waba_id: str = Field(max_length=32)
    display_name: str = Field(max_length=128)
    plan: str = Field(max_length=16)
    flow_version: str = Field(max_length=32)
    menu_version: str = Field(max_length=32)
    updated_at: int = Field(sa_type=BigInteger)


class FlowVersionRow(SQLModel, table=True):
    """A flow as it once was published; conversations that began with it end with it."""

    __tablename__: ClassVar[str] = "flow_versions"

    tenant: str = Field(primary_key=True, max_length=320)
    version: str = Field(primary_key=True, max_length=32)
    document: str = Field(sa_type=Text)
    created_at: int = Field(sa_type=BigInteger)


class MenuVersionRow(SQLModel, table=True):
    """A restaurant's menu, hours and zones as they once were: what an order was priced with."""

    __tablename__: ClassVar[str] = "menu_versions"

    tenant: str = Field(primary_key=True, max_length=320)
    version: str = Field(primary_key=True, max_length=32)
    document: str = Field(sa_type=Text)
    created_at: int = Field(sa_type=BigInteger)


class CustomerRow(SQLModel, table=True):
    """A person who wrote to a restaurant; known by aliases, never by phone number alone."""

    __tablename__: ClassVar[str] = "customers"

    id: int | None = Field(default=None, sa_column=_serial())
    tenant: str = Field(max_length=320, index=True)
    name: str = Field(default="", sa_type=Text)
    created_at: int = Field(sa_type=BigInteger)
    merged_into: int = _added(0, BigInteger)
    """The customer that this one turned out to be; 0 for most. What still names this one means that one."""
    unreachable_code: int = _added(0, Integer)
    """Meta's error code that said messages cannot reach this customer; 0 while they can. A new message clears it."""
    sends_to: str = _added("", String(32))
    """The form of the phone number that worked where the one they write from did not; empty for most."""


class CustomerAliasRow(SQLModel, table=True):
    """One way by which a customer is known: `phone` (digits) or `user_id` (business-scoped)."""

    __tablename__: ClassVar[str] = "customer_aliases"

    tenant: str = Field(primary_key=True, max_length=320)
    kind: str = Field(primary_key=True, max_length=8)
    value: str = Field(primary_key=True, max_length=160)
    customer_id: int = Field(sa_column=Column(_SERIAL, ForeignKey("customers.id"), nullable=False, index=True))
    since: int = _added(0, BigInteger)
    """When it was learnt; the youngest of a kind is the one to write to."""


class ConversationRow(SQLModel, table=True):
    """The state of one customer's conversation; `version` fences a pod that lost it."""

    __tablename__: ClassVar[str] = "conversations"

    customer_id: int = Field(sa_column=Column(_SERIAL, ForeignKey("customers.id"), primary_key=True))
    tenant: str = Field(max_length=320, index=True)
    phone_number_id: str = Field(max_length=32)
    state: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
    flow_version: str = Field(default="", max_length=32)
    version: int = Field(default=0)
    handover_until: int = Field(default=0, sa_type=BigInteger)
    """Until when staff has the conversation and the bot is silent; 0 when the bot has it."""
    last_inbound_at: int = Field(default=0, sa_type=BigInteger)
    pair_free_at: int = _added(0, BigInteger)
    """When Meta's limit on messages to this customer will be wholly free again (the clock of a token bucket)."""


class NumberRow(SQLModel, table=True):
    """The pace of a phone number, shared by all pods of its group: when its next message may leave, in microseconds."""

    __tablename__: ClassVar[str] = "numbers"

    phone_number_id: str = Field(primary_key=True, max_length=32)
    tenant: str = Field(max_length=320)
    free_at_us: int = Field(default=0, sa_type=BigInteger)


class TimerRow(SQLModel, table=True):
    """A turn that a handler asked for, later: becomes a message of type `timer` in the inbox when it is due."""

    __tablename__: ClassVar[str] = "timers"
    __table_args__ = (Index("timers_due", "due_at"),)

    id: int | None = Field(default=None, sa_column=_serial())
    tenant: str = Field(max_length=320)
    phone_number_id: str = Field(max_length=32)
    customer_id: int = Field(sa_column=Column(_SERIAL, nullable=False))
    due_at: int = Field(sa_type=BigInteger)
    payload: str = Field(sa_type=Text)


class InboxRow(SQLModel, table=True):
    """A customer's message.

    `pending` → `done`, or `silent` (no turn by rule), or `stale` (too old to be answered), or `parked` (its handler
    failed too often; `problem` says how).
    """

    __tablename__: ClassVar[str] = "inbox"
    __table_args__ = (
        UniqueConstraint("phone_number_id", "wamid"),
        Index("inbox_pending", "customer_id", "sent_at", "id", **_where("state = 'pending'")),
        Index("inbox_owner", "owner", **_where("state = 'pending'")),
        Index("inbox_parked", "tenant", **_where("state = 'parked'")),
        Index("inbox_received", "received_at", **_where("payload <> ''")),
    )

    id: int | None = Field(default=None, sa_column=_serial())
    tenant: str = Field(max_length=320)
    phone_number_id: str = Field(max_length=32)
    wamid: str = Field(max_length=256)
    customer_id: int = Field(sa_column=Column(_SERIAL, nullable=False))
    type: str = Field(max_length=32)
    payload: str = Field(sa_type=Text)
    contact: str = Field(default="", sa_type=Text)
    sent_at: int = Field(sa_type=BigInteger)
    received_at: int = Field(sa_type=BigInteger)
    state: str = Field(sa_column=Column(String(8), nullable=False))
    owner: str = Field(max_length=64)
    attempts: int = Field(default=0)
    done_at: int | None = Field(default=None, sa_type=BigInteger)
    problem: str = _added("", Text)


class StatusRow(SQLModel, table=True):
    """A status of a sent message, kept so that the same one is never counted twice."""

    __tablename__: ClassVar[str] = "statuses"
    __table_args__ = (Index("statuses_received", "received_at"),)

    phone_number_id: str = Field(primary_key=True, max_length=32)
    wamid: str = Field(primary_key=True, max_length=256)
    status: str = Field(primary_key=True, max_length=16)
    tenant: str = Field(max_length=320)
    payload: str = Field(sa_type=Text)
    received_at: int = Field(sa_type=BigInteger)


class AccountEventRow(SQLModel, table=True):
    """A change that is no message and no status, kept whole."""

    __tablename__: ClassVar[str] = "account_events"
    __table_args__ = (Index("account_events_received", "received_at"),)

    phone_number_id: str = Field(primary_key=True, max_length=32)
    key: str = Field(primary_key=True, max_length=160)
    tenant: str = Field(max_length=320)
    field: str = Field(max_length=64)
    payload: str = Field(sa_type=Text)
    received_at: int = Field(sa_type=BigInteger)


class OutboxRow(SQLModel, table=True):
    """A message to a customer: `queued` → `sending` → `sent` → `delivered` → `read`, or `failed`, or `unknown`."""

    __tablename__: ClassVar[str] = "outbox"
    __table_args__ = (
        UniqueConstraint("inbox_id", "position"),
        Index("outbox_wamid", "phone_number_id", "wamid"),
        Index("outbox_open", "customer_id", **_where("is_open")),
    )

    id: int | None = Field(default=None, sa_column=_serial())
    tenant: str = Field(max_length=320)
    phone_number_id: str = Field(max_length=32)
    customer_id: int = Field(sa_column=Column(_SERIAL, nullable=False))
    inbox_id: int = Field(sa_column=Column(_SERIAL, nullable=False))
    position: int
    payload: str = Field(sa_type=Text)
    state: str = Field(sa_column=Column(String(10), nullable=False))
    is_open: bool | None = Field(default=None, sa_column=Column(Boolean, Computed(OPEN_SENDS, persisted=True)))
    """Whether it may still leave. A column, because PostgreSQL changes a row in its place as long as no column that an
    index names is changed, and most changes of `state` are none of this."""
    owner: str = Field(max_length=64)
    attempts: int = Field(default=0)
    ambiguous: int = Field(default=0)
    due_at: int = _added(0, BigInteger)
    """The place that it was given in its number's pace; 0 while it has none."""
    wamid: str | None = Field(default=None, max_length=256)
    error_code: int | None = Field(default=None)
    created_at: int = Field(sa_type=BigInteger)
    updated_at: int = Field(sa_type=BigInteger)


class OrderRow(SQLModel, table=True):
    """An order: one for each confirming message, whatever is repeated. Amounts are minor units of the currency."""

    __tablename__: ClassVar[str] = "orders"
    __table_args__ = (UniqueConstraint("inbox_id"),)

    id: int | None = Field(default=None, sa_column=_serial())
    tenant: str = Field(max_length=320, index=True)
    code: str = Field(max_length=16)
    inbox_id: int = Field(sa_column=Column(_SERIAL, ForeignKey("inbox.id"), nullable=False))
    customer_id: int = Field(sa_column=Column(_SERIAL, ForeignKey("customers.id"), nullable=False))
    customer_name: str = Field(default="", sa_type=Text)
    fulfilment: str = Field(max_length=16)
    address: str = Field(default="", sa_type=Text)
    latitude: float | None = None
    longitude: float | None = None
    notes: str = Field(default="", sa_type=Text)
    currency: str = Field(max_length=3)
    subtotal: int = Field(sa_type=BigInteger)
    delivery_fee: int = Field(sa_type=BigInteger)
    total: int = Field(sa_type=BigInteger)
    menu_version: str = Field(max_length=32)
    payment: str = _added("", Text)
    status: str = Field(default="placed", max_length=16)
    created_at: int = Field(sa_type=BigInteger)


class OrderLineRow(SQLModel, table=True):
    """A line of an order, with the name and price of that moment."""

    __tablename__: ClassVar[str] = "order_lines"

    order_id: int = Field(sa_column=Column(_SERIAL, ForeignKey("orders.id"), primary_key=True))
    position: int = Field(primary_key=True)
    tenant: str = Field(max_length=320)
    sku: str = Field(max_length=64)
    name: str = Field(sa_type=Text)
    options: str = Field(default="", sa_type=Text)
    notes: str = Field(default="", sa_type=Text)
    quantity: int
    unit_price: int = Field(sa_type=BigInteger)
    total: int = Field(sa_type=BigInteger)


class CostRow(SQLModel, table=True):
    """What Meta says a sent message is billed as: from the one `pricing` object among its statuses."""

    __tablename__: ClassVar[str] = "costs"

    phone_number_id: str = Field(primary_key=True, max_length=32)
    wamid: str = Field(primary_key=True, max_length=256)
    tenant: str = Field(max_length=320, index=True)
    category: str = Field(max_length=40)
    type: str = Field(max_length=40)
    pricing_model: str = Field(max_length=8)
    at: int = Field(sa_type=BigInteger)
    market: str = _added("", String(40))
    price_micros: int | None = Field(default=None, sa_type=BigInteger)
    """Millionths of `currency`, due once the message is delivered; None when the rate table has no such row."""
    currency: str = _added("", String(3))
    reason: str = _added("", String(40))
    """Why it costs what it costs, in a word: `rate`, `free_tier`, `no_rate` …"""


class AuditRow(SQLModel, table=True):
    """What changed, by whom: append-only."""

    __tablename__: ClassVar[str] = "audit"

    id: int | None = Field(default=None, sa_column=_serial())
    tenant: str = Field(max_length=320, index=True)
    at: int = Field(sa_type=BigInteger)
    actor: str = Field(max_length=64)
    action: str = Field(max_length=64)
    detail: str = Field(default="", sa_type=Text)


class WorkerRow(SQLModel, table=True):
    """A pod's process that works on this database: alive while its heartbeat is young by the database's clock."""

    __tablename__: ClassVar[str] = "workers"

    incarnation: str = Field(primary_key=True, max_length=64)
    pod: str = Field(max_length=64)
    seen_at: int = Field(sa_type=BigInteger)
