"""The two kinds of place in a LiveKit room: a leg's (a phone, on its media thread) and an agent's (on the loop)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from telephony.livekit.buffer import TrackBuffer, quiet
from telephony.livekit.pacing import Pacer
from telephony.media.frames import FRAME_MS, SILENCE, AudioFrame
from telephony.rooms.hearing import HearingQueue
from telephony.rooms.mixing import FrameQueue, mix
from telephony.rooms.playout import PlayoutQueue
from telephony.rooms.protocol import AudioInput, AudioOutput, Recorder
from telephony.rooms.recorded_time import RecordedTime
from telephony.rooms.routes import Row

__all__ = ["AgentPlace", "Apart", "LegPlace", "Place"]


@dataclass(frozen=True, slots=True)
class _Track:
    """A remote track. `heard`: according to our row of the room's routes."""

    source: str
    heard: bool = True
    buffer: TrackBuffer = field(default_factory=TrackBuffer)

    def routed(self, row: Row) -> _Track:
        return replace(self, heard=row is None or self.source in row)


@dataclass(frozen=True, slots=True)
class Apart:
    """What a leg says, and is told, while only an agent's voice beside it hears it."""

    said: FrameQueue = field(default_factory=FrameQueue)
    told: FrameQueue = field(default_factory=FrameQueue)


_MISSED_S = 0.06  # a clock that has not ticked for this long is replaced
_QUIET_S = 0.16  # no audio for this long: the last word has been said


class Place(Protocol):
    """What the room tells either kind, on the loop unless noted."""

    @property
    def identity(self) -> str: ...

    def live(self, is_live: bool) -> None:
        """Whether our audio reaches the room."""

    def track_started(self, track: str, source: str) -> None:
        """`source`: the identity of its speaker."""

    def route(self, row: Row) -> None:
        """Whom we hear from now on."""

    def track_stopped(self, track: str) -> None: ...

    def heard(self, track: str, pcm: bytes) -> None:
        """Called on any thread."""

    def close(self) -> None: ...


