"""How loud the other side speaks: to tell its voice from the echo of ours, and from a radio or others in its room."""

from __future__ import annotations

from telephony.media.level import dbfs

__all__ = ["Loudness"]

_FALLS_DB = 0.005  # what the voice's level falls by in each frame that is below it
_BACKGROUND_DB = 10.0  # whoever is this much weaker than the voice is not who has answered
_ECHO_DB = 12.0  # an echo of ours is this much weaker, at least
_QUIET_DB = 12.0  # music in the room is weaker than the voice at its loudest by this, at least
_LATELY = 0.01  # of each frame in what has been heard lately: about two seconds
_HELD_FRAMES = 8  # a voice is as loud as the loudest of these: syllables differ


class Loudness:
    def __init__(self) -> None:
        self._voice: float | None = None  # dBFS, of the loudest speech
        self._frames = [-96.0] * _HELD_FRAMES
        self._next = 0
        self._lately = -60.0  # dBFS

    def frame(self, pcm: bytes) -> None:
        """20 ms that were heard."""
        level = dbfs(pcm)
        self._lately += (level - self._lately) * _LATELY
        self._frames[self._next] = level
        self._next = (self._next + 1) % _HELD_FRAMES

    def speech(self) -> bool:
        """Speech has just been heard, and we don't speak. True: it is so much louder than all before that what was
        before was not the voice of who has answered."""
        level, before = max(self._frames), self._voice
        self._voice = level if before is None else max(level, before - _FALLS_DB)
        return before is not None and level > before + _BACKGROUND_DB

    @property
    def is_background(self) -> bool:
        return self._voice is not None and max(self._frames) < self._voice - _BACKGROUND_DB

    @property
    def is_quiet_lately(self) -> bool:
        """For seconds, it has been much weaker than the voice."""
        return self._voice is not None and self._lately < self._voice - _QUIET_DB

    @property
    def is_echo(self) -> bool:
        return self._voice is not None and max(self._frames) < self._voice - _ECHO_DB
