"""Store and claim in one call, and end a turn in one; on PostgreSQL, where these are functions.

No table changes. `migrate` brings the functions; the version tells pods of this one that they are there.
"""

from __future__ import annotations

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change nothing."""


def downgrade() -> None:
    """Change nothing."""