class LegPlace:
    """Implements `LegAudio` and `Place`. Left channel of the recording: the leg; right: everything that it hears."""

    def __init__(
        self, identity: str, loop: asyncio.AbstractEventLoop, put: Callable[[bytes], None], recorder: Recorder | None
    ) -> None:
        self._identity = identity
        self._loop = loop
        self._put = put
        self._recorder = recorder
        self._tracks: Mapping[str, _Track] = {}  # replaced as a whole: the media thread sees one consistent state
        self._row: Row = None
        self._said = FrameQueue()  # for the recording
        self._pushed_at = 0.0
        self._recorded = RecordedTime()
        self._loud_at: float | None = None  # None: nobody is waiting
        self._joined = True
        self._stand_in = Pacer(loop, self._fill)
        self.announcer = PlayoutQueue(self._wake)  # heard by this leg alone
        self.music: PlayoutQueue | None = None  # the same, instead of others who are not routed, and not recorded
        self._beside: PlayoutQueue | None = None  # the same, among what else it hears
        self._heard_here: HearingQueue | None = None  # this leg alone, for an agent of this process
        self.apart: Apart | None = None  # what is said to and by this leg, for the recording of the room
        self.overheard: tuple[Apart, ...] = ()  # of other legs: on our recording, and not heard

    @property
    def identity(self) -> str:
        return self._identity

    @property
    def buffers(self) -> tuple[TrackBuffer, ...]:
        return tuple(track.buffer for track in self._tracks.values())

    def push(self, pcm: bytes, at: float) -> None:
        self._pushed_at = at
        if self._heard_here is not None:
            self._heard_here.feed(AudioFrame(pcm, at))
        if (apart := self.apart) is not None:
            apart.said.push(pcm)
        if self._joined:
            if self._recorder is not None:
                self._said.push(pcm)
            self._put(pcm)

    def pull(self, at: float) -> bytes:
        if not self._joined:
            return SILENCE
        heard = [(track.buffer.pop(), track.heard) for track in self._tracks.values()]
        frames = [frame for frame, is_heard in heard if frame is not None and is_heard]
        if self._beside is not None and (spoken := self._beside.take(at)) is not None:
            frames.append(spoken)
            if (apart := self.apart) is not None:
                apart.told.push(spoken)
        share = self.announcer.take(at) or mix(frames) or SILENCE  # an announcement replaces the mix
        if self._loud_at is not None and not quiet(share):
            self._loud_at = at
        if self._recorder is not None:
            self._recorded.tick(self._recorder, at)
            self._recorder.write(self._said.pop() or SILENCE, self._with_overheard(share))
        music = None if self.music is None else self.music.take(at)
        if music is None:
            return share
        return music if self._row is None else mix([music, share]) or music

    def play_music(self) -> PlayoutQueue:
        """What is pushed is heard until `stop_music`."""
        self.music = self.music or PlayoutQueue(self._wake)
        return self.music

    def stop_music(self) -> None:
        music, self.music = self.music, None
        if music is not None:
            music.close()

    def _with_overheard(self, share: bytes) -> bytes:
        overheard = [queue.pop() for apart in self.overheard for queue in (apart.said, apart.told)]
        frames = [frame for frame in overheard if frame is not None]
        return mix([share, *frames]) or share if frames else share

    def speak_beside(self) -> PlayoutQueue:
        """What is pushed is heard by this leg, with what else it hears."""
        self._beside = self._beside or PlayoutQueue(self._wake)
        return self._beside

    def hear_beside(self) -> HearingQueue:
        """This leg alone."""
        self._heard_here = self._heard_here or HearingQueue(self._wake)
        return self._heard_here

    def leave_beside(self) -> None:
        beside, self._beside = self._beside, None
        hearing, self._heard_here = self._heard_here, None
        if beside is not None:
            beside.close()
        if hearing is not None:
            hearing.close()

    async def played_out(self, limit_s: float) -> None:
        """Wait until audio in transit has been handed to the leg: 160 ms without audio."""
        deadline = self._loop.time() + limit_s
        self._loud_at = self._loop.time()
        try:
            while (left := min(deadline, self._loud_at + _QUIET_S) - self._loop.time()) > 0:  # noqa: ASYNC110 - set by a thread
                await asyncio.sleep(max(left, FRAME_MS / 1000))
        finally:
            self._loud_at = None

    def live(self, is_live: bool) -> None:
        if is_live:
            self._stand_in.start()
        else:
            self._stand_in.stop()
            self._tracks = {}

    def track_started(self, track: str, source: str) -> None:
        self._tracks = {**self._tracks, track: _Track(source).routed(self._row)}

    def track_stopped(self, track: str) -> None:
        self._tracks = {sid: each for sid, each in self._tracks.items() if sid != track}

    def route(self, row: Row) -> None:
        self._row = row
        self._tracks = {sid: track.routed(row) for sid, track in self._tracks.items()}

    def heard(self, track: str, pcm: bytes) -> None:
        known = self._tracks.get(track)
        if known is not None:
            known.buffer.push(pcm)

    def close(self) -> None:
        self._joined = False
        self._stand_in.stop()
        self._tracks = {}
        self.announcer.close()
        self.stop_music()
        self.leave_beside()

    def _fill(self, at: float) -> None:
        """A leg on hold or not answered yet is silent to the room, not gone."""
        if at - self._pushed_at > _MISSED_S:
            self._put(SILENCE)

    def _wake(self, callback: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(callback)
        except RuntimeError:  # the loop is closed; must never reach a media thread
            pass


class AgentPlace:
    """Implements `Participant` and `Place`. Speech is paced by the loop's clock: *played* means passed to WebRTC, which
    sends it at once. A single remote track is heard directly, several are mixed on the loop's clock."""

    def __init__(
        self,
        identity: str,
        loop: asyncio.AbstractEventLoop,
        put: Callable[[bytes], None],
        leave: Callable[[str], None],
        recorder: Recorder | None = None,
    ) -> None:
        """Left channel of the recording: what the agent hears; right: what it says. It starts with the first tick."""
        self._identity = identity
        self._loop = loop
        self._put = put
        self._leave = leave
        self._recorder = recorder
        self._heard = FrameQueue()  # for the recording
        self._recorded = RecordedTime()
        self._tracks: Mapping[str, _Track] = {}  # replaced as a whole: other threads read it
        self._row: Row = None
        self._apart: dict[str, HearingQueue] = {}  # source -> its audio alone
        self._sole: str | None = None  # the track heard directly, if it is the only one
        self._heard_at: float | None = None  # None: nobody has been heard yet
        self._pacer = Pacer(loop, self._tick)
        self._hearing = HearingQueue(self._wake)
        self._playout = PlayoutQueue(loop.call_soon)

    @property
    def identity(self) -> str:
        return self._identity

    @property
    def audio_input(self) -> AudioInput:
        return self._hearing

    @property
    def audio_output(self) -> AudioOutput:
        return self._playout

    def hear_apart(self, source: str) -> AudioInput:
        if source not in self._apart:
            self._apart = {**self._apart, source: HearingQueue(self._wake)}
            self._arrange(self._tracks)
        return self._apart[source]

    def leave(self) -> None:
        self._leave(self._identity)

    def live(self, is_live: bool) -> None:
        """While the connection is being resumed nothing is played: positions stand still."""
        if is_live:
            self._pacer.start()
        else:
            self._pacer.stop()
            self._arrange({})

    def track_started(self, track: str, source: str) -> None:
        self._arrange({**self._tracks, track: _Track(source).routed(self._row)})

    def track_stopped(self, track: str) -> None:
        self._arrange({sid: each for sid, each in self._tracks.items() if sid != track})

    def route(self, row: Row) -> None:
        self._row = row
        self._arrange({sid: track.routed(row) for sid, track in self._tracks.items()})

    def _arrange(self, tracks: Mapping[str, _Track]) -> None:
        self._tracks = tracks
        only = next(iter(tracks)) if len(tracks) == 1 and not self._apart else None
        self._sole = only if only is not None and tracks[only].heard else None

    def heard(self, track: str, pcm: bytes) -> None:
        known = self._tracks.get(track)
        if known is None:
            return
        if self._sole == track:
            self._feed(pcm, self._loop.time())
        else:
            known.buffer.push(pcm)

    def close(self) -> None:
        self._pacer.stop()
        self._playout.close()
        for hearing in (self._hearing, *self._apart.values()):
            hearing.close()

    def _tick(self, at: float) -> None:
        said = self._playout.take(at) or SILENCE
        self._put(said)
        if self._recorder is not None:
            self._recorded.tick(self._recorder, at)
            self._recorder.write(self._heard.pop() or SILENCE, said)
        if self._sole is None and (self._tracks or self._apart):
            self._hear(at)
        elif self._heard_at is not None and at - self._heard_at > _MISSED_S:
            self._feed(SILENCE, at)  # someone who left in mid-word must not seem to speak forever

    def _hear(self, at: float) -> None:
        """On the loop's clock: the mix of several tracks, and any listened to separately."""
        said: dict[str, list[bytes]] = {}
        for track in self._tracks.values():
            frame = track.buffer.pop()
            if frame is not None and track.heard:
                said.setdefault(track.source, []).append(frame)
        self._feed(mix([frame for frames in said.values() for frame in frames]) or SILENCE, at)
        for source, hearing in self._apart.items():
            hearing.feed(AudioFrame(mix(said.get(source, [])) or SILENCE, at))

    def _feed(self, pcm: bytes, at: float) -> None:
        self._heard_at = at
        if self._recorder is not None:
            self._heard.push(pcm)
        self._hearing.feed(AudioFrame(pcm, at))

    def _wake(self, callback: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(callback)
        except RuntimeError:  # the loop is closed
            pass
