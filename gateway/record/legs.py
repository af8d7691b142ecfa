"""A record's legs and transfers. Pure.

A call has its customer's leg (`{call_id}-1`) and one more for each party that was brought in (`-2`, `-3`, …).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pydantic import AwareDatetime

from telephony.call import Direction, EndedBy, LegRole, MediaStatistics, TransferEnd

__all__ = ["LegRecord", "MediaAlarm", "Outcome", "TransferKind", "TransferRecord", "call_id_of", "leg_id_of"]


def leg_id_of(call_id: str, number: int = 1) -> str:
    """`number`: 1 is the customer's leg."""
    return f"{call_id}-{number}"


def call_id_of(leg_id: str) -> str:
    return leg_id.rpartition("-")[0]


class Outcome(StrEnum):
    """The outcome of an attempt: a call, a leg or a transfer. Without one it is in progress."""

    ANSWERED = "answered"
    REFUSED = "refused"  # by a rule of ours: `refused_by` names it
    CANCELLED = "cancelled"  # the caller gave up before the answer (SIP CANCEL)
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    REJECTED = "rejected"  # the callee, or a network on their behalf, declined
    INVALID_NUMBER = "invalid_number"  # unassigned, or not a valid number
    REDIRECTED = "redirected"  # to somewhere this trunk's calls may not go
    FAILED = "failed"
    WORKER_LOST = "worker_lost"  # the worker's process died during the call
    GATEWAY_LOST = "gateway_lost"  # the gateway's process died; found at the next start


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaAlarm:
    """Something was wrong with the audio at `t_ms` on the call's axis: `kind` as in no_rtp, one_way, loss, jitter."""

    t_ms: float
    kind: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LegRecord:
    """One leg of a call. `media_alarms` and `first_rtp_ms` count from the leg's own answer."""

    leg_id: str
    call_id: str
    role: LegRole
    direction: Direction
    trunk: str
    called: str
    caller: str | None  # None: withheld
    started_at: AwareDatetime
    sip_call_id: str = ""
    worker: str = ""
    answered_at: AwareDatetime | None = None
    ended_at: AwareDatetime | None = None
    outcome: Outcome | None = None
    sip_status: int | None = None
    q850_cause: int | None = None  # of the end: as the peer says, else that of `sip_status` (RFC 3398)
    ended_by: EndedBy | None = None
    end_reason: str = ""
    media: MediaStatistics | None = None
    first_rtp_ms: float | None = None
    media_alarms: tuple[MediaAlarm, ...] = ()


class TransferKind(StrEnum):
    WARM = "warm"  # a second leg of ours: the call stays with us, and the agent with the call
    COLD = "cold"  # the customer is handed over: by REFER, or on a second leg of ours


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferRecord:
    """One attempt to transfer the customer. Its outcome is an `Outcome` only if a process was lost meanwhile."""

    transfer_id: str
    call_id: str
    kind: TransferKind
    target: str
    began_at: AwareDatetime
    leg_id: str | None = None  # the target's leg; None: we have none, as by REFER
    ended_at: AwareDatetime | None = None
    outcome: TransferEnd | Outcome | None = None  # None while in progress
    sip_status: int | None = None
    reason: str = ""
