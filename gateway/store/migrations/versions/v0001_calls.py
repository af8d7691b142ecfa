"""Calls, their turns and their events."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Ids sort byte by byte, as in SQLite, whatever the database's language.
_CALL_ID = sa.String(128).with_variant(sa.String(128, collation="C"), "postgresql")
_COUNTER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _create_calls()
    op.create_table(
        "turns",
        sa.Column("call_id", _CALL_ID, sa.ForeignKey("calls.call_id", ondelete="CASCADE"), nullable=False),
        sa.Column("place", sa.Integer, nullable=False),
        sa.Column("speaker", sa.String(16), nullable=False),
        sa.Column("start_ms", sa.Float, nullable=False),
        sa.Column("end_ms", sa.Float, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("interrupted", sa.Boolean, nullable=False),
        sa.Column("latency_ms", sa.Float),
        sa.Column("turn", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("call_id", "place", name="pk_turns"),
    )
    op.create_table(
        "events",
        sa.Column("id", _COUNTER, nullable=False),
        sa.Column("call_id", _CALL_ID, sa.ForeignKey("calls.call_id", ondelete="CASCADE"), nullable=False),
        sa.Column("t_ms", sa.Float),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
    )
    op.create_index("ix_events_call_id_id", "events", ["call_id", "id"])


def _create_calls() -> None:
    op.create_table(
        "calls",
        sa.Column("call_id", _CALL_ID, nullable=False),
        sa.Column("direction", sa.String(16), nullable=False),
        sa.Column("trunk", sa.String(64), nullable=False),
        sa.Column("called", sa.String(256), nullable=False),
        sa.Column("caller", sa.String(256)),
        sa.Column("sip_call_id", sa.Text, nullable=False),
        sa.Column("persona", sa.String(256), nullable=False),
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("worker", sa.String(64), nullable=False),
        sa.Column("started_at", sa.DateTime, nullable=False),
        sa.Column("answered_at", sa.DateTime),
        sa.Column("ended_at", sa.DateTime),
        sa.Column("duration_ms", sa.Integer),
        sa.Column("outcome", sa.String(16)),
        sa.Column("sip_status", sa.Integer),
        sa.Column("ended_by", sa.String(16)),
        sa.Column("end_reason", sa.Text, nullable=False),
        sa.Column("refused_by", sa.Text, nullable=False),
        sa.Column("recording", sa.JSON),
        sa.Column("media", sa.JSON),
        sa.Column("first_rtp_ms", sa.Float),
        sa.Column("media_alarms", sa.JSON),
        sa.Column("tokens", sa.JSON),
        sa.PrimaryKeyConstraint("call_id", name="pk_calls"),
    )
    op.create_index("ix_calls_started_at_call_id", "calls", ["started_at", "call_id"])
    for column in ("called", "caller", "persona", "outcome"):
        op.create_index(f"ix_calls_{column}_started_at", "calls", [column, "started_at"])


def downgrade() -> None:
    for table in ("events", "turns", "calls"):
        op.drop_table(table)
