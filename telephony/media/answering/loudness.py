"""How loud the other side speaks, to tell its voice from the echo of ours."""

from __future__ import annotations

from telephony.media.level import dbfs

__all__ = ["Loudness"]

_SLOWLY = 0.05  # share of a new frame, of 20 ms
_QUICKLY = 0.2
_ECHO_DB = 12.0  # an echo is this much weaker than the voice that spoke before, at least


class Loudness:
    def __init__(self) -> None:
        self._voice: float | None = None  # dBFS, of the other side's speech
        self._now: float | None = None  # dBFS, while we speak

    def speech(self, pcm: bytes) -> None:
        """The other side speaks, and we don't."""
        level = dbfs(pcm)
        self._now = None
        self._voice = level if self._voice is None else max(level, self._voice + _SLOWLY * (level - self._voice))

    def beside_us(self, pcm: bytes) -> None:
        """We speak."""
        level = dbfs(pcm)
        self._now = level if self._now is None else max(level, self._now + _QUICKLY * (level - self._now))

    @property
    def is_echo(self) -> bool:
        return self._voice is not None and self._now is not None and self._now < self._voice - _ECHO_DB
