"""Signals about the caller for the turn machines, from any source: the VAD, a recogniser that detects turns,
a semantic model next to the VAD, the application. Pure.

Times are loop-clock seconds. `at` of speech is its position in the audio; `at` of all other signals is when they
arrived.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

__all__ = [
    "Digit",
    "EndOfTurn",
    "Final",
    "Interim",
    "Signal",
    "SpeechEnded",
    "SpeechStarted",
    "TurnDetection",
    "TurnResumed",
]

TurnDetection = Literal["vad", "stt", "manual", "realtime"]
"""Who says when the caller's turn is over: silence after speech, the recogniser, the application, or a speech-to-speech
model."""


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """`at`: the onset in the audio; `noticed_at`: the last sample heard when it was noticed."""

    at: float
    noticed_at: float


@dataclass(frozen=True, slots=True)
class SpeechEnded:
    """`at`: the end in the audio, from which the end silence is counted."""

    at: float
    noticed_at: float


@dataclass(frozen=True, slots=True)
class Interim:
    """`text`: the words of the current speech so far. They may still change."""

    text: str
    at: float


@dataclass(frozen=True, slots=True)
class Final:
    """`text`: the final words of the turn so far. Empty: there was sound, but no words."""

    text: str
    at: float
    confidence: float = 1.0  # 0..1


@dataclass(frozen=True, slots=True)
class EndOfTurn:
    """The caller has finished, with likelihood `p` (0..1). `eager`: a guess that `TurnResumed` may take back; otherwise
    the recogniser has ended the turn. `speech_ended_at`: the end of the last word in the audio, if that is known."""

    p: float
    at: float
    eager: bool = False
    speech_ended_at: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.p <= 1:
            raise ValueError(f"a likelihood must be in 0..1, not {self.p}")


@dataclass(frozen=True, slots=True)
class TurnResumed:
    """The caller continues after an eager `EndOfTurn`."""

    at: float


@dataclass(frozen=True, slots=True)
class Digit:
    """A key was pressed."""

    key: str = field(repr=False)  # it may be part of a secret
    at: float


Signal = SpeechStarted | SpeechEnded | Interim | Final | EndOfTurn | TurnResumed | Digit
