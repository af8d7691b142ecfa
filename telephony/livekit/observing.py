"""Our place in a LiveKit room that somebody else has the phone of: we publish nothing, and record what is said."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from telephony.livekit.buffer import TrackBuffer
from telephony.livekit.places import LegPlace
from telephony.media.frames import SILENCE
from telephony.rooms.mixing import mix
from telephony.rooms.protocol import Recorder
from telephony.rooms.recorded_time import RecordedTime
from telephony.rooms.routes import Row

__all__ = ["ObserverPlace", "leg_place"]


class ObserverPlace:
    """Implements `LegAudio` and `Place`. Left channel of the recording: the phone; right: everybody else, whoever
    hears them. Each `pull` is 20 ms of it."""

    def __init__(self, identity: str, phone: str, recorder: Recorder | None) -> None:
        """`phone`: its identity in the room."""
        self.identity = identity
        self._phone = phone
        self._recorder = recorder
        self._recorded = RecordedTime()
        self._tracks: Mapping[str, tuple[str, TrackBuffer]] = {}  # sid -> who speaks; replaced as a whole

    def push(self, pcm: bytes, at: float) -> None:
        """Nobody hears us."""

    def pull(self, at: float) -> bytes:
        if self._recorder is not None:
            said = [(source == self._phone, buffer.pop()) for source, buffer in self._tracks.values()]
            phone, others = ([pcm for is_phone, pcm in said if is_phone is side and pcm] for side in (True, False))
            self._recorded.tick(self._recorder, at)
            self._recorder.write(mix(phone) or SILENCE, mix(others) or SILENCE)
        return SILENCE

    def live(self, is_live: bool) -> None:
        if not is_live:
            self._tracks = {}

    def track_started(self, track: str, source: str) -> None:
        self._tracks = {**self._tracks, track: (source, TrackBuffer())}

    def track_stopped(self, track: str) -> None:
        self._tracks = {sid: each for sid, each in self._tracks.items() if sid != track}

    def route(self, row: Row) -> None:
        """What is said is recorded, whoever may hear it."""

    def heard(self, track: str, pcm: bytes) -> None:
        known = self._tracks.get(track)
        if known is not None and self._recorder is not None:
            known[1].push(pcm)

    def close(self) -> None:
        self._recorder = None
        self._tracks = {}


def leg_place(
    identity: str,
    loop: asyncio.AbstractEventLoop,
    put: Callable[[bytes], None],
    recorder: Recorder | None,
    observes: str = "",
) -> LegPlace | ObserverPlace:
    """A leg's place: its audio's, or, with `observes`, that of somebody else's phone."""
    return ObserverPlace(identity, observes, recorder) if observes else LegPlace(identity, loop, put, recorder)
