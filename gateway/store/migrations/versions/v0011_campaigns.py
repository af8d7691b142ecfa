"""Campaigns, their contacts and attempts, do-not-call lists, and the evidence of decisions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_CALL_ID = sa.String(128).with_variant(sa.String(128, collation="C"), "postgresql")
_PART_ID = sa.String(160).with_variant(sa.String(160, collation="C"), "postgresql")
_COUNTER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _create_campaigns()
    _create_contacts()
    _create_attempts()
    op.create_table(
        "do_not_call",
        sa.Column("number", sa.String(64), nullable=False),
        sa.Column("list", sa.String(64), nullable=False),
        sa.Column("campaign_id", _PART_ID, nullable=False),
        sa.Column("added_at", sa.Float(53), nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("number", "list", "campaign_id", name="pk_do_not_call"),
    )
    op.create_table(
        "campaign_decisions",
        sa.Column("id", _COUNTER, nullable=False),
        sa.Column("campaign_id", _PART_ID, nullable=False),
        sa.Column("contact_id", _COUNTER, nullable=False),
        sa.Column("number", sa.String(64), nullable=False),
        sa.Column("at", sa.Float(53), nullable=False),
        sa.Column("verdict", sa.String(16), nullable=False),
        sa.Column("until", sa.Float(53)),
        sa.Column("rule", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_campaign_decisions"),
    )
    op.create_index("ix_campaign_decisions_number_at", "campaign_decisions", ["number", "at"])
    op.create_index("ix_campaign_decisions_campaign_id_id", "campaign_decisions", ["campaign_id", "id"])


def _create_campaigns() -> None:
    op.create_table(
        "campaigns",
        sa.Column("campaign_id", _PART_ID, nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("order", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("pace", sa.Text, nullable=False),
        sa.Column("created_at", sa.Float(53), nullable=False),
        sa.Column("started_at", sa.Float(53)),
        sa.Column("ended_at", sa.Float(53)),
        sa.PrimaryKeyConstraint("campaign_id", name="pk_campaigns"),
    )
    op.create_index("ix_campaigns_state", "campaigns", ["state"])


def _create_contacts() -> None:
    op.create_table(
        "campaign_contacts",
        sa.Column("contact_id", _COUNTER, nullable=False),
        sa.Column("campaign_id", _PART_ID, nullable=False),
        sa.Column("key", sa.String(200), nullable=False),
        sa.Column("numbers", sa.Text, nullable=False),
        sa.Column("variables", sa.Text, nullable=False),
        sa.Column("consent", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("next_at", sa.Float(53), nullable=False),
        sa.Column("callback_at", sa.Float(53)),
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("done", sa.String(16)),
        sa.Column("lease_by", sa.String(64), nullable=False),
        sa.Column("lease_until", sa.Float(53), nullable=False),
        sa.Column("call_id", _CALL_ID, nullable=False),
        sa.Column("added_at", sa.Float(53), nullable=False),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.campaign_id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("contact_id", name="pk_campaign_contacts"),
    )
    op.create_index("ix_campaign_contacts_campaign_id_key", "campaign_contacts", ["campaign_id", "key"], unique=True)
    due = ["campaign_id", "state", "next_at"]
    op.create_index("ix_campaign_contacts_campaign_id_state_next_at", "campaign_contacts", due)
    op.create_index("ix_campaign_contacts_state_lease_until", "campaign_contacts", ["state", "lease_until"])


def _create_attempts() -> None:
    op.create_table(
        "campaign_attempts",
        sa.Column("contact_id", _COUNTER, nullable=False),
        sa.Column("place", sa.Integer, nullable=False),
        sa.Column("campaign_id", _PART_ID, nullable=False),
        sa.Column("number", sa.String(64), nullable=False),
        sa.Column("at", sa.Float(53), nullable=False),
        sa.Column("call_id", _CALL_ID, nullable=False),
        sa.Column("outcome", sa.String(16)),
        sa.Column("answered_by", sa.String(16)),
        sa.Column("delivered", sa.Boolean, nullable=False),
        sa.Column("settled", sa.Boolean, nullable=False),
        sa.Column("result", sa.Text),
        sa.ForeignKeyConstraint(["contact_id"], ["campaign_contacts.contact_id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("contact_id", "place", name="pk_campaign_attempts"),
    )
    op.create_index("ix_campaign_attempts_call_id", "campaign_attempts", ["call_id"], unique=True)
    op.create_index("ix_campaign_attempts_campaign_id_at", "campaign_attempts", ["campaign_id", "at"])
    op.create_index("ix_campaign_attempts_number", "campaign_attempts", ["number"])
