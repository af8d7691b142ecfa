"""One line in the log when a call is over, whichever process it was in and however it ended."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime

import structlog

from gateway.record import (
    CallClosed,
    CallEvents,
    CallOpened,
    CallRecord,
    Outcome,
    RecordMessage,
    WorkerLost,
    duration_between,
)
from telephony.call import EndedBy

__all__ = ["CallLog"]

log = structlog.get_logger(__name__)

_REMEMBERED = 1000  # calls that are over: what comes later of them (a recording that was saved) is no second end


@dataclass(slots=True)
class _Live:
    answered_at: datetime | None = None
    turns: int = 0  # of the caller


class CallLog:
    """Feed it every record message."""

    def __init__(self) -> None:
        self._live: dict[str, _Live] = {}
        self._over: OrderedDict[str, None] = OrderedDict()

    def observe(self, message: RecordMessage) -> None:
        match message:
            case CallOpened():
                self._live.setdefault(message.call_id, _Live())
            case CallEvents():
                live = self._live.setdefault(message.call_id, _Live())
                live.answered_at = message.answered_at or live.answered_at
                live.turns += sum(event.get("type") == "user_message" for event in message.events)
            case CallClosed() | CallRecord():
                outcome, by = message.outcome or Outcome.FAILED, message.ended_by or EndedBy.SYSTEM
                at, answered_at = message.ended_at, message.answered_at
                why = message.end_reason
                if message.refused_by and message.refused_by != why:
                    why = f"{why}: {message.refused_by}" if why else message.refused_by
                self._ended(message.call_id, outcome, by, why, at, answered_at, message.sip_status)
            case WorkerLost():
                for call_id in message.call_ids:
                    self._ended(call_id, Outcome.WORKER_LOST, EndedBy.SYSTEM, message.reason, message.at, None, None)

    def _ended(
        self,
        call_id: str,
        outcome: Outcome,
        by: EndedBy,
        reason: str,
        at: datetime | None,
        answered_at: datetime | None,
        sip_status: int | None,
    ) -> None:
        live = self._live.pop(call_id, None) or _Live()
        if call_id in self._over:
            return
        self._over[call_id] = None
        if len(self._over) > _REMEMBERED:
            self._over.popitem(last=False)
        log.info(
            "call_ended",
            call_id=call_id,
            outcome=outcome.value,
            ended_by=by.value,
            reason=reason,
            sip_status=sip_status,
            duration_s=round(duration_between(answered_at or live.answered_at, at) / 1000, 1),
            turns=live.turns,
        )
