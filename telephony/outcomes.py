"""What becomes of a call that we place: one of a few kinds, by its SIP status and its Q.850 cause. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from telephony.sip.causes import cause_of, status_of

__all__ = ["CallOutcome", "OutcomeKind", "outcome_kind"]


class OutcomeKind(StrEnum):
    """The outcome of an outbound call or a cold transfer."""

    ANSWERED = "answered"
    BUSY = "busy"
    NO_ANSWER = "no_answer"  # it rang without an answer, or the phone is temporarily unreachable
    REJECTED = "rejected"  # the callee, or a network on their behalf, declined the call
    INVALID_NUMBER = "invalid_number"  # nobody has it (any more), or it cannot be one
    REDIRECTED = "redirected"  # to somewhere that calls of this trunk do not go
    FAILED = "failed"  # anything else: trunk or network trouble; SIP status and cause say which


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """The result of an outbound call. `sip_status` is the INVITE's final status, 0 when none came; `text` its reason
    phrase, or ours; `cause` that of Q.850, the peer's or of the status, 0 when none is known. `sip_call_id` is the
    driver's ID of the call, empty if the call was never created."""

    kind: OutcomeKind
    sip_status: int
    text: str
    sip_call_id: str = ""
    cause: int = 0

    @property
    def answered(self) -> bool:
        return self.kind is OutcomeKind.ANSWERED


_OUTCOMES: Mapping[int, OutcomeKind] = {
    **dict.fromkeys(range(300, 400), OutcomeKind.REDIRECTED),
    403: OutcomeKind.REJECTED,
    404: OutcomeKind.INVALID_NUMBER,
    408: OutcomeKind.NO_ANSWER,
    410: OutcomeKind.INVALID_NUMBER,
    433: OutcomeKind.REJECTED,  # RFC 5079: anonymity disallowed
    480: OutcomeKind.NO_ANSWER,
    484: OutcomeKind.INVALID_NUMBER,
    485: OutcomeKind.INVALID_NUMBER,
    486: OutcomeKind.BUSY,
    600: OutcomeKind.BUSY,
    603: OutcomeKind.REJECTED,
    604: OutcomeKind.INVALID_NUMBER,
    607: OutcomeKind.REJECTED,  # RFC 8197: unwanted
    608: OutcomeKind.REJECTED,  # RFC 8688: rejected by an intermediary
}


# Q.850 causes that say no more than a status: a normal end, "normal, unspecified", a timer, interworking.
_VAGUE = frozenset({0, 16, 31, 102, 127})


def outcome_kind(sip_status: int, *, cause: int = 0, gave_up: bool = False) -> OutcomeKind:
    """The kind for a final SIP status; 0: no final status came. `cause`: that of Q.850, if known; one that is not just
    the status's own counts first. `gave_up`: we stopped the ringing at our own limit, so 487 or no status means no
    answer. Raises ValueError for a provisional status."""
    if sip_status != 0 and not 200 <= sip_status <= 699:
        raise ValueError(f"{sip_status} is not a final SIP status")
    if 200 <= sip_status < 300:
        return OutcomeKind.ANSWERED
    if sip_status in (0, 487) and gave_up:
        return OutcomeKind.NO_ANSWER
    if cause not in _VAGUE and cause != cause_of(sip_status):  # gateways of the telephone network choose the status
        sip_status = status_of(cause)
    return _OUTCOMES.get(sip_status, OutcomeKind.FAILED)
