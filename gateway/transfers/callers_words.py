"""What a caller answers who is asked what it is about: from where to where they speak, and when that is over. Pure;
times are seconds, loop clock. Nothing is kept but the audio."""

from __future__ import annotations

from telephony.media.frames import FRAME_BYTES, FRAME_MS

__all__ = ["CallersAnswer"]

BEGIN_LIMIT_S = 6.0  # from the question's end to their first word
PAUSE_S = 1.2  # of silence: they have said it
LIMIT_S = 20.0  # of the whole answer
CLOCK_S = 0.001  # a timer may be that early
MARGIN_S = 0.3  # of audio before and after the words


class CallersAnswer:
    def __init__(self) -> None:
        self._audio = bytearray()
        self._audio_at: float | None = None  # of its first frame
        self._began_at: float | None = None
        self._ended_at: float | None = None  # None while they speak
        self._asked_at: float | None = None
        self.over = False

    @property
    def speaking(self) -> bool:
        return self._began_at is not None and self._ended_at is None

    def frame(self, pcm: bytes, at: float) -> None:
        """20 ms of the caller."""
        if self._audio_at is None:
            self._audio_at = at
        if not self.over and len(self._audio) < FRAME_BYTES * (LIMIT_S + 2 * BEGIN_LIMIT_S + 30) * 1000 / FRAME_MS:
            self._audio += pcm

    def asked(self, now: float) -> None:
        """The question is over: it has been said, or they speak already."""
        if self._asked_at is None:
            self._asked_at = now

    def begins(self, at: float) -> None:
        self._began_at = at if self._began_at is None else self._began_at
        self._ended_at = None

    def ends(self, at: float) -> None:
        self._ended_at = at

    @property
    def deadline(self) -> float | None:
        """None: the question is still being asked."""
        if self._began_at is None:
            return None if self._asked_at is None else self._asked_at + BEGIN_LIMIT_S
        limit = self._began_at + LIMIT_S
        return limit if self._ended_at is None else min(limit, self._ended_at + PAUSE_S)

    def due(self, now: float) -> bool:
        """Whether it is over."""
        deadline = self.deadline
        self.over = self.over or (deadline is not None and now >= deadline - CLOCK_S)
        return self.over

    @property
    def pcm(self) -> bytes:
        """Their words; empty: there were none."""
        if self._began_at is None or self._audio_at is None:
            return b""
        begin = self._began_at - MARGIN_S - self._audio_at
        end = len(self._audio) if self._ended_at is None else self._bytes(self._ended_at + MARGIN_S - self._audio_at)
        return bytes(self._audio[self._bytes(begin) : end])

    @staticmethod
    def _bytes(seconds: float) -> int:
        return max(0, round(seconds * 1000 / FRAME_MS)) * FRAME_BYTES
