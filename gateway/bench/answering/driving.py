"""Tells a machine what is heard of a call, as a session would, and notes what it says and when."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from heapq import merge

from gateway.bench.answering.cases import AnsweredCall
from gateway.bench.answering.hearing import Heard
from telephony.media.answering.model import (
    AnsweredBy,
    AnsweringEvent,
    GreetingGoesOn,
    MessageMayBegin,
    Verdict,
    WhoAnswered,
)
from telephony.media.frames import FRAME_BYTES, FRAME_MS

__all__ = ["MakeMachine", "Outcome", "drive"]

MakeMachine = Callable[[float], WhoAnswered]  # it is told when the call was answered: seconds, loop clock
_ANSWERED = 100.0
_WE_SAY_S = 3.0  # our greeting
_LONGEST_S = 40.0  # after the audio, limits may still come


@dataclass(frozen=True, slots=True)
class Outcome:
    """`events` at seconds after the answer."""

    call: AnsweredCall
    events: tuple[AnsweringEvent, ...]

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        return tuple(event for event in self.events if isinstance(event, Verdict))

    @property
    def first(self) -> Verdict | None:
        return self.verdicts[0] if self.verdicts else None

    @property
    def standing(self) -> AnsweredBy:
        """At the end of the call."""
        return self.verdicts[-1].answered_by if self.verdicts else AnsweredBy.UNKNOWN

    @property
    def message_at(self) -> float | None:
        """When the message was begun that was not broken off."""
        begun: float | None = None
        for event in self.events:
            if isinstance(event, MessageMayBegin):
                begun = event.at
            elif isinstance(event, GreetingGoesOn):
                begun = None
        return begun


class _Driver:
    def __init__(self, machine: WhoAnswered) -> None:
        self._machine = machine
        self._silent_at: float | None = None  # when our greeting has been said
        self.events: list[AnsweringEvent] = []

    def take(self, events: tuple[AnsweringEvent, ...], now: float) -> None:
        """As an agent does: a person is greeted at once, a message is begun and broken off when told so."""
        self.events.extend(events)
        for event in events:
            match event:
                case Verdict(answered_by=AnsweredBy.HUMAN):
                    self._machine.we_speak(True, now)
                    self._silent_at = now + _WE_SAY_S
                case MessageMayBegin():
                    self._machine.we_speak(True, now)
                    self._silent_at = None
                case Verdict() | GreetingGoesOn() if self._silent_at is not None or isinstance(event, GreetingGoesOn):
                    self._machine.we_speak(False, now)
                    self._silent_at = None

    def tick(self, now: float) -> None:
        if self._silent_at is not None and now >= self._silent_at:
            self._machine.we_speak(False, now)
            self._silent_at = None
        due = self._machine.due()
        if due is not None and due <= now:
            self.take(self._machine.tick(now), now)


def drive(make: MakeMachine, call: AnsweredCall, heard: Heard, *, words: bool = True) -> Outcome:
    """`words`: False, as without a recogniser."""
    machine = make(_ANSWERED)
    driver = _Driver(machine)
    frames = (
        (round((at // FRAME_BYTES + 1) * FRAME_MS / 1000, 4), 0, at) for at in range(0, len(call.pcm), FRAME_BYTES)
    )
    voices = ((at, 1, index) for index, (_, at) in enumerate(heard.voice))
    texts = ((at, 2, index) for index, (_, at, _) in enumerate(heard.words if words else ()))
    now = _ANSWERED
    for at, what, index in merge(frames, voices, texts):
        now = _ANSWERED + at
        if what == 0:
            driver.take(machine.hear(call.pcm[index : index + FRAME_BYTES], now), now)
            driver.tick(now)
        elif what == 1:
            driver.take(machine.voice(heard.voice[index][0], now), now)
        else:
            text, _, final = heard.words[index]
            driver.take(machine.words(text, now, final=final), now)
    _limits(machine, driver, now)
    return Outcome(call, tuple(_moved(event, -_ANSWERED) for event in driver.events))


def _limits(machine: WhoAnswered, driver: _Driver, now: float) -> None:
    """No more audio comes; limits do."""
    end = now + _LONGEST_S
    while (due := machine.due()) is not None and due <= end:
        now = max(due, now + 0.001)
        driver.tick(now)


def _moved(event: AnsweringEvent, by: float) -> AnsweringEvent:
    at = round(event.at + by, 4)
    match event:
        case Verdict():
            return Verdict(at, event.answered_by, event.probability, event.reasons, event.corrects)
        case MessageMayBegin():
            return MessageMayBegin(at, event.why)
        case GreetingGoesOn():
            return GreetingGoesOn(at)
