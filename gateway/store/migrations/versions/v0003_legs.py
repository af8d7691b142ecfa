"""Legs and transfers. Each old call's data about its customer becomes a leg."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# Ids sort byte by byte, as in SQLite, whatever the database's language.
_CALL_ID = sa.String(128).with_variant(sa.String(128, collation="C"), "postgresql")
_PART_ID = sa.String(160).with_variant(sa.String(160, collation="C"), "postgresql")

_OPEN = sa.text("outcome IS NULL")
_SHARED = (
    "call_id, direction, trunk, called, caller, sip_call_id, worker, started_at, answered_at, ended_at, outcome, "
    "sip_status, ended_by, end_reason, media, first_rtp_ms, media_alarms"
)


def upgrade() -> None:
    _create_legs()
    _create_transfers()
    into, those = f"leg_id, role, {_SHARED}", f"call_id || '-1', 'customer', {_SHARED}"
    op.execute(f"INSERT INTO legs ({into}) SELECT {those} FROM calls")  # noqa: S608 - constants


def _create_legs() -> None:
    op.create_table(
        "legs",
        sa.Column("leg_id", _PART_ID, nullable=False),
        sa.Column("call_id", _CALL_ID, sa.ForeignKey("calls.call_id", ondelete="CASCADE"), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("direction", sa.String(16), nullable=False),
        sa.Column("trunk", sa.String(64), nullable=False),
        sa.Column("called", sa.String(256), nullable=False),
        sa.Column("caller", sa.String(256)),
        sa.Column("sip_call_id", sa.Text, nullable=False),
        sa.Column("worker", sa.String(64), nullable=False),
        sa.Column("started_at", sa.DateTime, nullable=False),
        sa.Column("answered_at", sa.DateTime),
        sa.Column("ended_at", sa.DateTime),
        sa.Column("outcome", sa.String(16)),
        sa.Column("sip_status", sa.Integer),
        sa.Column("ended_by", sa.String(16)),
        sa.Column("end_reason", sa.Text, nullable=False),
        sa.Column("media", sa.JSON),
        sa.Column("first_rtp_ms", sa.Float),
        sa.Column("media_alarms", sa.JSON),
        sa.PrimaryKeyConstraint("leg_id", name="pk_legs"),
    )
    op.create_index("ix_legs_call_id", "legs", ["call_id"])
    op.create_index("ix_legs_open", "legs", ["call_id"], sqlite_where=_OPEN, postgresql_where=_OPEN)


def _create_transfers() -> None:
    op.create_table(
        "transfers",
        sa.Column("transfer_id", _PART_ID, nullable=False),
        sa.Column("call_id", _CALL_ID, sa.ForeignKey("calls.call_id", ondelete="CASCADE"), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("target", sa.String(256), nullable=False),
        sa.Column("leg_id", _PART_ID),
        sa.Column("began_at", sa.DateTime, nullable=False),
        sa.Column("ended_at", sa.DateTime),
        sa.Column("outcome", sa.String(16)),
        sa.Column("sip_status", sa.Integer),
        sa.Column("reason", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("transfer_id", name="pk_transfers"),
    )
    op.create_index("ix_transfers_call_id", "transfers", ["call_id"])
    op.create_index("ix_transfers_open", "transfers", ["call_id"], sqlite_where=_OPEN, postgresql_where=_OPEN)
