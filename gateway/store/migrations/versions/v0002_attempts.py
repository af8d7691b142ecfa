"""A record may stand for several attempts: those of one source over the rate limit, aggregated."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("calls", sa.Column("attempts", sa.Integer))
