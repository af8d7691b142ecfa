"""Webhooks that single calls are given, and deliveries to them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "call_webhooks",
        sa.Column("call_id", sa.String(128), nullable=False),
        sa.Column("gateway_id", sa.String(64)),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("events", sa.Text, nullable=False),
        sa.Column("secret", sa.Text, nullable=False),
        sa.Column("created", sa.Float(53), nullable=False),
        sa.PrimaryKeyConstraint("call_id", name="pk_call_webhooks"),
    )
    for name in ("url", "secret"):
        op.add_column("deliveries", sa.Column(name, sa.Text))
