"""A warm transfer to one human, as a table. Pure. docs/transfers.md shows it as `python -m
gateway.transfers.warm_table` prints it.

The customer waits until the human is joined with them. Every combination of state and event is an entry: a step, or
`IMPOSSIBLE`. What a human comes to after their answer differs by order, so a step may go to "the next stage": the next
one of `STAGES` that was ordered; the last one always is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from telephony.sip.drawn import drawn

__all__ = [
    "ENTERED",
    "IMPOSSIBLE",
    "PARTIES",
    "STAGES",
    "TABLE",
    "Step",
    "WarmDo",
    "WarmEvent",
    "WarmState",
    "next_stage",
    "table",
]


class WarmState(StrEnum):
    CALLING = "calling"
    RINGING = "ringing"
    CHECKING = "checking"  # they have answered: a person, or a machine?
    ASKING = "asking"  # whether they accept: 1, or decline: 2
    BRIEFING = "briefing"  # the agent gives them its summary
    CONSULTING = "consulting"  # they ask the agent about the customer
    TOGETHER = "together"  # the two hear each other, and the agent introduces them
    JOINED = "joined"  # the two hear each other
    OVER = "over"


class WarmEvent(StrEnum):
    RINGS = "rings"
    ANSWERS = "answers"
    NOT_REACHED = "is not reached"  # busy, declined, no answer, not even dialled
    IS_PERSON = "is a person"
    IS_MACHINE = "is a machine"  # voicemail, fax, a menu, or nobody says anything
    PRESSES_1 = "presses 1"
    PRESSES_2 = "presses 2"
    PRESSES_OTHER = "presses another key"
    AGREES = "says to put the customer through"
    REFUSES = "says that they cannot"
    LEAVES = "hangs up"
    LOST = "is lost"  # the process that held the leg died, or its media did
    CUSTOMER_GONE = "customer hangs up"
    SPOKEN = "agent has spoken"  # all that it has to say, or can
    CALL_ENDS = "call is ended"  # by us
    TAKEN = "another human accepts"
    TOO_LATE = "time for all is up"
    TIME_UP = "time is up"  # of the state


PARTIES: Final[Mapping[str, tuple[WarmEvent, ...]]] = {
    "human": (
        WarmEvent.RINGS, WarmEvent.ANSWERS, WarmEvent.NOT_REACHED, WarmEvent.IS_PERSON, WarmEvent.IS_MACHINE,
        WarmEvent.PRESSES_1, WarmEvent.PRESSES_2, WarmEvent.PRESSES_OTHER, WarmEvent.AGREES, WarmEvent.REFUSES,
        WarmEvent.LEAVES, WarmEvent.LOST,
    ),
    "customer": (WarmEvent.CUSTOMER_GONE,),
    "agent": (WarmEvent.SPOKEN, WarmEvent.CALL_ENDS),
    "another human": (WarmEvent.TAKEN,),
    "clock": (WarmEvent.TOO_LATE, WarmEvent.TIME_UP),
}  # fmt: skip


class WarmDo(StrEnum):
    """What follows, in this order."""

    TELL_RINGING = "tell: ringing"
    TELL_ANSWERED = "tell: answered"
    CHECK = "find out who it is"
    ASK = "ask whether they accept"
    CLAIM = "the others are told that it is taken"
    BRIEF = "say the summary"
    CONSULT = "answer what they ask"
    JOIN = "customer and human hear each other"
    INTRODUCE = "say the introduction"
    CUT = "cut the agent short"
    TELL_TAKEN = "say that it is taken"
    DROP = "end the human's leg"
    FAILED = "the next target, or back to the agent"
    BACK = "back to the agent"
    AFTERWARDS = "as ordered: end the call, or back to the agent"


@dataclass(frozen=True, slots=True)
class Step:
    """`to` None: the next stage."""

    to: WarmState | None
    do: tuple[WarmDo, ...] = ()


IMPOSSIBLE: Final = None

_S, _E, _D = WarmState, WarmEvent, WarmDo
STAGES: Final = (_S.CHECKING, _S.ASKING, _S.BRIEFING, _S.CONSULTING, _S.TOGETHER, _S.JOINED)
ENTERED: Final[Mapping[WarmState, tuple[WarmDo, ...]]] = {
    _S.CHECKING: (_D.CHECK,),
    _S.ASKING: (_D.ASK,),
    _S.BRIEFING: (_D.CLAIM, _D.BRIEF),
    _S.CONSULTING: (_D.CLAIM, _D.CONSULT),
    _S.TOGETHER: (_D.CLAIM, _D.JOIN, _D.INTRODUCE),
    _S.JOINED: (_D.CLAIM, _D.JOIN),
}

_NEXT = Step(None)
_FAILED = Step(_S.OVER, (_D.FAILED,))
_DROPPED_AND_FAILED = Step(_S.OVER, (_D.DROP, _D.FAILED))
_DROPPED = Step(_S.OVER, (_D.DROP,))
_BACK = Step(_S.OVER, (_D.BACK,))
_SHORTENED = Step(None, (_D.CUT,))


def _row(state: WarmState, **possible: Step) -> dict[tuple[WarmState, WarmEvent], Step | None]:
    """Whoever ends the call ends it in every state; what is not named is impossible."""
    row: dict[WarmEvent, Step | None] = dict.fromkeys(_E, IMPOSSIBLE)
    row |= {_E.CUSTOMER_GONE: _DROPPED, _E.CALL_ENDS: _DROPPED}
    row |= {WarmEvent[name.upper()]: step for name, step in possible.items()}
    return {(state, event): step for event, step in row.items()}


def _ringing(state: WarmState, rings: Step) -> dict[tuple[WarmState, WarmEvent], Step | None]:
    return _row(
        state, rings=rings, answers=Step(None, (_D.TELL_ANSWERED,)), not_reached=_FAILED, lost=_FAILED, taken=_DROPPED,
        too_late=_DROPPED_AND_FAILED, time_up=_DROPPED_AND_FAILED,
    )  # fmt: skip


def _talking(state: WarmState, **other: Step) -> dict[tuple[WarmState, WarmEvent], Step | None]:
    """They have answered, and the customer does not hear them yet."""
    stay = Step(state)
    usual = {
        "rings": stay, "is_person": stay, "is_machine": _DROPPED_AND_FAILED, "presses_1": stay, "presses_2": stay,
        "presses_other": stay, "agrees": stay, "refuses": stay, "leaves": _FAILED, "lost": _FAILED,
    }  # fmt: skip
    return _row(state, **(usual | other))


def _with_customer(state: WarmState, **other: Step) -> dict[tuple[WarmState, WarmEvent], Step | None]:
    """Keys go to the customer, who talks with whoever it is."""
    stay = Step(state)
    told = ("rings", "is_person", "is_machine", "presses_1", "presses_2", "presses_other", "agrees", "refuses")
    usual = dict.fromkeys(told, stay)
    return _row(state, **(usual | {"leaves": Step(_S.OVER, (_D.AFTERWARDS,)), "lost": _BACK} | other))


_UNTAKEN = {"taken": Step(_S.OVER, (_D.TELL_TAKEN,)), "too_late": _DROPPED_AND_FAILED}

TABLE: Final[Mapping[tuple[WarmState, WarmEvent], Step | None]] = {
    **_ringing(_S.CALLING, Step(_S.RINGING, (_D.TELL_RINGING,))),
    **_ringing(_S.RINGING, Step(_S.RINGING)),
    **_talking(_S.CHECKING, is_person=_NEXT, time_up=_NEXT, **_UNTAKEN),
    **_talking(
        _S.ASKING, presses_1=_SHORTENED, presses_2=_DROPPED_AND_FAILED, presses_other=Step(_S.ASKING, (_D.ASK,)),
        spoken=Step(_S.ASKING), time_up=_DROPPED_AND_FAILED, **_UNTAKEN,
    ),
    **_talking(
        _S.BRIEFING, presses_1=_SHORTENED, presses_2=_DROPPED_AND_FAILED, spoken=_NEXT, time_up=_SHORTENED,
    ),
    **_talking(
        _S.CONSULTING, presses_1=_SHORTENED, presses_2=_DROPPED_AND_FAILED, agrees=_SHORTENED,
        refuses=_DROPPED_AND_FAILED, spoken=_NEXT, time_up=_SHORTENED,
    ),
    **_with_customer(_S.TOGETHER, spoken=_NEXT, time_up=_SHORTENED),
    **_with_customer(_S.JOINED),
    **{(_S.OVER, event): Step(_S.OVER) for event in _E},
}  # fmt: skip


def next_stage(after: WarmState, ordered: frozenset[WarmState]) -> WarmState:
    """`ordered`: the stages that were."""
    later = STAGES[STAGES.index(after) + 1 :] if after in STAGES else STAGES
    return next(stage for stage in later if stage in ordered or stage is _S.JOINED)


def table() -> str:
    """The table as Markdown, with the events as rows, then what a stage begins with: a test holds docs/transfers.md to
    it."""

    def cell(event: WarmEvent, state: WarmState) -> str:
        step = TABLE[state, event]
        if step is IMPOSSIBLE:
            return ""
        goes = [] if step.to is state else [f"**{step.to or 'next stage'}**"]
        return "; ".join([*goes, *step.do]) or "-"

    states = [state for state in WarmState if state is not _S.OVER]
    stages = [f"- {stage}: {', then '.join(do)}" for stage, do in ENTERED.items()]
    return drawn(WarmEvent, states, cell) + "\n\nA stage begins with:\n\n" + "\n".join(stages)


if __name__ == "__main__":
    print(table())
