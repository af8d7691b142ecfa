"""A warm transfer's call to one human as a machine: events -> what to do. Pure; times are seconds of the loop clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.transfers.machine import end_of
from gateway.transfers.warm_table import ENTERED, IMPOSSIBLE, TABLE, WarmDo, WarmEvent, WarmState, next_stage
from telephony.call import TransferEnd
from telephony.media.answering.model import AnsweredBy
from telephony.warm import SummaryBy, Warm

__all__ = ["Offer", "Refusal", "is_person"]

RING_MARGIN_S = 3.0  # the edge ends the ringing itself; its word may be late
BRIEF_LIMIT_S = 60.0
TOGETHER_LIMIT_S = 15.0

_MACHINES: Mapping[AnsweredBy, TransferEnd] = {
    AnsweredBy.VOICEMAIL: TransferEnd.VOICEMAIL,
    AnsweredBy.MAILBOX_FULL: TransferEnd.VOICEMAIL,
    AnsweredBy.SCREENER: TransferEnd.DECLINED,
    AnsweredBy.IVR: TransferEnd.FAILED,
    AnsweredBy.FAX: TransferEnd.FAILED,
    AnsweredBy.SILENCE: TransferEnd.NO_ANSWER,
}


def is_person(answered_by: AnsweredBy) -> bool:
    return answered_by not in _MACHINES


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a human did not take the call."""

    end: TransferEnd
    reason: str
    sip_status: int = 0


class Offer:
    """`state` begins as CALLING; its owner places the leg. `refusal` is set when it is over and nobody was joined."""

    def __init__(self, order: Warm, ring_s: float, now: float, *, checks: bool) -> None:
        """`checks`: there is somebody who says who has answered. A machine is noticed at any time before the two are
        joined, but only without `accept` it is waited for."""
        wanted = {
            WarmState.CHECKING: checks and not order.accept,  # who presses a key is a person
            WarmState.ASKING: order.accept,
            WarmState.BRIEFING: order.summary is not SummaryBy.NONE,
            WarmState.CONSULTING: order.consult,
            WarmState.TOGETHER: bool(order.introduction),
        }
        self._ordered = frozenset(stage for stage, is_wanted in wanted.items() if is_wanted)
        self._limits: Mapping[WarmState, float] = {
            WarmState.CALLING: ring_s + RING_MARGIN_S,
            WarmState.CHECKING: order.detect_limit_s,
            WarmState.ASKING: order.accept_s,
            WarmState.BRIEFING: BRIEF_LIMIT_S,
            WarmState.CONSULTING: order.consult_s,
            WarmState.TOGETHER: TOGETHER_LIMIT_S,
        }  # ringing is a part of calling, and those who are joined have no limit
        self.state = WarmState.CALLING
        self.deadline: float | None = now + self._limits[WarmState.CALLING]
        self.refusal: Refusal | None = None

    @property
    def over(self) -> bool:
        return self.state is WarmState.OVER

    @property
    def joined(self) -> bool:
        return self.state in (WarmState.TOGETHER, WarmState.JOINED)

    def may_happen(self, event: WarmEvent) -> bool:
        return TABLE[self.state, event] is not IMPOSSIBLE

    def happened(self, event: WarmEvent, now: float, refusal: Refusal | None = None) -> tuple[WarmDo, ...]:
        """Raises LookupError for an event that is not possible in the state. `refusal`: what it means if nobody has
        been joined."""
        before = self.state
        step = TABLE[before, event]
        if step is IMPOSSIBLE:
            raise LookupError(f"warm transfer: {event!r} is not possible while {before!r}")
        after = next_stage(before, self._ordered) if step.to is None else step.to
        self.state = after
        if after is not before and after is not WarmState.RINGING:
            limit_s = self._limits.get(after)
            self.deadline = None if limit_s is None else now + limit_s
        if after is WarmState.OVER and before not in (WarmState.OVER, WarmState.TOGETHER, WarmState.JOINED):
            self.refusal = refusal
        return (*step.do, *(ENTERED[after] if step.to is None else ()))

    # --- with their reasons ------------------------------------------------------------------------------------------

    def not_reached(self, status: int, reason: str, now: float) -> tuple[WarmDo, ...]:
        """`status` 0: it was not even dialled, or nothing came."""
        end = TransferEnd.FAILED if not status else end_of(status)
        return self.happened(WarmEvent.NOT_REACHED, now, Refusal(end, reason, status))

    def answered_by(self, who: AnsweredBy, now: float) -> tuple[WarmDo, ...]:
        if who is AnsweredBy.SILENCE and self.state is not WarmState.CHECKING:
            return ()  # whoever is being told something may well be silent
        if is_person(who):
            return self.happened(WarmEvent.IS_PERSON, now)
        refusal = Refusal(_MACHINES[who], f"answered by {who.value.replace('_', ' ')}")
        return self.happened(WarmEvent.IS_MACHINE, now, refusal)

    def presses(self, digit: str, now: float) -> tuple[WarmDo, ...]:
        event = {"1": WarmEvent.PRESSES_1, "2": WarmEvent.PRESSES_2}.get(digit, WarmEvent.PRESSES_OTHER)
        return self.happened(event, now, Refusal(TransferEnd.DECLINED, "the human pressed 2"))

    def says(self, agrees: bool, now: float) -> tuple[WarmDo, ...]:
        """Whether they take the customer, in words."""
        if agrees:
            return self.happened(WarmEvent.AGREES, now)
        return self.happened(WarmEvent.REFUSES, now, Refusal(TransferEnd.DECLINED, "the human said no"))

    def leaves(self, now: float, *, lost: bool) -> tuple[WarmDo, ...]:
        if lost:
            return self.happened(WarmEvent.LOST, now, Refusal(TransferEnd.FAILED, "the human's leg was lost"))
        refusal = Refusal(TransferEnd.DECLINED, "the human hung up before they were joined")
        return self.happened(WarmEvent.LEAVES, now, refusal)

    def too_late(self, now: float) -> tuple[WarmDo, ...]:
        return self.happened(WarmEvent.TOO_LATE, now, Refusal(TransferEnd.NO_ANSWER, "nobody accepted in time"))

    def due(self, now: float) -> tuple[WarmDo, ...]:
        if self.deadline is None or now < self.deadline:
            return ()
        asked = self.state is WarmState.ASKING
        reason = "the human did not accept in time" if asked else "the target did not answer in time"
        return self.happened(WarmEvent.TIME_UP, now, Refusal(TransferEnd.NO_ANSWER, reason))
