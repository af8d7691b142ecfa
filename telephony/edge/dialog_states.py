"""The states of a dialog, as a table; the same whether the public side or a worker started it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from telephony.errors import TelephonyMisuse
from telephony.sip.drawn import drawn

__all__ = ["LIVE", "STEPS", "DialogEvent", "DialogState", "Party", "next_state", "table"]


class Party(StrEnum):
    """A dialog has these two. One of them, its initiator, sent the INVITE."""

    PUBLIC = "public"
    WORKER = "worker"


class DialogState(StrEnum):
    INVITING = "inviting"  # no final answer yet
    CONFIRMED = "confirmed"
    ENDING = "ending"  # BYE seen, but not its answer
    ENDED = "ended"  # kept only for retransmissions
    LOST = "lost"  # ended by the edge; what either side still sends is answered by the edge


class DialogEvent(StrEnum):
    ANSWERED = "answered"  # a 2xx to the INVITE
    REFUSED = "refused"  # any other final answer to it
    BYE = "BYE"
    BYE_ANSWERED = "BYE answered"
    SILENT = "silent too long"  # no answer to the BYE, or nothing for hours
    CUT = "cut"  # the edge ends it: no answer in time, worker lost, or the gateway asked for it


LIVE = frozenset({DialogState.INVITING, DialogState.CONFIRMED, DialogState.ENDING})

_S, _E = DialogState, DialogEvent
STEPS: Mapping[tuple[DialogState, DialogEvent], DialogState] = {
    (_S.INVITING, _E.ANSWERED): _S.CONFIRMED,
    (_S.INVITING, _E.REFUSED): _S.ENDED,
    (_S.INVITING, _E.BYE): _S.ENDING,  # of an early dialog, by its initiator (RFC 3261 section 15)
    (_S.INVITING, _E.CUT): _S.LOST,
    (_S.CONFIRMED, _E.BYE): _S.ENDING,
    (_S.CONFIRMED, _E.SILENT): _S.ENDED,
    (_S.CONFIRMED, _E.CUT): _S.LOST,
    (_S.ENDING, _E.BYE_ANSWERED): _S.ENDED,
    (_S.ENDING, _E.SILENT): _S.ENDED,
    (_S.ENDING, _E.CUT): _S.LOST,
    (_S.ENDED, _E.CUT): _S.LOST,  # the worker is lost, so the edge answers retransmissions
}


def next_state(state: DialogState, event: DialogEvent) -> DialogState:
    """Raises TelephonyMisuse for an event that is not possible in the state."""
    found = STEPS.get((state, event))
    if found is None:
        raise TelephonyMisuse(f"dialog: {event} is not possible while {state}")
    return found


def table() -> str:
    """The table as Markdown, for docs/edge.md: a test compares them."""

    def cell(state: DialogState, event: DialogEvent) -> str:
        after = STEPS.get((state, event))
        return "" if after is None else after.value

    return drawn(DialogState, DialogEvent, cell)
