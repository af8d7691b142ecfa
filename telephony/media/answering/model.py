"""What is said about whoever has answered a call, and what there is to say it from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

__all__ = [
    "AnsweredBy",
    "AnsweringEvent",
    "AnsweringEvidence",
    "GreetingGoesOn",
    "MessageMayBegin",
    "Verdict",
    "WhoAnswered",
]


class AnsweredBy(StrEnum):
    HUMAN = "human"
    VOICEMAIL = "voicemail"
    MAILBOX_FULL = "mailbox_full"  # no message can be left
    SCREENER = "screener"  # a program that asks who calls and why, before it lets the call through
    IVR = "ivr"  # a menu, or a line where one waits
    FAX = "fax"
    SILENCE = "silence"  # nobody says anything
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class AnsweringEvidence:
    """One finding of one detector. `at`: seconds, loop clock. `what`: one word or two for the record ("beep", "SIT",
    "voicemail words"); never what was said."""

    at: float
    what: str
    detail: str = ""  # "880 Hz, 410 ms"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Who has answered. May be followed by another one that `corrects` it."""

    at: float  # seconds, loop clock
    answered_by: AnsweredBy
    probability: float  # 0 to 1
    reasons: tuple[str, ...]  # plain words, the most telling one first; never what was said
    corrects: AnsweredBy | None = None  # what was said before


@dataclass(frozen=True, slots=True)
class MessageMayBegin:
    """Of a voicemail: it records from now on. `why`: "beep", "greeting_end" (it fell silent without a beep) or
    "limit"."""

    at: float
    why: str


@dataclass(frozen=True, slots=True)
class GreetingGoesOn:
    """After `MessageMayBegin`: the greeting was not over. Another `MessageMayBegin` will follow."""

    at: float


AnsweringEvent = Verdict | MessageMayBegin | GreetingGoesOn


class WhoAnswered(Protocol):
    """Pure: time comes as an argument (seconds, loop clock) and never goes back. Every method returns what is known
    because of it, mostly nothing. Told from the answer (200 OK) on, until nobody wants to know any more."""

    def hear(self, pcm: bytes, at: float) -> tuple[AnsweringEvent, ...]:
        """20 ms that were heard, until `at`: 8 kHz, 16 bit, mono."""

    def voice(self, probability: float, at: float) -> tuple[AnsweringEvent, ...]:
        """How likely the last window of audio, until `at`, was speech: 0 to 1. Windows of 32 ms, from the VAD that
        listens anyway."""

    def words(self, text: str, at: float, *, final: bool) -> tuple[AnsweringEvent, ...]:
        """What the recogniser understands of the present stretch of speech; `final`: it will not change any more.
        Without a recogniser it is never called."""

    def opinion(self, answered_by: AnsweredBy, at: float) -> tuple[AnsweringEvent, ...]:
        """A language model's, from the words so far."""

    def we_speak(self, speaking: bool, at: float) -> None:
        """Our own voice begins, or has been played out: what is heard meanwhile may be its echo, or a person who
        answers."""

    def due(self) -> float | None:
        """When `tick` is wanted: nothing else may come. None: never."""

    def tick(self, now: float) -> tuple[AnsweringEvent, ...]:
        """A limit has come."""
