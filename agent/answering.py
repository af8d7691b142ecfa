"""What an agent does about whoever answers a call that we place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from telephony.media.answering.model import AnsweredBy

__all__ = ["Answering", "AnsweringAction"]


class AnsweringAction(StrEnum):
    """What is done once it is known who has answered."""

    TALK = "talk"  # the conversation, as with a person
    MESSAGE = "message"  # leave the message and hang up; without one: hang up
    SAY_WHO_CALLS = "say_who_calls"  # to a call screener, in the persona's one sentence; then wait for the person
    NAVIGATE = "navigate"  # an IVR: the agent hears the options and presses keys, or waits on hold in silence
    HANG_UP = "hang_up"


_DEFAULTS: Mapping[AnsweredBy, AnsweringAction] = {
    AnsweredBy.HUMAN: AnsweringAction.TALK,
    AnsweredBy.VOICEMAIL: AnsweringAction.MESSAGE,
    AnsweredBy.MAILBOX_FULL: AnsweringAction.HANG_UP,
    AnsweredBy.SCREENER: AnsweringAction.SAY_WHO_CALLS,
    AnsweredBy.IVR: AnsweringAction.NAVIGATE,
    AnsweredBy.FAX: AnsweringAction.HANG_UP,
    AnsweredBy.SILENCE: AnsweringAction.HANG_UP,
    AnsweredBy.UNKNOWN: AnsweringAction.TALK,
}


@dataclass(frozen=True, slots=True)
class Answering:
    """Texts may name variables of the call in braces: `{name}`. A message may be a recording instead: `file:PATH`."""

    detect: bool = True  # whether it is asked at all; otherwise whoever answers is talked to at once
    message: str = ""  # for a voicemail; empty: none is left
    screener: str = ""  # who calls and why, in one sentence; empty: the persona's greeting
    actions: Mapping[AnsweredBy, AnsweringAction] = field(default_factory=dict)  # where other than the defaults

    def action(self, answered_by: AnsweredBy) -> AnsweringAction:
        return self.actions.get(answered_by, _DEFAULTS[answered_by])
