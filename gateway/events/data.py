"""What events are made of: their types, and what the data of each kind has in common. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["EXAMPLE_CALL", "CallTold", "EventData", "EventType"]

EXAMPLE_CALL = {"call_id": "8b0f5a1c2d3e4f60"}


class EventType(StrEnum):
    CALL_QUEUED = "call.queued"
    CALL_RINGING = "call.ringing"
    CALL_ANSWERED = "call.answered"
    CALL_ANSWERED_BY = "call.answered_by"
    CALL_MESSAGE_LEFT = "call.message_left"
    CALL_DIGIT = "call.digit"
    CALL_DIGITS_SENT = "call.digits_sent"
    CALL_DIGITS_FAILED = "call.digits_failed"
    CALL_LEG_REPLACED = "call.leg_replaced"
    CALL_TURN = "call.turn"
    CALL_TOOL = "call.tool"
    CALL_HANDOFF = "call.handoff"
    CALL_ENDED = "call.ended"
    CALL_HELD = "call.held"
    CALL_RESUMED = "call.resumed"
    CALL_MUTED = "call.muted"
    CALL_UNMUTED = "call.unmuted"
    CALL_LISTENED = "call.listened"
    TRANSFER_STARTED = "transfer.started"
    TRANSFER_RINGING = "transfer.ringing"
    TRANSFER_ANSWERED = "transfer.answered"
    TRANSFER_COMPLETED = "transfer.completed"
    TRANSFER_FAILED = "transfer.failed"
    QUEUE_JOINED = "queue.joined"
    QUEUE_OFFERED = "queue.offered"
    QUEUE_ANSWERED = "queue.answered"
    QUEUE_LEFT = "queue.left"
    QUEUE_ABANDONED = "queue.abandoned"
    QUEUE_OVERFLOWED = "queue.overflowed"
    QUEUE_CALLBACK = "queue.callback"
    RECORDING_READY = "recording.ready"
    TRUNK_REGISTERED = "trunk.registered"
    TRUNK_REGISTRATION_FAILED = "trunk.registration_failed"
    TRUNK_UNREGISTERED = "trunk.unregistered"
    TRUNK_UP = "trunk.up"
    TRUNK_DOWN = "trunk.down"
    TRUNK_REFUSED = "trunk.refused"
    PHONE_REGISTERED = "phone.registered"
    PHONE_UNREGISTERED = "phone.unregistered"
    PHONE_UNREACHABLE = "phone.unreachable"
    PHONE_REACHABLE = "phone.reachable"


class EventData(BaseModel):
    """`data` of an event. A kind's docstring says when it is told; `example` is one, as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    type: ClassVar[EventType]
    example: ClassVar[Mapping[str, Any]]

    @property
    def of_call(self) -> str:
        """The call's ID; empty for events that belong to no call."""
        return ""


class CallTold(EventData):
    call_id: str = Field(description="The call's ID.")

    @property
    def of_call(self) -> str:
        return self.call_id
