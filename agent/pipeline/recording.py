"""Tracks why the call's recording is paused: hidden digits are asked for or keyed, or the persona asked for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from agent.events import RecordingPaused, RecordingResumed, SessionEvent

__all__ = ["PauseReason", "RecordingPauses"]

PauseReason = Literal["secret", "asked"]


class RecordingPauses:
    """Emits events when the pause starts and when no reason is left. Times are loop-clock
    seconds."""

    def __init__(self, emit: Callable[[SessionEvent], None]) -> None:
        self._emit = emit
        self._reasons: set[PauseReason] = set()

    def __bool__(self) -> bool:
        return bool(self._reasons)

    @property
    def asked(self) -> bool:
        """Paused because the persona asked for it."""
        return "asked" in self._reasons

    def pause(self, reason: PauseReason, at: float) -> None:
        """Idempotent."""
        begins = not self._reasons
        self._reasons.add(reason)
        if begins:
            self._emit(RecordingPaused(at, reason))

    def resume(self, reason: PauseReason, at: float) -> None:
        """Resume, unless it is paused for another reason as well. Idempotent."""
        if reason in self._reasons:
            self._reasons.discard(reason)
            if not self._reasons:
                self._emit(RecordingResumed(at))
