"""What an agent does about whoever answers a call that we place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from string import Formatter

from telephony.media.answering.model import AnsweredBy

__all__ = ["Answering", "AnsweringAction", "BadAnswering"]

_RECORDING = "file:"


class BadAnswering(ValueError):
    """A text cannot be said: a variable is missing, or its braces are wrong."""


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
    limit_s: float = 20.0  # without a verdict: then the agent talks as with a person
    correct_for_s: float = 20.0  # how long after a person was recognised a machine is still noticed
    screener_limit_s: float = 60.0  # the longest wait for the person behind a screener
    menu_limit_s: float = 600.0  # the longest stay in a menu or on hold

    def action(self, answered_by: AnsweredBy) -> AnsweringAction:
        return self.actions.get(answered_by, _DEFAULTS[answered_by])

    @property
    def recording(self) -> Path | None:
        """The message's recording; None: it is a text."""
        return Path(self.message.removeprefix(_RECORDING)) if self.message.startswith(_RECORDING) else None

    def filled(self, variables: Mapping[str, str]) -> Answering:
        """With the call's variables in its texts. Raises BadAnswering, naming text and variable: do this when the call
        is ordered."""
        message = self.message if self.recording else _filled("message", self.message, variables)
        return replace(self, message=message, screener=_filled("screener", self.screener, variables))


def _filled(name: str, text: str, variables: Mapping[str, str]) -> str:
    try:
        return "".join(_parts(name, text, variables))
    except ValueError as error:
        raise error if isinstance(error, BadAnswering) else BadAnswering(f"{name}: {error}") from error


def _parts(name: str, text: str, variables: Mapping[str, str]) -> Iterator[str]:
    for words, variable, form, conversion in Formatter().parse(text):
        yield words
        if variable is None:
            continue
        if form or conversion:
            raise BadAnswering(f"{name}: {{{variable}}} takes no format")
        if variable not in variables:
            raise BadAnswering(f"{name}: the call has no variable {variable!r}")
        yield str(variables[variable])
