"""Logs one line when a call ends, in whichever process and for whatever reason."""

from __future__ import annotations

import structlog

from gateway.live_calls import CallEnded

__all__ = ["log_end"]

log = structlog.get_logger(__name__)


def log_end(end: CallEnded) -> None:
    log.info(
        "call_ended",
        call_id=end.call_id,
        outcome=end.outcome.value,
        ended_by=end.ended_by.value,
        reason=end.reason,
        sip_status=end.sip_status,
        q850_cause=end.q850_cause,
        duration_s=end.duration_s,
        turns=end.turns,
    )
