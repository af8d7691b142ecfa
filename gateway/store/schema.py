"""The tables. A change here needs a migration in `migrations/versions`; a test compares the two."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    text,
)

__all__ = [
    "UtcDateTime",
    "api_keys",
    "call_webhooks",
    "calls",
    "campaign_attempts",
    "campaign_contacts",
    "campaign_decisions",
    "campaigns",
    "deliveries",
    "do_not_call",
    "events",
    "idempotency",
    "legs",
    "metadata",
    "queue_claims",
    "queue_members",
    "queue_memory",
    "queue_waits",
    "transfers",
    "turns",
]


class UtcDateTime(TypeDecorator[datetime]):
    """Aware datetimes, stored as UTC: SQLite forgets time zones."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


# Ids sort byte by byte, as in SQLite, whatever the database's language.
_CallId = String(128).with_variant(String(128, collation="C"), "postgresql")
_PartId = String(160).with_variant(String(160, collation="C"), "postgresql")
_Counter = BigInteger().with_variant(Integer(), "sqlite")

metadata = MetaData(naming_convention={"ix": "ix_%(table_name)s_%(column_0_N_name)s", "pk": "pk_%(table_name)s"})

calls = Table(
    "calls",
    metadata,
    Column("call_id", _CallId, primary_key=True),
    Column("direction", String(16), nullable=False),
    Column("trunk", String(64), nullable=False),
    Column("called", String(256), nullable=False),
    Column("caller", String(256)),
    Column("sip_call_id", Text, nullable=False),
    Column("persona", String(256), nullable=False),
    Column("rule", Text, nullable=False),
    Column("worker", String(64), nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("attempts", Integer),  # NULL: one
    Column("answered_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    Column("duration_ms", Integer),
    Column("outcome", String(16)),  # NULL while the call is in progress
    Column("sip_status", Integer),
    Column("q850_cause", Integer),
    Column("ended_by", String(16)),
    Column("end_reason", Text, nullable=False),
    Column("refused_by", Text, nullable=False),
    Column("recording", JSON(none_as_null=True)),
    Column("media", JSON(none_as_null=True)),
    Column("first_rtp_ms", Float),
    Column("media_alarms", JSON(none_as_null=True)),
    Column("tokens", JSON(none_as_null=True)),
    Column("gateway_id", String(64)),  # NULL: the only one, with SQLite
    Column("answered_by", String(16)),
    Column("answering", JSON(none_as_null=True)),
    Column("message", JSON(none_as_null=True)),
    Index(None, "started_at", "call_id"),
    Index(None, "called", "started_at"),
    Index(None, "caller", "started_at"),
    Index(None, "persona", "started_at"),
    Index(None, "outcome", "started_at"),
    Index(None, "answered_by", "started_at"),
)

turns = Table(
    "turns",
    metadata,
    Column("call_id", _CallId, ForeignKey("calls.call_id", ondelete="CASCADE"), primary_key=True),
    Column("place", Integer, primary_key=True),
    Column("speaker", String(16), nullable=False),
    Column("start_ms", Float, nullable=False),
    Column("end_ms", Float, nullable=False),
    Column("text", Text, nullable=False),
    Column("interrupted", Boolean, nullable=False),
    Column("latency_ms", Float),  # end of the caller's speech to the reply's first packet
    Column("turn", Text, nullable=False),  # the whole Turn as JSON text, decoded off the loop
)

events = Table(
    "events",
    metadata,
    Column("id", _Counter, primary_key=True),  # in order of arrival
    Column("call_id", _CallId, ForeignKey("calls.call_id", ondelete="CASCADE"), nullable=False),
    Column("t_ms", Float),
    Column("type", String(64), nullable=False),
    Column("event", Text, nullable=False),  # JSON text, decoded off the loop
    Index(None, "call_id", "id"),
)

# In PostgreSQL the migration does the same; declaring it here would load its dialect (3 MiB) in every process.
_OPEN = text("outcome IS NULL")

legs = Table(
    "legs",
    metadata,
    Column("leg_id", _PartId, primary_key=True),
    Column("call_id", _CallId, ForeignKey("calls.call_id", ondelete="CASCADE"), nullable=False),
    Column("role", String(16), nullable=False),
    Column("direction", String(16), nullable=False),
    Column("trunk", String(64), nullable=False),
    Column("called", String(256), nullable=False),
    Column("caller", String(256)),
    Column("sip_call_id", Text, nullable=False),
    Column("worker", String(64), nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("answered_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    Column("outcome", String(16)),  # NULL while the leg is active
    Column("sip_status", Integer),
    Column("q850_cause", Integer),
    Column("ended_by", String(16)),
    Column("end_reason", Text, nullable=False),
    Column("media", JSON(none_as_null=True)),
    Column("first_rtp_ms", Float),
    Column("media_alarms", JSON(none_as_null=True)),
    Index(None, "call_id"),
    Index("ix_legs_open", "call_id", sqlite_where=_OPEN),
)

transfers = Table(
    "transfers",
    metadata,
    Column("transfer_id", _PartId, primary_key=True),
    Column("call_id", _CallId, ForeignKey("calls.call_id", ondelete="CASCADE"), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("target", String(256), nullable=False),
    Column("leg_id", _PartId),  # no foreign key: the leg's own message may arrive later
    Column("began_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("outcome", String(16)),  # NULL while the transfer is in progress
    Column("sip_status", Integer),
    Column("reason", Text, nullable=False),
    Index(None, "call_id"),
    Index("ix_transfers_open", "call_id", sqlite_where=_OPEN),
)

deliveries = Table(  # to webhooks, until accepted (gateway.store.deliveries)
    "deliveries",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("event_id", String(64), nullable=False),
    Column("endpoint", Text, nullable=False),
    Column("type", String(64), nullable=False),
    Column("body", Text, nullable=False),  # JSON text
    Column("created", Float(53), nullable=False),  # Unix seconds
    Column("due", Float(53), nullable=False),  # Unix seconds; in the future while claimed
    Column("attempts", Integer, nullable=False),
    Column("error", Text, nullable=False),  # of the last attempt
    Column("url", Text),  # NULL: as the settings have the endpoint
    Column("secret", Text),  # to sign it with, beside `url`
    Index(None, "event_id"),
    Index(None, "endpoint", "due"),
)

call_webhooks = Table(  # of calls that go on (gateway.store.call_hooks)
    "call_webhooks",
    metadata,
    Column("call_id", String(128), primary_key=True),  # no foreign key: it is kept before the call's own row
    Column("gateway_id", String(64)),
    Column("url", Text, nullable=False),
    Column("events", Text, nullable=False),  # patterns with spaces between them
    Column("secret", Text, nullable=False),
    Column("created", Float(53), nullable=False),  # Unix seconds
)

api_keys = Table(  # those of `trunkline keys` (gateway.store.keys)
    "api_keys",
    metadata,
    Column("key_id", String(64), primary_key=True),
    Column("name", String(128), nullable=False),
    Column("scopes", Text, nullable=False),  # separated by spaces
    Column("digest", String(64), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("revoked_at", UtcDateTime),
)

idempotency = Table(  # answers that are kept for a day (gateway.store.idempotency)
    "idempotency",
    metadata,
    Column("owner", String(64), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("reference", String(128), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("status", Integer),  # NULL: not answered
    Column("location", Text, nullable=False),
    Column("body", Text, nullable=False),
    Index(None, "created_at"),
)

# --- human queues (gateway.store.queues): times are Unix seconds ---

_WAITS = text("ended_at IS NULL")

queue_waits = Table(  # callers and callbacks that wait, and what became of those that did
    "queue_waits",
    metadata,
    Column("id", _Counter, primary_key=True),
    Column("call_id", _PartId, nullable=False),  # no foreign key: the call's own row may come later
    Column("queue", String(64), nullable=False),
    Column("gateway", String(64), nullable=False),
    Column("joined_at", Float(53), nullable=False),
    Column("priority", Integer, nullable=False),
    Column("skills", Text, nullable=False),  # JSON: [[name, level], …]
    Column("announced_at", Float(53), nullable=False),
    Column("offers", Integer, nullable=False),
    Column("lease_until", Float(53), nullable=False),
    Column("is_callback", Boolean, nullable=False),
    Column("callback_to", String(256), nullable=False),  # a person's number; erased when the callback has ended
    Column("member_first", Boolean, nullable=False),
    Column("callback_attempts", Integer, nullable=False),
    Column("callback_at", Float(53), nullable=False),
    Column("ended_at", Float(53)),  # NULL: waits
    Column("how", String(16)),
    Column("reason", String(64), nullable=False),
    Column("in_time", Boolean, nullable=False),  # it ended within the service level
    Column("member", String(64)),  # who answered
    Column("call_ended_at", Float(53)),
    Column("talked_s", Float(53), nullable=False),
    Column("wrap_up_s", Float(53), nullable=False),
    Index(None, "call_id"),
    Index(None, "ended_at"),
    Index(None, "call_ended_at"),
    Index("ix_queue_waits_open", "call_id", unique=True, sqlite_where=_WAITS),
)

queue_claims = Table(  # members who are being offered a caller, or talk with one
    "queue_claims",
    metadata,
    Column("call_id", _PartId, primary_key=True),
    Column("member", String(64), primary_key=True),
    Column("queue", String(64), nullable=False),
    Column("gateway", String(64), nullable=False),
    Column("talking", Boolean, nullable=False),
    Column("lease_until", Float(53), nullable=False),
    Index(None, "member"),
)

queue_members = Table(
    "queue_members",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("signed_in", Boolean),  # NULL: has never signed in or out
    Column("paused", String(256), nullable=False),  # the reason; empty: not paused
    Column("reachable", Boolean, nullable=False),
    Column("wraps_up_until", Float(53), nullable=False),
    Column("last_ended_at", Float(53), nullable=False),
    Column("last_offered_at", Float(53), nullable=False),
    Column("last_wait", _Counter),  # of queue_waits: whose wrap-up goes on
    Column("taken", Integer, nullable=False),  # calls, on the day `taken_on`
    Column("taken_on", String(10), nullable=False),
    Column("refused_at", Text, nullable=False),  # JSON: {queue: time}
    Column("settings", Text),  # JSON; NULL: as the gateway's settings have them, not REST
)

queue_memory = Table(
    "queue_memory",
    metadata,
    Column("queue", String(64), primary_key=True),
    Column("last_member", String(64), nullable=False),  # for round-robin
    Column("service_s", Float(53), nullable=False),  # mean
    Column("served", Integer, nullable=False),  # calls that it is the mean of
)

# --- campaigns (gateway.store.campaigns): times are Unix seconds ---

campaigns = Table(
    "campaigns",
    metadata,
    Column("campaign_id", _PartId, primary_key=True),
    Column("name", String(200), nullable=False),
    Column("order", Text, nullable=False),  # JSON: gateway.campaigns.order.CampaignOrder
    Column("state", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("failures", Integer, nullable=False),  # calls in a row that failed on our side
    Column("pace", Text, nullable=False),  # JSON: gateway.campaigns.pacing.Pace
    Column("created_at", Float(53), nullable=False),
    Column("started_at", Float(53)),
    Column("ended_at", Float(53)),
    Index(None, "state"),
)

campaign_contacts = Table(
    "campaign_contacts",
    metadata,
    Column("contact_id", _Counter, primary_key=True),
    Column("campaign_id", _PartId, ForeignKey("campaigns.campaign_id", ondelete="CASCADE"), nullable=False),
    Column("key", String(200), nullable=False),
    Column("numbers", Text, nullable=False),  # JSON: [[number, [zone, …], region], …]
    Column("variables", Text, nullable=False),  # JSON
    Column("consent", String(64), nullable=False),  # its basis
    Column("state", String(16), nullable=False),
    Column("next_at", Float(53), nullable=False),
    Column("callback_at", Float(53)),
    Column("rule", Text, nullable=False),  # why it waits, or is done
    Column("done", String(16)),  # a DoneReason
    Column("lease_by", String(64), nullable=False),
    Column("lease_until", Float(53), nullable=False),
    Column("call_id", _CallId, nullable=False),  # of the attempt under way
    Column("added_at", Float(53), nullable=False),
    Index(None, "campaign_id", "key", unique=True),
    Index(None, "campaign_id", "state", "next_at"),
    Index(None, "state", "lease_until"),
)

campaign_attempts = Table(
    "campaign_attempts",
    metadata,
    Column("contact_id", _Counter, ForeignKey("campaign_contacts.contact_id", ondelete="CASCADE"), primary_key=True),
    Column("place", Integer, primary_key=True),  # 1 for the contact's first: no attempt is made twice
    Column("campaign_id", _PartId, nullable=False),
    Column("number", String(64), nullable=False),
    Column("at", Float(53), nullable=False),
    Column("call_id", _CallId, nullable=False),
    Column("outcome", String(16)),  # NULL: not known yet, or never will be
    Column("answered_by", String(16)),
    Column("delivered", Boolean, nullable=False),
    Column("settled", Boolean, nullable=False),  # what follows from it has been decided
    Column("result", Text),  # JSON: what the persona reported
    Index(None, "call_id", unique=True),
    Index(None, "campaign_id", "at"),
    Index(None, "number"),
)

do_not_call = Table(
    "do_not_call",
    metadata,
    Column("number", String(64), primary_key=True),
    Column("list", String(64), primary_key=True),
    Column("campaign_id", _PartId, primary_key=True),  # empty: for all campaigns
    Column("added_at", Float(53), nullable=False),
    Column("source", Text, nullable=False),  # who or what put it there
)

campaign_decisions = Table(  # each decision to call or not, with its rule: evidence
    "campaign_decisions",
    metadata,
    Column("id", _Counter, primary_key=True),
    Column("campaign_id", _PartId, nullable=False),
    Column("contact_id", _Counter, nullable=False),
    Column("number", String(64), nullable=False),
    Column("at", Float(53), nullable=False),
    Column("verdict", String(16), nullable=False),  # dial, later, done
    Column("until", Float(53)),
    Column("rule", Text, nullable=False),
    Index(None, "number", "at"),
    Index(None, "campaign_id", "id"),
)

phone_bindings = Table(  # phones that are registered with a gateway (gateway.store.phones)
    "phone_bindings",
    metadata,
    Column("gateway", String(64), primary_key=True),  # its id; empty: the only one
    Column("name", String(64), primary_key=True),
    Column("uri", String(512), primary_key=True),
    Column("expires_at", Float(53), nullable=False),  # Unix seconds
    Column("binding", Text, nullable=False),  # JSON: where it is reached, and the rest
)
