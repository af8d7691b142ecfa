"""What an event looks like on the wire. Pure. It is a JSON object, the same over webhooks and server-sent events:

    {"id": "…", "type": "call.ended", "timestamp": "2026-11-27T20:00:00.123Z", "data": {"call_id": "…", …}}

It has the shape that Standard Webhooks ask for. `gateway.events.kinds` has what `data` holds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase

from gateway.events.kinds import EventData, EventType

__all__ = ["Event", "EventType", "matches"]


@dataclass(frozen=True, slots=True)
class Event:
    id: str
    at: datetime  # aware
    data: EventData

    @property
    def type(self) -> EventType:
        return self.data.type

    @property
    def call_id(self) -> str:
        """Empty for events that belong to no call."""
        return self.data.of_call

    def to_json(self) -> str:
        timestamp = self.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        head = json.dumps({"id": self.id, "type": self.type, "timestamp": timestamp}, separators=(",", ":"))
        return f'{head[:-1]},"data":{self.data.model_dump_json(by_alias=True)}}}'


def matches(event_type: str, patterns: Iterable[str]) -> bool:
    """Patterns as in `call.ended`, `call.*` and `*`."""
    return any(fnmatchcase(event_type, pattern) for pattern in patterns)
