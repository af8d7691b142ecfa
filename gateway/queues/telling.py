"""What the record and the events have of queues. Pure."""

from __future__ import annotations

from typing import Any

from gateway.record import CallEvents

__all__ = ["queue_event"]


def queue_event(call_id: str, kind: str, at: float, t_ms: float, queue: str, **fields: Any) -> CallEvents:
    """`kind`: joined, offered, answered, left, abandoned, overflowed, callback; `at`: seconds, loop clock; `t_ms`:
    since the call was answered."""
    event = {"type": f"queue_{kind}", "at": at, "t_ms": t_ms, "queue": queue, **fields}
    return CallEvents(call_id=call_id, events=(event,))
