"""Add limits that pods share, timers, identities that merge, prices; on PostgreSQL, row-level security.

Everything here is added, nothing is changed or removed: the version before works on this schema as well.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from comanda_store.postgres import schema

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_COLUMNS = (
    ("customers", "merged_into", sa.BigInteger(), "0"),
    ("customers", "unreachable_code", sa.Integer(), "0"),
    ("customers", "sends_to", sa.String(length=32), ""),
    ("customer_aliases", "since", sa.BigInteger(), "0"),
    ("conversations", "pair_free_at", sa.BigInteger(), "0"),
    ("outbox", "due_at", sa.BigInteger(), "0"),
    ("inbox", "problem", sa.Text(), ""),
    ("orders", "payment", sa.Text(), ""),
    ("costs", "market", sa.String(length=40), ""),
    ("costs", "currency", sa.String(length=3), ""),
    ("costs", "reason", sa.String(length=40), ""),
)
_AGED = ("account_events", "statuses")
"""What is thrown away by age."""


def upgrade() -> None:
    """Add what this version adds."""
    for table, name, type_, default in _COLUMNS:
        op.add_column(table, sa.Column(name, type_, nullable=False, server_default=default))
    op.add_column("costs", sa.Column("price_micros", sa.BigInteger(), nullable=True))
    parked = sa.text("state = 'parked'")
    op.create_index("inbox_parked", "inbox", ["tenant"], sqlite_where=parked, postgresql_where=parked)
    for table in _AGED:
        op.create_index(f"{table}_received", table, ["received_at"])
    worded = sa.text("payload <> ''")
    op.create_index("inbox_received", "inbox", ["received_at"], sqlite_where=worded, postgresql_where=worded)
    op.create_table(
        "numbers",
        sa.Column("phone_number_id", sa.String(length=32), nullable=False),
        sa.Column("tenant", sa.String(length=320), nullable=False),
        sa.Column("free_at_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("phone_number_id"),
    )
    op.create_table(
        "timers",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("tenant", sa.String(length=320), nullable=False),
        sa.Column("phone_number_id", sa.String(length=32), nullable=False),
        sa.Column("customer_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("timers_due", "timers", ["due_at"])
    if op.get_bind().dialect.name == "postgresql":
        schema.isolate(op.get_bind())


def downgrade() -> None:
    """Take it away again."""
    if op.get_bind().dialect.name == "postgresql":
        schema.open_up(op.get_bind())
    op.drop_table("timers")
    op.drop_table("numbers")
    op.drop_index("inbox_received", "inbox")
    for table in _AGED:
        op.drop_index(f"{table}_received", table)
    op.drop_index("inbox_parked", "inbox")
    op.drop_column("costs", "price_micros")
    for table, name, _type, _default in reversed(_COLUMNS):
        op.drop_column(table, name)
