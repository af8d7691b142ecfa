"""A leg's place in its room that also listens for keys in the leg's audio. On the media thread."""

from __future__ import annotations

from collections.abc import Callable

from telephony.media.dtmf_detector import DtmfDetector
from telephony.media.telephone_events import PressLimit
from telephony.rooms.protocol import LegAudio

__all__ = ["InBandKeys"]


class InBandKeys:
    """`told` is called with each key and its time."""

    def __init__(self, told: Callable[[str, float], None]) -> None:
        self.listens = False  # set on the loop: whether the peer has no better way to send keys
        self._told = told
        self._audio: LegAudio | None = None
        self._detector = DtmfDetector()
        self._limit = PressLimit()

    def over(self, audio: LegAudio) -> LegAudio:
        self._audio = audio
        return self

    def push(self, pcm: bytes, at: float) -> None:
        audio = self._audio
        if audio is None:
            return
        audio.push(pcm, at)
        if self.listens:
            for hit in self._detector.push(pcm):
                if self._limit.allows(at):
                    self._told(hit.digit, at)

    def pull(self, at: float) -> bytes:
        return self._audio.pull(at) if self._audio is not None else b""
