"""The record of a call that no gateway bridges (LiveKit SIP): from the job over the control channel to the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import structlog

from agent.worker.worker import NoHooks
from gateway.livekit_jobs.job_steering import STEERED
from gateway.livekit_jobs.routing import JobRefusal
from gateway.record import (
    CallClosed,
    CallOpened,
    CallRecord,
    RecordMessage,
    WorkerLost,
    message_from_dict,
    refused_record,
)
from telephony.call import CallInfo, Direction

__all__ = ["LEFT_ALONE", "JobRecords", "refusal_body"]

log = structlog.get_logger(__name__)
REFUSED = "refused"
LEFT_ALONE: Mapping[str, Any] = {"message": "left_alone"}  # sent by a job that could not hang up


def refusal_body(refusal: JobRefusal, began_at: datetime) -> dict[str, Any]:
    """Sent by a job about a call without anyone in it."""
    return {
        "message": REFUSED,
        "info": asdict(refusal.info),
        "rule": refusal.rule,
        "reason": refusal.reason,
        "sip_status": refusal.sip_status,
        "began_at": began_at.isoformat(),
    }


class JobRecords(NoHooks):
    """Implements `WorkerHooks`: jobs' messages go into the store; abandoned jobs get a record too."""

    def __init__(
        self,
        put: Callable[[RecordMessage], None],
        end_room: Callable[[str], None] = lambda _: None,
        steered: Callable[[Mapping[str, Any]], None] = lambda _: None,
    ) -> None:
        """`end_room(name)` is called after a job that failed, or could not hang up: its caller is still in the room.
        `steered` gets answers to commands (`JobSteering`)."""
        self._steered = steered
        self._put = put
        self._end_room = end_room
        self._left_alone: set[str] = set()  # jobs
        self._open: dict[str, set[str]] = {}  # job -> its calls that have not been closed

    def job_says(self, job_id: str, body: Mapping[str, Any]) -> None:
        try:
            if body.get("message") == REFUSED:
                self._put(_refused(body))
                return
            if body.get("message") == STEERED:
                self._steered(body)
                return
            if body == LEFT_ALONE:
                self._left_alone.add(job_id)
                return
            message = message_from_dict(body)
        except (ValueError, KeyError, TypeError) as error:
            log.error("bad_record_message", job_id=job_id, error=str(error))
            return
        if isinstance(message, CallOpened):
            self._open.setdefault(job_id, set()).add(message.call_id)
        elif isinstance(message, CallClosed):
            self._open.get(job_id, set()).discard(message.call_id)
        self._put(message)

    def job_of(self, call_id: str) -> str | None:
        """The job that has this call."""
        return next((job_id for job_id, calls in self._open.items() if call_id in calls), None)

    def job_over(self, job: Any, error: str) -> None:
        left = self._open.pop(job.id, set())
        if left:
            reason = error or "the job ended without closing its record"
            self._put(WorkerLost(call_ids=tuple(left), at=datetime.now(UTC), reason=reason))
        if error or job.id in self._left_alone:
            self._left_alone.discard(job.id)
            self._end_room(job.room.name)


def _refused(body: Mapping[str, Any]) -> CallRecord:
    info = CallInfo(**{**body["info"], "direction": Direction(body["info"]["direction"])})
    return refused_record(
        info,
        started_at=datetime.fromisoformat(str(body["began_at"])),
        sip_status=int(body["sip_status"]),
        refused_by=str(body["rule"]) or "dialplan",
        reason=str(body["reason"]),
        ended_at=datetime.now(UTC),
    )
