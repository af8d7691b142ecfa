"""The record of a flood: one for everything a source sent over its rate within a minute. Pure."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta

from gateway.record import CallRecord, refused_record
from telephony.call import CallInfo, Direction
from telephony.edge import Flood

__all__ = ["flood_record"]


def flood_record(flood: Flood, *, now: float, wall: datetime) -> CallRecord:
    """`now` (loop clock) and `wall` (UTC) are the same moment."""
    info = CallInfo(
        call_id=secrets.token_hex(8), direction=Direction.INBOUND, called="", caller=None, trunk=flood.trunk or ""
    )
    first, last = (wall - timedelta(seconds=max(0.0, now - at)) for at in (flood.first_at, flood.last_at))
    source = flood.source or "many sources"
    rule = f"too many new calls per second from {source}" if flood.trunk else f"no trunk allows source {source}"
    attempts = f"{flood.attempts} attempts" if flood.attempts > 1 else "1 attempt"
    return refused_record(
        info,
        started_at=first,
        ended_at=last,
        sip_status=503 if flood.trunk else 403,
        refused_by=rule,
        reason=f"{attempts} over the rate, {first:%H:%M:%S} to {last:%H:%M:%S} UTC",
        attempts=flood.attempts,
    )
