"""The catalogue of events, and what each one looks like on the wire. Pure.

An event is a JSON object, the same over webhooks and server-sent events:

    {"id": "…", "type": "call.ended", "timestamp": "2026-11-27T20:00:00.123Z", "data": {"call_id": "…", …}}

It has the shape that Standard Webhooks ask for. `docs/events.md` lists what `data` holds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

__all__ = ["Event", "EventType", "matches"]


class EventType(StrEnum):
    CALL_QUEUED = "call.queued"  # an outbound call was accepted and is about to be placed
    CALL_RINGING = "call.ringing"  # an inbound call has come and is being answered; an outbound one rings
    CALL_ANSWERED = "call.answered"
    CALL_DIGIT = "call.digit"
    CALL_TURN = "call.turn"  # one side has finished saying something
    CALL_TOOL = "call.tool"  # a function of the persona has returned
    CALL_HANDOFF = "call.handoff"  # another persona has taken over
    CALL_ENDED = "call.ended"  # exactly once for each attempt
    TRANSFER_STARTED = "transfer.started"
    TRANSFER_ENDED = "transfer.ended"
    RECORDING_READY = "recording.ready"
    TRUNK_REGISTERED = "trunk.registered"  # for the first time, or again after it was not
    TRUNK_NOT_REGISTERED = "trunk.not_registered"  # a try has failed, or the registration is over
    TRUNK_HOST_UP = "trunk.host_up"  # by OPTIONS
    TRUNK_HOST_DOWN = "trunk.host_down"


@dataclass(frozen=True, slots=True)
class Event:
    """`data` holds JSON values. `call_id`: empty for events that belong to no call."""

    id: str
    type: EventType
    at: datetime  # aware
    call_id: str
    data: Mapping[str, Any]

    def to_json(self) -> str:
        timestamp = self.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        body = {"id": self.id, "type": self.type, "timestamp": timestamp, "data": self.data}
        return json.dumps(body, ensure_ascii=False, separators=(",", ":"))


def matches(event_type: str, patterns: Iterable[str]) -> bool:
    """Patterns as in `call.ended`, `call.*` and `*`."""
    return any(fnmatchcase(event_type, pattern) for pattern in patterns)
