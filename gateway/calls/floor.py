"""Who hears whom in a call, as rows of its room's matrix. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.calls.session import AGENT, CUSTOMER
from gateway.calls.verbs import ListenMode, Voice
from telephony.rooms.routes import Rows

__all__ = ["MUSIC", "NOTICE", "WORDS", "Floor", "rows_of"]

MUSIC = "music"  # what a customer hears who waits: ringing, hold music
NOTICE = "notice"  # a tone: somebody listens in
WORDS = "agent to caller"  # the agent's, now and then, for a customer who waits


@dataclass(frozen=True, slots=True)
class Floor:
    """`legs`: all further ones. `joined`: the one that talks with the customer. `supervisors`: those that have
    answered. `waits`: the customer is on hold, or is being transferred. `voices`: of the agent beside a human's leg,
    by leg: apart with that human, or with the two once they are joined. `asked`: the customer is asked something by
    the agent's words alone, and is heard there. `fading`: the music goes on under those whom the customer hears.
    `notice`: the customer hears a tone that somebody listens in. `notes`: what those who are joined say is written down
    by the voice beside them."""

    legs: tuple[str, ...] = ()
    joined: str | None = None
    supervisors: Mapping[str, ListenMode] = field(default_factory=dict)
    waits: bool = False
    muted: frozenset[Voice] = frozenset()
    voices: Mapping[str, str] = field(default_factory=dict)
    asked: bool = False
    fading: bool = False
    notes: bool = False
    notice: bool = False


def rows_of(floor: Floor) -> Rows:
    """Without anything special, everybody hears everybody else. A leg that rings is heard by nobody."""
    if not (floor.legs or floor.waits or floor.muted or floor.asked or floor.fading):
        return {CUSTOMER: None, AGENT: None}
    joined = floor.joined
    rows: dict[str, tuple[str, ...]] = dict.fromkeys(floor.legs, ())
    loud = tuple(leg for leg, mode in floor.supervisors.items() if mode in (ListenMode.BARGE, ListenMode.TAKE_OVER))
    taken_over = ListenMode.TAKE_OVER in floor.supervisors.values()
    whispering = tuple(leg for leg, mode in floor.supervisors.items() if mode is ListenMode.WHISPER)
    beside = tuple(voice for leg, voice in floor.voices.items() if leg == joined)
    for leg in floor.supervisors:
        rows[leg] = tuple(each for each in (CUSTOMER, AGENT, joined, *loud) if each is not None and each != leg)
    music = (MUSIC,) if floor.fading else ()
    if floor.asked:
        rows[CUSTOMER], rows[AGENT], rows[MUSIC], rows[WORDS] = (WORDS,), (), (), (CUSTOMER,)
    elif floor.waits:
        rows[CUSTOMER], rows[AGENT], rows[MUSIC], rows[WORDS] = (MUSIC, WORDS), (), (), ()
    elif joined is not None:
        rows[CUSTOMER], rows[AGENT] = (joined, *beside, *loud, *music), ()
    elif taken_over:
        rows[CUSTOMER], rows[AGENT] = (*loud, *music), ()
    else:
        rows[CUSTOMER] = (*(() if Voice.AGENT in floor.muted else (AGENT,)), *loud, *music)
        rows[AGENT] = () if Voice.CALLER in floor.muted else (CUSTOMER,)
    if floor.notice:
        rows[CUSTOMER] = (*(rows[CUSTOMER] or ()), NOTICE)
        rows[NOTICE] = ()
    if joined is not None:
        rows[joined] = (*(() if floor.waits or floor.asked else (CUSTOMER,)), *beside, *loud, *whispering)
    for leg, voice in floor.voices.items():
        rows[voice] = (leg, CUSTOMER) if floor.notes and leg == joined and not floor.waits else (leg,)
        if leg != joined:
            rows[leg] = (voice,)
    return rows
