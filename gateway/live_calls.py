"""The one registry of live calls: admission puts calls in, records take them out, and everybody else reads it.

Fed with every record message, it tells once that a call was answered and once that it is over. It belongs to the loop.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from gateway.record import (
    CallClosed,
    CallEvents,
    CallOpened,
    CallRecord,
    LegClosed,
    LegOpened,
    Outcome,
    RecordMessage,
    TransferBegan,
    TransferEnded,
    WorkerLost,
    duration_between,
)
from telephony.call import EndedBy

__all__ = ["CallAnswered", "CallEnded", "CallFact", "LiveCall", "LiveCalls"]

_REMEMBERED = 1000  # calls that are over: what comes later of them (a recording that was saved) is no second end


@dataclass(slots=True)
class LiveCall:
    """One call between its INVITE and its end."""

    call_id: str
    worker: str = ""  # the call worker whose slot it holds; "": it holds none, as calls of LiveKit's jobs
    slot_taken_at: float = 0.0  # seconds, loop clock
    recording: str = ""  # relative to the folder of recordings
    trunk: str = ""
    opened: bool = False  # its record is
    started_at: datetime | None = None
    answered_at: datetime | None = None
    turns: int = 0  # of the caller
    last_word_told: bool = False  # to its worker: how to end it should this process be killed


@dataclass(frozen=True, slots=True)
class CallAnswered:
    call_id: str
    after_s: float  # since the INVITE


@dataclass(frozen=True, slots=True)
class CallEnded:
    """The first end of a call. `opened`: its beginning was seen here, or its record came whole."""

    call_id: str
    outcome: Outcome
    ended_by: EndedBy
    reason: str
    sip_status: int | None
    duration_s: float
    turns: int
    trunk: str
    opened: bool
    attempts: int = 1


CallFact = CallAnswered | CallEnded


class LiveCalls:
    def __init__(self) -> None:
        self._calls: dict[str, LiveCall] = {}
        self._by_worker: dict[str, dict[str, LiveCall]] = {}  # the same, for those that hold a slot
        self._over: OrderedDict[str, None] = OrderedDict()
        self._late_ends: OrderedDict[str, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._calls)

    def __iter__(self) -> Iterator[LiveCall]:
        return iter(self._calls.values())

    def get(self, call_id: str) -> LiveCall | None:
        return self._calls.get(call_id)

    # --- slots ---------------------------------------------------------------------------------------------------

    @property
    def in_workers(self) -> int:
        """Calls that hold a slot."""
        return sum(len(calls) for calls in self._by_worker.values())

    def of_worker(self, name: str) -> Mapping[str, LiveCall]:
        """The calls that hold a slot of this worker, by id. A view; not to be changed."""
        return self._by_worker.get(name, {})

    def worker_of(self, call_id: str) -> str | None:
        call = self._calls.get(call_id)
        return call.worker or None if call is not None else None

    def place(self, call_id: str, worker: str, now: float) -> LiveCall:
        """A slot is taken for a call, before it is answered or its record opened. Raises ValueError when it has one."""
        call = self._calls.setdefault(call_id, LiveCall(call_id))
        if call.worker:
            raise ValueError(f"call {call_id} already has a slot")
        call.worker, call.slot_taken_at = worker, now
        self._by_worker.setdefault(worker, {})[call_id] = call
        return call

    def withdraw(self, call_id: str) -> bool:
        """Its slot is free. False when it held none. A call without a record is forgotten."""
        call = self._calls.get(call_id)
        if call is None or not call.worker:
            return False
        self._free_slot(call)
        if not call.opened:
            del self._calls[call_id]
        return True

    def _free_slot(self, call: LiveCall) -> None:
        if call.worker:
            calls = self._by_worker[call.worker]
            del calls[call.call_id]
            if not calls:
                del self._by_worker[call.worker]
            call.worker = ""

    # --- records -------------------------------------------------------------------------------------------------

    def observe(self, message: RecordMessage) -> tuple[CallFact, ...]:
        """What a record message says about calls. The end of a call frees its slot."""
        match message:
            case CallOpened():
                call = self._calls.setdefault(message.call_id, LiveCall(message.call_id))
                call.opened, call.trunk, call.started_at = True, message.trunk, message.started_at
                return ()
            case CallEvents():
                return self._events(message)
            case CallClosed():
                answered = self._answered(self._calls.get(message.call_id), message.answered_at)
                return (*answered, *self._closed(message))
            case CallRecord():
                return self._closed(message)
            case WorkerLost():
                ends = (
                    self._ended(call_id, Outcome.WORKER_LOST, EndedBy.SYSTEM, message.reason, message.at)
                    for call_id in message.call_ids
                )
                return tuple(end for end in ends if end is not None)
            case LegOpened() | LegClosed() | TransferBegan() | TransferEnded():
                return ()

    def expect_late_end(self, call_id: str) -> None:
        """We have closed the call's record ourselves; what its worker says of its end is to be dropped."""
        _remember(self._late_ends, call_id)

    def is_late_end(self, call_id: str) -> bool:
        """Whether the end that has come is such a one; told once."""
        return self._late_ends.pop(call_id, self) is None

    def _events(self, message: CallEvents) -> tuple[CallAnswered, ...]:
        call = self._calls.get(message.call_id)
        if call is None:
            return ()
        call.turns += sum(event.get("type") == "user_message" for event in message.events)
        return self._answered(call, message.answered_at)

    def _answered(self, call: LiveCall | None, answered_at: datetime | None) -> tuple[CallAnswered, ...]:
        if call is None or answered_at is None or call.answered_at is not None or call.started_at is None:
            return ()
        call.answered_at = answered_at
        return (CallAnswered(call.call_id, max(0.0, (answered_at - call.started_at).total_seconds())),)

    def _closed(self, message: CallClosed | CallRecord) -> tuple[CallEnded, ...]:
        reason, rule = message.end_reason, message.refused_by
        if rule and rule != reason:
            reason = f"{reason}: {rule}" if reason else rule
        whole = message if isinstance(message, CallRecord) else None
        unsaid = Outcome.FAILED if whole is None else Outcome.REFUSED
        end = self._ended(
            message.call_id,
            message.outcome or unsaid,
            message.ended_by or EndedBy.SYSTEM,
            reason,
            message.ended_at,
            answered_at=message.answered_at,
            sip_status=message.sip_status,
            whole=whole,
        )
        return () if end is None else (end,)

    def _ended(
        self,
        call_id: str,
        outcome: Outcome,
        by: EndedBy,
        reason: str,
        at: datetime | None,
        *,
        answered_at: datetime | None = None,
        sip_status: int | None = None,
        whole: CallRecord | None = None,
    ) -> CallEnded | None:
        call = self._calls.pop(call_id, None)
        if call is None:
            if call_id in self._over:
                return None
            call = LiveCall(call_id)
        self._free_slot(call)
        _remember(self._over, call_id)
        return CallEnded(
            call_id=call_id,
            outcome=outcome,
            ended_by=by,
            reason=reason,
            sip_status=sip_status,
            duration_s=round(duration_between(answered_at or call.answered_at, at) / 1000, 1),
            turns=call.turns,
            trunk=whole.trunk if whole is not None else call.trunk,
            opened=call.opened or whole is not None,
            attempts=1 if whole is None else whole.attempts,
        )


def _remember(calls: OrderedDict[str, None], call_id: str) -> None:
    calls[call_id] = None
    if len(calls) > _REMEMBERED:
        calls.popitem(last=False)
