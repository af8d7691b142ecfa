"""When each step of an answer happened."""

from __future__ import annotations

from dataclasses import dataclass

from agent.events import TurnLatency

__all__ = ["Waterfall"]


@dataclass(slots=True)
class Waterfall:
    """See `TurnLatency`; `told`: it has been reported."""

    turn: int
    speech_ended_at: float | None = None
    decided_at: float | None = None
    transcript_at: float | None = None
    first_token_at: float | None = None
    first_audio_at: float | None = None
    first_packet_at: float | None = None
    told: bool = False

    def event(self, at: float) -> TurnLatency:
        return TurnLatency(
            at,
            self.turn,
            self.speech_ended_at,
            self.decided_at,
            self.transcript_at,
            self.first_token_at,
            self.first_audio_at,
            self.first_packet_at,
        )
