"""Phones that are registered with us, so that a restart of the gateway does not lose them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "phone_bindings",
        sa.Column("gateway", sa.String(64), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("uri", sa.String(512), nullable=False),
        sa.Column("expires_at", sa.Float(53), nullable=False),
        sa.Column("binding", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("gateway", "name", "uri", name="pk_phone_bindings"),
    )
