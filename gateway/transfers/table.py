"""A transfer's states, as a table. Pure. docs/transfers.md shows it as `python -m gateway.transfers.table` prints it.

A transfer begins by asking the customer's side to call the target itself (REFER), or by calling the target on a leg of
ours. Every event is defined in every state in which it can come.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from telephony.sip.drawn import drawn

__all__ = ["STEPS", "Do", "TransferEvent", "TransferState", "step", "table"]


class TransferState(StrEnum):
    ASKING = "asking"  # the REFER has no answer yet
    ACCEPTED = "accepted"  # the customer's side will call the target, and has not said more
    CALLED_THERE = "called there"  # it is calling the target
    RINGING_THERE = "ringing there"
    CALLING = "calling"  # a leg of ours
    RINGING = "ringing"
    JOINED = "joined"  # customer and target hear each other, through us
    OVER = "over"


class TransferEvent(StrEnum):
    ACCEPTED = "REFER accepted"
    USELESS = "REFER useless"  # refused, silent, or the target cannot be reached so; and we may call it ourselves
    REFUSED = "REFER refused"  # or silent, and we may not call it ourselves
    CALLS = "peer: 100"  # by NOTIFY
    RINGS_THERE = "peer: ringing"
    CONNECTED = "peer: answered"
    FAILED_THERE = "peer: failed"  # busy, declined, no answer; or anything else, and we may not call it ourselves
    RINGS = "target rings"  # on our leg
    ANSWERS = "target answers"
    NOT_REACHED = "target not reached"  # busy, declined, no answer, not even dialled
    LEAVES = "target leaves"
    LOST = "target's leg lost"  # the process that held it died, or it lost its media
    TIME_UP = "time is up"  # of a target that is called or rings there
    CUSTOMER_GONE = "customer gone"
    CALL_ENDS = "call is ended"  # by us


class Do(StrEnum):
    """What follows, in this order."""

    CALL = "call the target"
    TELL_RINGING = "tell: ringing"
    TELL_ANSWERED = "tell: answered"
    TELL_COMPLETED = "tell: completed"
    TELL_FAILED = "tell: failed"
    DROP = "end the target's leg"
    BACK = "back to the agent"
    AFTERWARDS = "as ordered: end the call, or back to the agent"
    END_CALL = "end the call"


_S, _E = TransferState, TransferEvent
Step = tuple[TransferState, tuple[Do, ...]]
_FAILED: Step = (_S.OVER, (Do.TELL_FAILED, Do.BACK))
_GONE: Step = (_S.OVER, (Do.TELL_FAILED,))
_CALL: Step = (_S.CALLING, (Do.CALL,))
_GIVEN: Step = (_S.OVER, (Do.TELL_ANSWERED, Do.TELL_COMPLETED, Do.END_CALL))


def _stay(state: TransferState) -> Step:
    return (state, ())


def _asked(state: TransferState, **other: Step) -> dict[tuple[TransferState, TransferEvent], Step]:
    """A state in which the customer's side has been asked."""
    row = {
        _E.ACCEPTED: _stay(state),
        _E.USELESS: _CALL,
        _E.REFUSED: _FAILED,
        _E.CALLS: _stay(_S.CALLED_THERE),
        _E.RINGS_THERE: (_S.RINGING_THERE, (Do.TELL_RINGING,)),
        _E.CONNECTED: _GIVEN,
        _E.FAILED_THERE: _FAILED,
        _E.CUSTOMER_GONE: _GONE,
        _E.CALL_ENDS: _GONE,
    }
    row |= {TransferEvent[name.upper()]: to for name, to in other.items()}
    return {(state, event): to for event, to in row.items()}


def _our_leg(state: TransferState, **other: Step) -> dict[tuple[TransferState, TransferEvent], Step]:
    """A state in which we have a leg to the target. What the customer's side still reports is late: it counts only if
    it has the target after all."""
    dropped: Step = (_S.OVER, (Do.TELL_FAILED, Do.DROP))
    row = {
        **dict.fromkeys((_E.ACCEPTED, _E.USELESS, _E.REFUSED, _E.CALLS, _E.RINGS_THERE, _E.FAILED_THERE), _stay(state)),
        _E.CONNECTED: (_S.OVER, (Do.DROP, *_GIVEN[1])),
        _E.RINGS: (_S.RINGING, (Do.TELL_RINGING,)),
        _E.ANSWERS: (_S.JOINED, (Do.TELL_ANSWERED, Do.TELL_COMPLETED)),
        _E.NOT_REACHED: _FAILED,
        _E.LOST: _FAILED,
        _E.CUSTOMER_GONE: dropped,
        _E.CALL_ENDS: dropped,
    }
    row |= {TransferEvent[name.upper()]: to for name, to in other.items()}
    return {(state, event): to for event, to in row.items()}


_LATE = (_E.ACCEPTED, _E.USELESS, _E.REFUSED, _E.CALLS, _E.RINGS_THERE, _E.CONNECTED, _E.FAILED_THERE)

STEPS: Mapping[tuple[TransferState, TransferEvent], Step] = {
    **_asked(_S.ASKING, accepted=_stay(_S.ACCEPTED)),
    **_asked(_S.ACCEPTED),
    **_asked(_S.CALLED_THERE, time_up=_FAILED),
    **_asked(_S.RINGING_THERE, calls=_stay(_S.RINGING_THERE), rings_there=_stay(_S.RINGING_THERE), time_up=_FAILED),
    **_our_leg(_S.CALLING),
    **_our_leg(_S.RINGING, rings=_stay(_S.RINGING)),
    **{(_S.JOINED, event): _stay(_S.JOINED) for event in (*_LATE, _E.RINGS)},
    (_S.JOINED, _E.LEAVES): (_S.OVER, (Do.AFTERWARDS,)),
    (_S.JOINED, _E.LOST): (_S.OVER, (Do.BACK,)),
    (_S.JOINED, _E.CUSTOMER_GONE): (_S.OVER, (Do.DROP,)),
    (_S.JOINED, _E.CALL_ENDS): (_S.OVER, (Do.DROP,)),
    **{(_S.OVER, event): _stay(_S.OVER) for event in TransferEvent},
}


def step(state: TransferState, event: TransferEvent) -> Step:
    """The next state, and what to do. Raises LookupError for an event that is not possible in the state."""
    found = STEPS.get((state, event))
    if found is None:
        raise LookupError(f"transfer: {event!r} is not possible while {state!r}")
    return found


def table() -> str:
    """The table as Markdown, with the events as rows: a test holds docs/transfers.md to it."""

    def cell(event: TransferEvent, state: TransferState) -> str:
        found = STEPS.get((state, event))
        if found is None:
            return ""
        after, done = found
        return "; ".join([*([] if after is state else [f"**{after}**"]), *done]) or "-"

    return drawn(TransferEvent, [state for state in TransferState if state is not _S.OVER], cell)


if __name__ == "__main__":
    print(table())
