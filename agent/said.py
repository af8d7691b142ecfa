"""What is said on a leg that the caller's conversation does not hear, and who is told of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agent.turns.signals import SpeechEnded, SpeechStarted

__all__ = ["ConsultationTold", "Heard", "Said"]


@dataclass(frozen=True, slots=True)
class Said:
    """The words of one turn, and its place in the audio: seconds, loop clock."""

    text: str
    started_at: float
    ended_at: float


Heard = SpeechStarted | SpeechEnded | Said


@dataclass(frozen=True, slots=True)
class ConsultationTold:
    """Of a human who asks the agent about the caller. `heard`: of the human. `told`: by the agent; whether that was
    interrupted. `decided`: whether they take the caller; None: the agent can say nothing more. `speaks`: whether the
    agent does just now."""

    heard: Callable[[Said], None]
    told: Callable[[Said, bool], None]
    decided: Callable[[bool | None], None]
    speaks: Callable[[bool], None]
