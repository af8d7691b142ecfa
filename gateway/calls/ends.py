"""What the end of a leg means for the call, as a table. Pure.

The row is the leg's role and the state of the call, the column is why the leg has ended; the entry says what to do, in
order. docs/architecture.md shows it as `python -m gateway.calls.ends` prints it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from telephony.call import LegRole

__all__ = ["CallState", "Consequence", "LegEnd", "as_markdown", "consequences"]


class CallState(StrEnum):
    """Who has the customer."""

    ALERTING = "alerting"  # nobody yet: not answered
    WITH_AGENT = "with agent"
    DIALLING = "dialling"  # the agent, while someone else is being called
    JOINED = "joined"  # a human, and the agent is silent
    ENDING = "ending"  # nobody any longer


class LegEnd(StrEnum):
    """Why a leg has ended."""

    HUNG_UP = "hung up"  # the other side: BYE, CANCEL
    NOT_ANSWERED = "not answered"  # it rang: busy, rejected, no answer, cancelled by us
    ENDED_BY_US = "ended by us"  # the agent, a limit, a drain
    FAILED = "failed"  # no media, no ACK, a fault of ours
    WORKER_LOST = "worker lost"  # the process that held it died


class Consequence(StrEnum):
    """What to do."""

    END_CALL = "end the call"  # with all its legs
    BACK_TO_AGENT = "back to the agent"
    CANCEL_RINGING = "cancel the ringing ones"
    GO_ON = "go on"


_END = (Consequence.CANCEL_RINGING, Consequence.END_CALL)
_BACK = (Consequence.BACK_TO_AGENT,)
_ON = (Consequence.GO_ON,)


def _row(entry: tuple[Consequence, ...], **other: tuple[Consequence, ...]) -> Mapping[LegEnd, tuple[Consequence, ...]]:
    return {why: other.get(why.name.lower(), entry) for why in LegEnd}


# The call is the customer's. If a human leaves, or is lost, the customer goes back to the agent, who is still
# there, so nobody is left on a dead line. A supervisor only listens.
TABLE: Mapping[LegRole, Mapping[CallState, Mapping[LegEnd, tuple[Consequence, ...]]]] = {
    LegRole.CUSTOMER: {
        CallState.ALERTING: _row(_END),
        CallState.WITH_AGENT: _row(_END),
        CallState.DIALLING: _row(_END),
        CallState.JOINED: _row(_END),
        CallState.ENDING: _row(_ON),
    },
    LegRole.HUMAN: {
        CallState.ALERTING: _row(_ON),
        CallState.WITH_AGENT: _row(_ON),
        CallState.DIALLING: _row(_ON),  # the agent has the customer, and is told the outcome
        CallState.JOINED: _row(_BACK, not_answered=_ON),  # a leg that was still ringing is not the one talking
        CallState.ENDING: _row(_ON),
    },
    LegRole.SUPERVISOR: {state: _row(_ON) for state in CallState},
}


def consequences(role: LegRole, state: CallState, why: LegEnd) -> tuple[Consequence, ...]:
    return TABLE[role][state][why]


def as_markdown() -> str:
    """The table for people, with equal rows merged."""
    lines = [
        "| leg | state of the call | " + " | ".join(LegEnd) + " |",
        "| --- | --- |" + " --- |" * len(LegEnd),
    ]
    for role, states in TABLE.items():
        alike: dict[tuple[str, ...], list[str]] = {}
        for state, row in states.items():
            alike.setdefault(tuple(", ".join(row[why]) for why in LegEnd), []).append(state)
        lines += [f"| {role} | {', '.join(named)} | {' | '.join(row)} |" for row, named in alike.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    print(as_markdown())
