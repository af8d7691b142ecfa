"""Who hears whom in a call, as rows of its room's matrix. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.calls.session import AGENT, CUSTOMER
from gateway.calls.verbs import ListenMode, Voice
from telephony.rooms.routes import Rows

__all__ = ["MUSIC", "WORDS", "Floor", "rows_of"]

MUSIC = "music"  # what a customer hears who waits: ringing, hold music
WORDS = "agent to caller"  # the agent's, now and then, for a customer who waits


@dataclass(frozen=True, slots=True)
class Floor:
    """`legs`: all further ones. `joined`: the one that talks with the customer. `supervisors`: those that have
    answered. `waits`: the customer is on hold, or is being transferred. `voices`: of the agent beside a human's leg,
    by leg: apart with that human, or with the two once they are joined."""

    legs: tuple[str, ...] = ()
    joined: str | None = None
    supervisors: Mapping[str, ListenMode] = field(default_factory=dict)
    waits: bool = False
    muted: frozenset[Voice] = frozenset()
    voices: Mapping[str, str] = field(default_factory=dict)


def rows_of(floor: Floor) -> Rows:
    """Without anything special, everybody hears everybody else. A leg that rings is heard by nobody."""
    if not floor.legs and not floor.waits and not floor.muted:
        return {CUSTOMER: None, AGENT: None}
    joined = floor.joined
    rows: dict[str, tuple[str, ...]] = dict.fromkeys(floor.legs, ())
    loud = tuple(leg for leg, mode in floor.supervisors.items() if mode is ListenMode.BARGE)
    whispering = tuple(leg for leg, mode in floor.supervisors.items() if mode is ListenMode.WHISPER)
    beside = tuple(voice for leg, voice in floor.voices.items() if leg == joined)
    for leg in floor.supervisors:
        rows[leg] = tuple(each for each in (CUSTOMER, AGENT, joined, *loud) if each is not None and each != leg)
    if floor.waits:
        rows[CUSTOMER], rows[AGENT], rows[MUSIC], rows[WORDS] = (MUSIC, WORDS), (), (), ()
    elif joined is not None:
        rows[CUSTOMER], rows[AGENT] = (joined, *beside, *loud), ()
    else:
        rows[CUSTOMER] = (*(() if Voice.AGENT in floor.muted else (AGENT,)), *loud)
        rows[AGENT] = () if Voice.CALLER in floor.muted else (CUSTOMER,)
    if joined is not None:
        rows[joined] = (*(() if floor.waits else (CUSTOMER,)), *beside, *loud, *whispering)
    for leg, voice in floor.voices.items():
        rows[voice] = (leg,)
        if leg != joined:
            rows[leg] = (voice,)
    return rows
