"""Who answered calls that we placed, and what became of the message. Unknown for earlier ones."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("calls", sa.Column("answered_by", sa.String(16)))
    op.add_column("calls", sa.Column("answering", sa.JSON(none_as_null=True)))
    op.add_column("calls", sa.Column("message", sa.JSON(none_as_null=True)))
    op.create_index("ix_calls_answered_by_started_at", "calls", ["answered_by", "started_at"])
