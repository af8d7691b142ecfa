"""The one registry of live calls and their legs: admission puts calls in, records take them out, and everybody else
reads it. A slot of a worker is a leg's; a call has the worker that its room and session are in.

Fed with every record message, it reports once that a call was answered and once that it ended. Used on the loop.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from gateway.record import (
    CallClosed,
    CallEvents,
    CallOpened,
    CallRecord,
    LegClosed,
    LegMoved,
    LegOpened,
    Outcome,
    RecordMessage,
    TransferBegan,
    TransferEnded,
    WorkerLost,
    duration_between,
    leg_id_of,
)
from telephony.call import Direction, EndedBy, LegRole

__all__ = ["CallAnswered", "CallEnded", "CallFact", "LiveCall", "LiveCalls", "LiveLeg"]

_REMEMBERED = 1000  # ended calls: later messages (a saved recording) are not a second end


@dataclass(slots=True)
class LiveLeg:
    """One leg that holds a slot."""

    leg_id: str
    call_id: str
    worker: str
    slot_taken_at: float  # seconds, loop clock
    last_word_told: str = ""  # the method with which its worker is to end it if this process is killed
    trunk: str = ""  # over which it came in or goes out, if known
    placed: bool = False  # by us
    role: LegRole = LegRole.CUSTOMER


@dataclass(slots=True)
class LiveCall:
    """One call between its INVITE and its end."""

    call_id: str
    worker: str = ""  # the call worker that has its room and session; "": none, as calls of LiveKit's jobs
    recording: str = ""  # relative to the folder of recordings
    trunk: str = ""
    caller: str | None = None
    customer: str = ""  # their number; empty: withheld
    ours: str = ""  # the number that they called; empty: we called them
    opened: bool = False  # its record is
    started_at: datetime | None = None
    answered_at: datetime | None = None
    turns: int = 0  # of the caller


@dataclass(frozen=True, slots=True)
class CallAnswered:
    call_id: str
    after_s: float  # since the INVITE


@dataclass(frozen=True, slots=True)
class CallEnded:
    """The first end of a call. `opened`: its beginning was seen here, or its record arrived complete."""

    call_id: str
    outcome: Outcome
    ended_by: EndedBy
    reason: str
    sip_status: int | None
    q850_cause: int | None
    duration_s: float
    turns: int
    trunk: str
    opened: bool
    attempts: int = 1


CallFact = CallAnswered | CallEnded


class LiveCalls:
    def __init__(self) -> None:
        self._calls: dict[str, LiveCall] = {}
        self._legs: dict[str, LiveLeg] = {}  # legs that hold a slot
        self._by_worker: dict[str, dict[str, LiveLeg]] = {}  # the same
        self._over: OrderedDict[str, None] = OrderedDict()
        self._late_ends: OrderedDict[str, None] = OrderedDict()
        self._on_trunk: Counter[tuple[str, bool]] = Counter()  # (trunk, placed by us) -> legs
        self.slot_freed: Callable[[], None] = lambda: None  # called when a leg has ended; must only take note

    def __len__(self) -> int:
        return len(self._calls)

    def __iter__(self) -> Iterator[LiveCall]:
        return iter(self._calls.values())

    def get(self, call_id: str) -> LiveCall | None:
        return self._calls.get(call_id)

    # --- slots ---------------------------------------------------------------------------------------------------

    @property
    def in_workers(self) -> int:
        """Legs that hold a slot."""
        return len(self._legs)

    def of_worker(self, name: str) -> Mapping[str, LiveLeg]:
        """The legs that hold a slot of this worker, by id. A view; not to be changed."""
        return self._by_worker.get(name, {})

    def leg(self, leg_id: str) -> LiveLeg | None:
        """None: it holds no slot."""
        return self._legs.get(leg_id)

    def legs_of(self, call_id: str) -> tuple[LiveLeg, ...]:
        """The legs of this call that hold a slot, in any worker."""
        return tuple(leg for leg in self._legs.values() if leg.call_id == call_id)

    def had_by(self, worker: str) -> tuple[LiveCall, ...]:
        """The calls whose room and session are in this worker."""
        return tuple(call for call in self._calls.values() if call.worker == worker)

    def worker_of(self, leg_id: str) -> str | None:
        leg = self._legs.get(leg_id)
        return None if leg is None else leg.worker

    def place(self, leg_id: str, call_id: str, worker: str, now: float) -> LiveLeg:
        """Take a slot for a leg, before it is answered or its record opened. The worker of a call's first leg has
        the call. Raises ValueError when the leg has one."""
        if leg_id in self._legs:
            raise ValueError(f"leg {leg_id} already has a slot")
        call = self._calls.setdefault(call_id, LiveCall(call_id))
        call.worker = call.worker or worker
        leg = self._legs[leg_id] = LiveLeg(leg_id, call_id, worker, now)
        self._by_worker.setdefault(worker, {})[leg_id] = leg
        return leg

    def put_on_trunk(self, leg_id: str, trunk: str, *, placed: bool) -> None:
        """The leg came in over this trunk, or goes out over it from now on. No effect without a slot."""
        leg = self._legs.get(leg_id)
        if leg is None:
            return
        self._off_trunk(leg)
        leg.trunk, leg.placed = trunk, placed
        self._on_trunk[trunk, placed] += 1

    def legs_on(self, trunk: str, *, placed: bool) -> int:
        """Legs over this trunk that hold a slot: those that we placed, or those that came in."""
        return self._on_trunk[trunk, placed]

    def _off_trunk(self, leg: LiveLeg) -> None:
        if leg.trunk:
            self._on_trunk[leg.trunk, leg.placed] -= 1
            self.slot_freed()

    def withdraw(self, leg_id: str) -> bool:
        """Free its slot. False if it held none. A call without a record or another leg is forgotten."""
        leg = self._legs.pop(leg_id, None)
        if leg is None:
            return False
        self._off_trunk(leg)
        legs = self._by_worker[leg.worker]
        del legs[leg_id]
        if not legs:
            del self._by_worker[leg.worker]
        call = self._calls.get(leg.call_id)
        if call is not None and not call.opened and not self.legs_of(leg.call_id):
            del self._calls[leg.call_id]
        return True

    # --- records -------------------------------------------------------------------------------------------------

    def observe(self, message: RecordMessage) -> tuple[CallFact, ...]:
        """What a record message means for calls. The end of a leg frees its slot, and the end of a call that of its
        customer."""
        match message:
            case CallOpened():
                call = self._calls.setdefault(message.call_id, LiveCall(message.call_id))
                call.opened, call.trunk, call.started_at = True, message.trunk, message.started_at
                call.caller = message.caller
                placed = message.direction is Direction.OUTBOUND
                call.customer = message.called if placed else message.caller or ""
                call.ours = "" if placed else message.called
                return ()
            case CallEvents():
                return self._events(message)
            case CallClosed():
                answered = self._answered(self._calls.get(message.call_id), message.answered_at)
                return (*answered, *self._closed(message))
            case CallRecord():
                return self._closed(message)
            case LegMoved():
                if message.leg_id == leg_id_of(message.call_id) and message.call_id in self._calls:
                    self._calls[message.call_id].trunk = message.trunk
                return ()
            case LegClosed():
                self.withdraw(message.leg_id)
                return ()
            case WorkerLost():
                for leg_id in message.leg_ids:
                    self.withdraw(leg_id)
                ends = (
                    self._ended(call_id, Outcome.WORKER_LOST, EndedBy.SYSTEM, message.reason, message.at)
                    for call_id in message.call_ids
                )
                return tuple(end for end in ends if end is not None)
            case LegOpened():
                if (leg := self._legs.get(message.leg_id)) is not None:
                    leg.role = message.role
                return ()
            case TransferBegan() | TransferEnded():
                return ()

    def expect_late_end(self, call_id: str) -> None:
        """We have closed the call's record ourselves; its worker's end record is to be dropped."""
        _remember(self._late_ends, call_id)

    def is_late_end(self, call_id: str) -> bool:
        """Whether this end record is to be dropped; true only once."""
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
            q850_cause=message.q850_cause,
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
        q850_cause: int | None = None,
        whole: CallRecord | None = None,
    ) -> CallEnded | None:
        call = self._calls.pop(call_id, None)
        if call is None:
            if call_id in self._over:
                return None
            call = LiveCall(call_id)
        self.withdraw(leg_id_of(call_id))
        _remember(self._over, call_id)
        return CallEnded(
            call_id=call_id,
            outcome=outcome,
            ended_by=by,
            reason=reason,
            sip_status=sip_status,
            q850_cause=q850_cause,
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
