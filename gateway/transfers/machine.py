"""One transfer as a machine: events (SIP answers, NOTIFYs, our leg, time) -> what to do. Pure; times are seconds of the
loop clock."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.transfers.table import Do, TransferEvent, TransferState, step
from telephony.call import OutcomeKind, TransferEnd, TransferResult, UseRefer, outcome_kind

__all__ = ["TransferMachine", "end_of"]

ANSWER_LIMIT_S = 5.0  # for the REFER's own answer: the customer waits
REPORT_LIMIT_S = 4.0  # from there to the first NOTIFY, which must come at once (RFC 3515 section 2.4.4)
MARGIN_S = 3.0  # the customer's side decides how long it rings; its report may be late

_ENDS: Mapping[OutcomeKind, TransferEnd] = {
    OutcomeKind.ANSWERED: TransferEnd.TRANSFERRED,
    OutcomeKind.BUSY: TransferEnd.BUSY,
    OutcomeKind.NO_ANSWER: TransferEnd.NO_ANSWER,
    OutcomeKind.REJECTED: TransferEnd.DECLINED,
    OutcomeKind.INVALID_NUMBER: TransferEnd.FAILED,
    OutcomeKind.REDIRECTED: TransferEnd.FAILED,
    OutcomeKind.FAILED: TransferEnd.FAILED,
}
_ASKED = frozenset(
    {TransferState.ASKING, TransferState.ACCEPTED, TransferState.CALLED_THERE, TransferState.RINGING_THERE}
)
_LIMITED = frozenset({TransferState.ASKING, TransferState.ACCEPTED})  # then REFER is of no use


def end_of(sip_status: int) -> TransferEnd:
    """Of a final SIP status; 0: none came."""
    return _ENDS[outcome_kind(sip_status)]


class TransferMachine:
    """`state` begins as ASKING or CALLING; its owner starts the first REFER or leg. `result` is set once the outcome is
    known."""

    def __init__(self, refer: UseRefer, ring_s: float, now: float) -> None:
        self._may_call = refer is not UseRefer.ONLY
        self._ring_s = ring_s
        self._refused = ""  # why REFER was of no use
        asks = refer is not UseRefer.NEVER
        self.state = TransferState.ASKING if asks else TransferState.CALLING
        self.deadline: float | None = now + ANSWER_LIMIT_S if asks else None
        self.result: TransferResult | None = None

    @property
    def over(self) -> bool:
        return self.state is TransferState.OVER

    # --- the REFER ---------------------------------------------------------------------------------------------------

    def answered(self, status: int, reason: str, now: float) -> tuple[Do, ...]:
        """The REFER's own final answer; 0: none has come."""
        if 200 <= status < 300:
            return self._happened(TransferEvent.ACCEPTED, now)
        text = f"the REFER was refused: {status} {reason}".rstrip() if status else reason
        return self._useless(status, text, now)

    def notified(self, status: int, reason: str, now: float, *, over: bool = False) -> tuple[Do, ...]:
        """The peer reports on its call to the target. `over`: that was its last report."""
        if status >= 200:
            end = end_of(status)
            if end is TransferEnd.TRANSFERRED:
                return self._happened(TransferEvent.CONNECTED, now, TransferResult(end, "refer", status, reason))
            if end is TransferEnd.FAILED and self._may_call:
                return self._useless(status, f"the target could not be reached by REFER: {status} {reason}", now)
            return self._happened(TransferEvent.FAILED_THERE, now, TransferResult(end, "refer", status, reason))
        if over:
            text = "the peer stopped reporting on the transfer" + (f": {reason}" if reason else "")
            return self._useless(0, text, now)
        return self._happened(TransferEvent.RINGS_THERE if status > 100 else TransferEvent.CALLS, now)

    def _useless(self, status: int, reason: str, now: float) -> tuple[Do, ...]:
        if self.state in _ASKED:
            self._refused = reason
        event = TransferEvent.USELESS if self._may_call else TransferEvent.REFUSED
        return self._happened(event, now, TransferResult(end_of(status), "refer", status, reason))

    # --- our leg -----------------------------------------------------------------------------------------------------

    def rings(self, now: float) -> tuple[Do, ...]:
        return self._happened(TransferEvent.RINGS, now)

    def answers(self, leg_id: str, now: float) -> tuple[Do, ...]:
        result = TransferResult(TransferEnd.TRANSFERRED, "bridge", 200, self._refused, leg_id)
        return self._happened(TransferEvent.ANSWERS, now, result)

    def not_reached(self, status: int, reason: str, leg_id: str, now: float) -> tuple[Do, ...]:
        """`status` 0: it was not even dialled, or nothing came."""
        end = TransferEnd.FAILED if not status else end_of(status)
        return self._happened(TransferEvent.NOT_REACHED, now, TransferResult(end, "bridge", status, reason, leg_id))

    def leaves(self, now: float, *, lost: bool) -> tuple[Do, ...]:
        """Our leg to the target has ended, after its answer; `lost`: by a fault."""
        return self._happened(TransferEvent.LOST if lost else TransferEvent.LEAVES, now)

    # --- the rest of the call ----------------------------------------------------------------------------------------

    def customer_gone(self, now: float) -> tuple[Do, ...]:
        accepted = self.state in _ASKED and self.state is not TransferState.ASKING
        if accepted:
            end, reason = TransferEnd.UNCONFIRMED, "the peer accepted the REFER and left without a final report"
        else:
            end, reason = TransferEnd.CANCELLED, "the customer hung up"
        return self._happened(TransferEvent.CUSTOMER_GONE, now, self._without_target(end, reason))

    def call_ends(self, reason: str, now: float) -> tuple[Do, ...]:
        return self._happened(TransferEvent.CALL_ENDS, now, self._without_target(TransferEnd.CANCELLED, reason))

    def fault(self, reason: str, now: float) -> tuple[Do, ...]:
        """Of our own."""
        return self._happened(TransferEvent.CALL_ENDS, now, self._without_target(TransferEnd.FAILED, reason))

    def _without_target(self, end: TransferEnd, reason: str) -> TransferResult:
        return TransferResult(end, "refer" if self.state in _ASKED else "bridge", 0, reason)

    def due(self, now: float) -> tuple[Do, ...]:
        if self.deadline is None or now < self.deadline:
            return ()
        if self.state in _LIMITED:
            asking = self.state is TransferState.ASKING
            return self._useless(0, "the REFER was not answered" if asking else "no report came after the REFER", now)
        result = TransferResult(TransferEnd.NO_ANSWER, "refer", 0, "the target did not answer in time")
        return self._happened(TransferEvent.TIME_UP, now, result)

    # --- the table ---------------------------------------------------------------------------------------------------

    def _happened(self, event: TransferEvent, now: float, result: TransferResult | None = None) -> tuple[Do, ...]:
        before = self.state
        self.state, done = step(before, event)
        if self.state is not before:
            self.deadline = self._deadline(now)
        told = Do.TELL_FAILED in done or Do.TELL_COMPLETED in done
        if told and self.result is None:
            self.result = result
        return done

    def _deadline(self, now: float) -> float | None:
        match self.state:
            case TransferState.ACCEPTED:
                return now + REPORT_LIMIT_S
            case TransferState.CALLED_THERE | TransferState.RINGING_THERE:
                return now + self._ring_s + MARGIN_S
            case _:
                return None
