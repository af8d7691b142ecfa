"""A leg's place in its room, with the keys in its audio: the peer's are listened for, ours replace the room's audio. On
the media thread."""

from __future__ import annotations

from collections.abc import Callable

from telephony.media.dtmf_detector import DtmfDetector
from telephony.media.telephone_events import PressLimit
from telephony.pjsua.sent_keys import SentKeys
from telephony.rooms.protocol import LegAudio

__all__ = ["InBandKeys"]


class InBandKeys:
    """`told` is called with each key and its time."""

    def __init__(self, told: Callable[[str, float], None]) -> None:
        self.listens = False  # set on the loop: whether the peer may send keys this way
        self.sent = SentKeys()
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
        if self.listens and not self.sent.may_echo(at):
            for hit in self._detector.push(pcm):
                if self._limit.allows(at):
                    self._told(hit.digit, at)

    def pull(self, at: float) -> bytes:
        if self._audio is None:
            return b""
        room = self._audio.pull(at)  # even if it is not heard: this is the room's clock
        keys = self.sent.frame(at)
        return room if keys is None else keys
