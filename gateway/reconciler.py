"""Keeps edge, workers and records in agreement about calls and legs: how the gateway reacts to their events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import structlog

from gateway.adoption import mended
from gateway.control import DigitByInfo, EndLeg, LastWord, Message, ReferReport
from gateway.dispatch import Dispatcher
from gateway.floods import flood_record
from gateway.live_calls import LiveCalls
from gateway.record import (
    CallClosed,
    CallEvents,
    LegClosed,
    Outcome,
    RecordMessage,
    WorkerLost,
    call_id_of,
    leg_id_of,
    message_from_dict,
    refused_record,
)
from gateway.summaries import CALL_SUMMARY
from telephony.call import CallInfo, EndedBy
from telephony.edge import (
    CallerGone,
    DialAttempted,
    DialogEnded,
    DigitPressed,
    Flood,
    InviteInfo,
    ReferAnswered,
    ReferNotified,
    RefusedInvite,
)

__all__ = ["EdgeControl", "Reconciler", "WorkerControl"]

log = structlog.get_logger(__name__)

ORPHAN_GRACE_S = 10.0  # a leg has lost its owner if its worker still does not hold it after this time
CLOSING_GRACE_S = 1.0  # from the end of the SIP dialog to the worker's closing record
EDGE_CLOSING_S = 0.3  # from the worker's closing record to the end of a SIP dialog that is still there
_PROCESS_ENDED = "the worker's process ended"


class EdgeControl(Protocol):
    """What we use of the edge (`telephony.edge.Edge`). Its fake is `gateway.fakes.FakeEdge`."""

    def add_worker(self, name: str, host: str, port: int) -> object: ...

    def remove_worker(self, name: str) -> None: ...

    def end_worker_legs(self, name: str) -> object: ...

    def last_word(self, leg_id: str) -> tuple[str, int, bytes] | None: ...

    def end_leg(self, leg_id: str) -> bool: ...

    def close_leg(self, leg_id: str, sip_status: int, cause: str) -> None: ...


class WorkerControl(Protocol):
    """What we use of the workers (`gateway.supervisor.Supervisor`). Its fake is `gateway.fakes.FakeWorkers`."""

    @property
    def wanted(self) -> int: ...

    def send(self, name: str, message: Message) -> bool:
        """False if there is no such worker."""


class Reconciler:
    """Implements `SupervisorEvents` and the edge's callbacks. Belongs to the loop."""

    def __init__(
        self,
        live: LiveCalls,
        dispatcher: Dispatcher,
        record: Callable[[RecordMessage], None],
        recordings: Path,
        *,
        restarted: Callable[[], None] = lambda: None,
        summary_words: Callable[[Mapping[str, Any]], None] = lambda _: None,
    ) -> None:
        """`restarted` counts workers that were lost; `summary_words` gets what workers send for a call's summary."""
        self._live = live
        self._dispatcher = dispatcher
        self._record = record
        self._recordings = recordings
        self._restarted = restarted
        self._summary_words = summary_words
        self._tasks: set[asyncio.Task[None]] = set()
        self.ready = asyncio.Event()  # all workers were, at least once

    def connect(self, edge: EdgeControl, workers: WorkerControl, info_of: Callable[[InviteInfo], CallInfo]) -> None:
        """Call once, before any event; these parts are created with our methods. `info_of`: the CallInfo of an
        attempt."""
        self._edge = edge
        self._workers = workers
        self._info_of = info_of

    async def close(self, limit_s: float) -> None:
        """Wait for recordings being repaired."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=limit_s)

    # --- SupervisorEvents ----------------------------------------------------------------------------------------

    def worker_ready(self, name: str, sip_port: int, slots: int) -> None:
        self._edge.add_worker(name, "127.0.0.1", sip_port)
        self._dispatcher.add(name, sip_port, slots)
        if len(self._dispatcher.workers) >= self._workers.wanted:
            self.ready.set()

    def worker_lost(self, name: str, why: str = _PROCESS_ENDED) -> None:
        """The edge sends its phones a BYE. Calls that it owned end, wherever their other legs are; calls that only
        had a leg there continue without it."""
        self._restarted()
        calls = {call.call_id: call.recording for call in self._live.had_by(name)}
        alone = tuple(leg.leg_id for leg in self._live.of_worker(name).values() if leg.call_id not in calls)
        self._dispatcher.remove(name)
        self._edge.end_worker_legs(name)
        self._edge.remove_worker(name)
        for leg in (leg for call_id in calls for leg in self._live.legs_of(call_id)):
            self._workers.send(leg.worker, EndLeg(leg.leg_id, politely=False, reason="its call was lost"))
        if calls or alone:
            self._record(WorkerLost(call_ids=tuple(calls), at=datetime.now(UTC), reason=why, leg_ids=alone))
        if recorded := {call_id: recording for call_id, recording in calls.items() if recording}:
            self._spawn(self._save_recordings(recorded, why))

    def worker_record(self, name: str, body: Mapping[str, Any]) -> None:
        if body.get("message") == CALL_SUMMARY:
            self._summary_words(body)
            return
        try:
            message = message_from_dict(body)
        except ValueError as error:
            log.error("record_message_refused", worker=name, error=str(error))
            return
        if isinstance(message, CallClosed) and self._live.is_late_end(message.call_id):
            return
        self._record(message)
        if isinstance(message, CallClosed | LegClosed):
            leg_id = message.leg_id if isinstance(message, LegClosed) else leg_id_of(message.call_id)
            status, reason = message.sip_status or 0, message.end_reason or "the call has ended"
            asyncio.get_running_loop().call_later(EDGE_CLOSING_S, self._edge.close_leg, leg_id, status, reason)

    def worker_heartbeat(self, name: str, legs: set[str], lingering: int = 0, unannounced: Iterable[str] = ()) -> None:
        self._dispatcher.heard_of(name, lingering, unannounced)
        self._hand_over_last_words(name, legs)
        now = asyncio.get_running_loop().time()
        for leg_id in self._dispatcher.orphans(name, legs, now, ORPHAN_GRACE_S):
            self._orphaned(name, leg_id)

    def _orphaned(self, name: str, leg_id: str) -> None:
        leg = self._live.leg(leg_id)
        if leg is None:
            return
        log.error("leg_without_owner", call_id=leg.call_id, leg_id=leg_id, worker=name)
        self._workers.send(name, EndLeg(leg_id, politely=False, reason="lost its owner"))
        self._edge.end_leg(leg_id)
        first = leg_id == leg_id_of(leg.call_id)
        self._record(
            WorkerLost(
                call_ids=(leg.call_id,) if first else (),
                leg_ids=() if first else (leg_id,),
                at=datetime.now(UTC),
                reason="unknown to the worker",
            )
        )

    def _hand_over_last_words(self, name: str, legs: set[str]) -> None:
        """If this process is killed, the worker itself ends its legs on the public side."""
        for leg_id in legs:
            leg = self._live.leg(leg_id)
            if leg is None or leg.last_word_told == "BYE" or (word := self._edge.last_word(leg_id)) is None:
                continue
            ip, port, data = word
            text = data.decode("latin-1")
            method = text.partition(" ")[0]
            if method != leg.last_word_told:  # a phone that rang has answered
                self._workers.send(name, LastWord(leg_id, ip, port, text))
                leg.last_word_told = method

    async def _save_recordings(self, recorded: Mapping[str, str], why: str) -> None:
        """Repair a lost worker's recording and add it to the record."""
        for call_id, name in recorded.items():
            recording = await asyncio.to_thread(mended, self._recordings, name, "the worker was lost")
            lost = CallClosed(
                call_id=call_id, outcome=Outcome.WORKER_LOST, ended_by=EndedBy.SYSTEM, ended_at=datetime.now(UTC),
                end_reason=why, recording=recording,
            )  # fmt: skip
            self._record(lost)

    # --- events from the edge -------------------------------------------------------------------------------------

    def dialog_ended(self, ended: DialogEnded) -> None:
        """The worker's closing record usually follows at once."""
        asyncio.get_running_loop().call_later(CLOSING_GRACE_S, self._see_closed, ended)

    def _see_closed(self, ended: DialogEnded) -> None:
        """PJSIP refuses some INVITEs itself; they never become calls."""
        status = ended.sip_status
        reason = f"refused by the worker's SIP stack: {status} {ended.reason}" if status else "its SIP dialog has ended"
        self._tell(ended.leg_id, EndLeg(ended.leg_id, politely=False, reason=reason, sip_status=status))

    def caller_gone(self, gone: CallerGone) -> None:
        """The worker has not noticed, so tell it."""
        self._tell(gone.leg_id, EndLeg(gone.leg_id, politely=False, reason=gone.reason, by_peer=True))

    def digit(self, pressed: DigitPressed) -> None:
        self._tell(pressed.leg_id, DigitByInfo(pressed.leg_id, pressed.digit, pressed.duration_ms))

    def referred(self, news: ReferAnswered | ReferNotified) -> None:
        if isinstance(news, ReferAnswered):
            over = not 200 <= news.status < 300
            self._tell(news.leg_id, ReferReport(news.leg_id, True, news.status, news.reason, over))
        else:
            self._tell(news.leg_id, ReferReport(news.leg_id, False, news.status, news.reason, news.over))

    def attempted(self, attempt: DialAttempted) -> None:
        """Add an attempt to place one of our calls to the call's events."""
        call = self._live.get(call_id_of(attempt.leg_id))
        if call is None:
            return
        answered_at, now = call.answered_at, datetime.now(UTC)
        entry = {
            "type": "dial_attempt",
            "at": attempt.ended_at,
            "t_ms": 0.0 if answered_at is None else round((now - answered_at).total_seconds() * 1000, 1),
            "leg_id": attempt.leg_id,
            "trunk": attempt.trunk,
            "host": f"{attempt.place.transport}:{attempt.place.ip}:{attempt.place.port}",
            "transport": attempt.place.transport,
            "started_at": (now - timedelta(seconds=attempt.ended_at - attempt.began_at)).isoformat(),
            "status": attempt.status or None,
            "q850_cause": attempt.cause or None,
            "reason": attempt.reason,
            "took_ms": round((attempt.ended_at - attempt.began_at) * 1000, 1),
        }
        self._record(CallEvents(call_id=call.call_id, events=(entry,)))

    def refused(self, refused: RefusedInvite) -> None:
        info = self._info_of(refused.info)
        cause = refused.cause_text or refused.rule
        now = datetime.now(UTC)
        if not refused.leg_id:
            record = refused_record(
                info, started_at=now, sip_status=refused.status, refused_by=cause, reason=refused.reason
            )
            if refused.rule == "cancelled":
                record = replace(record, outcome=Outcome.CANCELLED, ended_by=EndedBy.CALLER, refused_by="")
            self._record(record)
            return
        # It had been admitted: its record is open, and its slot taken.
        leg_id, call_id = refused.leg_id, call_id_of(refused.leg_id)
        if refused.rule == "not-taken" and (worker := self._live.worker_of(leg_id)) is not None:
            self._dispatcher.doubt(worker)
        if self._tell(leg_id, EndLeg(leg_id, politely=False, reason=cause, sip_status=refused.status)):
            self._live.expect_late_end(call_id)
        closed = CallClosed(
            call_id=call_id, outcome=Outcome.REFUSED, ended_by=EndedBy.SYSTEM, ended_at=now,
            sip_status=refused.status, end_reason=refused.reason, refused_by=cause,
        )  # fmt: skip
        self._record(closed)

    def flood(self, flood: Flood) -> None:
        record = flood_record(flood, now=asyncio.get_running_loop().time(), wall=datetime.now(UTC))
        log.warning("calls_over_the_rate", source=flood.source, trunk=flood.trunk, attempts=flood.attempts)
        self._record(record)

    def _tell(self, leg_id: str, message: Message) -> bool:
        """The leg's worker, if it still has one."""
        worker = self._live.worker_of(leg_id)
        return worker is not None and self._workers.send(worker, message)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
