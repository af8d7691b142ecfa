"""The catalogue of events: human queues."""

from __future__ import annotations

from pydantic import Field

from gateway.events.data import EXAMPLE_CALL, CallTold, EventType

__all__ = [
    "QueueAbandoned",
    "QueueAnswered",
    "QueueCallback",
    "QueueJoined",
    "QueueLeft",
    "QueueOffered",
    "QueueOverflowed",
]


class _Queued(CallTold):
    queue: str = Field(description="The queue's name.")


class QueueJoined(_Queued):
    """A caller begins to wait for a human of a queue."""

    type = EventType.QUEUE_JOINED
    example = EXAMPLE_CALL | {"queue": "desk", "position": 3, "wait_s": 120.0, "priority": 0}

    position: int = Field(description="From 1.")
    wait_s: float | None = Field(default=None, description="The estimate; null: not known.")
    priority: int = Field(default=0, description="Higher goes first.")


class QueueOffered(_Queued):
    """Members' phones are rung for a caller: one, or all at once."""

    type = EventType.QUEUE_OFFERED
    example = EXAMPLE_CALL | {"queue": "desk", "members": ["anna"]}

    members: tuple[str, ...] = Field(description="Who.")


class _Waited(_Queued):
    waited_s: float = Field(description="How long the caller has waited.")


class QueueAnswered(_Waited):
    """A member has the caller."""

    type = EventType.QUEUE_ANSWERED
    example = EXAMPLE_CALL | {"queue": "desk", "waited_s": 14.2, "member": "anna", "leg_id": "8b0f5a1c2d3e4f60-2"}

    member: str = Field(description="Who.")
    leg_id: str = Field(description="The member's leg.")


class QueueLeft(_Waited):
    """The caller has left by themselves, and is with the agent again."""

    type = EventType.QUEUE_LEFT
    example = EXAMPLE_CALL | {"queue": "desk", "waited_s": 61.0}


class QueueAbandoned(_Waited):
    """The caller hung up, or their call ended, while they waited."""

    type = EventType.QUEUE_ABANDONED
    example = EXAMPLE_CALL | {"queue": "desk", "waited_s": 95.3}


class QueueOverflowed(_Waited):
    """The caller may wait no longer."""

    type = EventType.QUEUE_OVERFLOWED
    example = EXAMPLE_CALL | {"queue": "desk", "waited_s": 300.0, "reason": "too_long", "to": "+15557000009"}

    reason: str = Field(description="`full`, `closed`, `too_long`, `no_members`, `removed` or `unavailable`.")
    to: str = Field(default="", description="Where to: a queue, a number or a persona; empty: back to the agent.")


class QueueCallback(_Waited):
    """The caller will be called back, and keeps their place."""

    type = EventType.QUEUE_CALLBACK
    example = EXAMPLE_CALL | {"queue": "desk", "waited_s": 33.0, "to": "+15551234567"}

    to: str = Field(description="The number.")
