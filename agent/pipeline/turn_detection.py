"""Checks what may end the caller's turns, given the available providers."""

from __future__ import annotations

from agent.providers.base import STT
from agent.turns.signals import TurnDetection

__all__ = ["detection_problem"]


def detection_problem(detection: TurnDetection, *, vad: bool, stt: STT | None) -> str:
    """Why turns cannot be detected this way; empty: they can."""
    match detection:
        case "realtime":
            return "turn_detection realtime is not available yet: use vad, stt or manual"
        case "stt" if stt is None:
            return "turn_detection stt needs an STT that detects turns, but there is no STT"
        case "stt" if not getattr(stt, "turns", False):
            return (
                f"turn_detection stt needs an STT that detects turns, and {stt.name if stt else ''} does not: use vad"
            )
        case "vad" if stt is not None and not vad:
            return "turn_detection vad needs a VAD, but there is only an STT"
    return ""
