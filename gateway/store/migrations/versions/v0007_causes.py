"""The Q.850 cause of each call's and each leg's end. Unknown for earlier ones."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("calls", "legs"):
        op.add_column(table, sa.Column("q850_cause", sa.Integer))
