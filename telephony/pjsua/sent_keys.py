"""What the peer hears while keys are sent to it: their tones, or nothing, in place of its room's audio."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from telephony.media.frames import FRAME_BYTES, SILENCE

__all__ = ["SentKeys"]

_ECHO_S = 0.5  # how long our own tones may come back from the line


@dataclass(slots=True)
class _Tones:
    pcm: bytes
    done: Callable[[], None]
    at: int = 0  # bytes that have been sent


class SentKeys:
    """`frame` and `may_echo` are called on the media thread, the rest on the loop."""

    def __init__(self) -> None:
        self._silent = False
        self._tones: _Tones | None = None
        self._sounded_at = -math.inf

    def silence(self, silent: bool) -> None:
        """The peer hears nothing of the room."""
        self._silent = silent

    def play(self, pcm: bytes, done: Callable[[], None]) -> None:
        """8 kHz audio, whole frames. `done` is called on the media thread after the last one."""
        self._tones = _Tones(pcm, done)

    def stop(self) -> None:
        self._tones = None

    def frame(self, at: float) -> bytes | None:
        """What is sent in place of the room's frame; None: that."""
        tones = self._tones
        if tones is None:
            return SILENCE if self._silent else None
        frame = tones.pcm[tones.at : tones.at + FRAME_BYTES]
        tones.at += FRAME_BYTES
        self._sounded_at = at
        if tones.at >= len(tones.pcm):
            self._tones = None
            tones.done()
        return frame

    def may_echo(self, at: float) -> bool:
        """Whether a tone in the peer's audio may be one of ours."""
        return at - self._sounded_at < _ECHO_S
