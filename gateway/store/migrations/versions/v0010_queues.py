"""Human queues: who waits, who is offered or talks, what is known of members, and what became of past waits."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_PART_ID = sa.String(160).with_variant(sa.String(160, collation="C"), "postgresql")
_COUNTER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_WAITS = sa.text("ended_at IS NULL")


def upgrade() -> None:
    _create_waits()
    op.create_table(
        "queue_claims",
        sa.Column("call_id", _PART_ID, nullable=False),
        sa.Column("member", sa.String(64), nullable=False),
        sa.Column("queue", sa.String(64), nullable=False),
        sa.Column("gateway", sa.String(64), nullable=False),
        sa.Column("talking", sa.Boolean, nullable=False),
        sa.Column("lease_until", sa.Float(53), nullable=False),
        sa.PrimaryKeyConstraint("call_id", "member", name="pk_queue_claims"),
    )
    op.create_index("ix_queue_claims_member", "queue_claims", ["member"])
    _create_members()
    op.create_table(
        "queue_memory",
        sa.Column("queue", sa.String(64), nullable=False),
        sa.Column("last_member", sa.String(64), nullable=False),
        sa.Column("service_s", sa.Float(53), nullable=False),
        sa.Column("served", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("queue", name="pk_queue_memory"),
    )


def _create_waits() -> None:
    op.create_table(
        "queue_waits",
        sa.Column("id", _COUNTER, nullable=False),
        sa.Column("call_id", _PART_ID, nullable=False),
        sa.Column("queue", sa.String(64), nullable=False),
        sa.Column("gateway", sa.String(64), nullable=False),
        sa.Column("joined_at", sa.Float(53), nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("skills", sa.Text, nullable=False),
        sa.Column("announced_at", sa.Float(53), nullable=False),
        sa.Column("offers", sa.Integer, nullable=False),
        sa.Column("lease_until", sa.Float(53), nullable=False),
        sa.Column("is_callback", sa.Boolean, nullable=False),
        sa.Column("callback_to", sa.String(256), nullable=False),
        sa.Column("member_first", sa.Boolean, nullable=False),
        sa.Column("callback_attempts", sa.Integer, nullable=False),
        sa.Column("callback_at", sa.Float(53), nullable=False),
        sa.Column("ended_at", sa.Float(53)),
        sa.Column("how", sa.String(16)),
        sa.Column("reason", sa.String(64), nullable=False),
        sa.Column("in_time", sa.Boolean, nullable=False),
        sa.Column("member", sa.String(64)),
        sa.Column("call_ended_at", sa.Float(53)),
        sa.Column("talked_s", sa.Float(53), nullable=False),
        sa.Column("wrap_up_s", sa.Float(53), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_queue_waits"),
    )
    for column in ("call_id", "ended_at", "call_ended_at"):
        op.create_index(f"ix_queue_waits_{column}", "queue_waits", [column])
    op.create_index(
        "ix_queue_waits_open", "queue_waits", ["call_id"], unique=True, sqlite_where=_WAITS, postgresql_where=_WAITS
    )


def _create_members() -> None:
    op.create_table(
        "queue_members",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("signed_in", sa.Boolean),
        sa.Column("paused", sa.String(256), nullable=False),
        sa.Column("reachable", sa.Boolean, nullable=False),
        sa.Column("wraps_up_until", sa.Float(53), nullable=False),
        sa.Column("last_ended_at", sa.Float(53), nullable=False),
        sa.Column("last_offered_at", sa.Float(53), nullable=False),
        sa.Column("last_wait", _COUNTER),
        sa.Column("taken", sa.Integer, nullable=False),
        sa.Column("taken_on", sa.String(10), nullable=False),
        sa.Column("refused_at", sa.Text, nullable=False),
        sa.Column("settings", sa.Text),
        sa.PrimaryKeyConstraint("name", name="pk_queue_members"),
    )
