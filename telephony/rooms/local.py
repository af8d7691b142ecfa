"""The local room: legs and agents of one process, mixed on the first leg's clock.

There are two beats, both from the clock leg: on its push agents hear, on its pull legs hear and the recording grows.
So a two-party call has no queue and no delay between phone and agent: the pull takes the agent's frame directly, and
the push hands the phone's frame directly to the loop. Only frames that cross from one clock to another are queued.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from threading import Lock

from telephony.errors import TelephonyMisuse
from telephony.media.frames import SILENCE, AudioFrame
from telephony.rooms.hearing import HearingQueue
from telephony.rooms.mixing import FrameQueue, mix, mix_minus
from telephony.rooms.playout import PlayoutQueue
from telephony.rooms.protocol import AudioInput, AudioOutput, LegAudio, Participant, Recorder
from telephony.rooms.recorded_time import RecordedTime
from telephony.rooms.routes import Routes, Rows

__all__ = ["LocalRoom"]

# a clock leg that has not pulled for this long (on hold, media lost) loses the clock to a leg that does
_CLOCK_LOST_S = 0.1
_MUTE_PULLS = 2  # after this many pulls without a push, agents hear the others without waiting for the clock leg


class _Leg:
    """A phone's place; implements `LegAudio`."""

    def __init__(self, room: LocalRoom, identity: str) -> None:
        self._room = room
        self.identity = identity
        self.recorded = True
        self.joined = True
        self.said = FrameQueue()  # for other legs and the recording
        self.for_agents = FrameQueue()  # used while this leg is not the clock
        self.share = FrameQueue()  # what this leg will hear, used while it is not the clock

    def push(self, pcm: bytes, at: float) -> None:
        if self.joined:
            self.said.push(pcm)
            if self._room.clock is self:
                self._room.hear(pcm, at)
            else:
                self.for_agents.push(pcm)

    def pull(self, at: float) -> bytes:
        if not self.joined:
            return SILENCE
        if self._room.is_clock(self, at):
            return self._room.tick(self, at)
        return self.share.pop() or SILENCE


class _Agent:
    """An agent's place; implements `Participant`."""

    def __init__(self, room: LocalRoom, identity: str, recorded: bool) -> None:
        self._room = room
        self.identity = identity
        self.recorded = recorded
        self.hearing = HearingQueue(room.wake)
        self.apart: dict[str, HearingQueue] = {}  # source -> its audio alone; replaced as a whole
        self.playout = PlayoutQueue(room.wake)
        self.for_agents = FrameQueue()

    @property
    def audio_input(self) -> AudioInput:
        return self.hearing

    @property
    def audio_output(self) -> AudioOutput:
        return self.playout

    def hear_apart(self, source: str) -> AudioInput:
        if source not in self.apart:
            self.apart = {**self.apart, source: HearingQueue(self._room.wake)}
            self._room.rearrange()
        return self.apart[source]

    def leave(self) -> None:
        self._room.remove(self.identity)

    def close(self) -> None:
        self.playout.close()
        for hearing in (self.hearing, *self.apart.values()):
            hearing.close()


@dataclass(frozen=True, slots=True)
class _Layout:
    """The participants and who hears whom. Replaced as a whole, so media threads always see a consistent state."""

    legs: tuple[_Leg, ...] = ()
    agents: tuple[_Agent, ...] = ()
    routes: Routes = field(default_factory=Routes)
    pair: bool = False  # one leg and one agent that hear each other, nothing apart: the fast path

    def arranged(self) -> _Layout:
        pair = (
            len(self.legs) == len(self.agents) == 1
            and not self.routes.rows
            and not self.agents[0].apart
            and self.agents[0].recorded
        )
        return replace(self, pair=pair)

    @property
    def everybody(self) -> tuple[_Leg | _Agent, ...]:
        return (*self.legs, *self.agents)

    def shares(self, frames: Sequence[bytes | None]) -> list[bytes | None]:
        """What each of `everybody` hears, given the frames that each says."""
        if not self.routes.rows:
            return mix_minus(frames)
        said = list(zip(self.everybody, frames, strict=True))
        hears = self.routes.hears
        return [
            mix([frame for source, frame in said if frame is not None and hears(listener.identity, source.identity)])
            for listener in self.everybody
        ]


class LocalRoom:
    """Implements `Room`. Joining, leaving and routing belong to `loop`; legs push and pull on any threads.

    The recording's left channel is the first leg that ever joined, even after the clock has moved to another; its
    right channel is everybody else, whoever hears them.
    """

    def __init__(self, name: str, loop: asyncio.AbstractEventLoop, recorder: Recorder | None = None) -> None:
        self._name = name
        self._loop = loop
        self._recorder = recorder
        self._lock = Lock()  # guards moving the clock
        self._layout = _Layout()
        self._caller: _Leg | None = None
        self._recorded = RecordedTime()
        self._clock_seen: float | None = None  # when the clock leg last pulled; None: it is new
        self._pulls_without_push = 0
        self._closed = False
        self.clock: _Leg | None = None

    @property
    def name(self) -> str:
        return self._name

    def add_leg(self, identity: str) -> LegAudio:
        """Raises TelephonyMisuse when the room is closed or the identity is taken."""
        self._check_free(identity)
        leg = _Leg(self, identity)
        if self._caller is None:
            self._caller = leg
        self._layout = replace(self._layout, legs=(*self._layout.legs, leg)).arranged()
        if self.clock is None:
            self.clock = leg
            self._clock_seen = None
        for agent in self._layout.agents:
            agent.playout.reopen()
        return leg

    def add_agent(self, identity: str, *, recorded: bool = True) -> Participant:
        """Raises TelephonyMisuse when the room is closed or the identity is taken."""
        self._check_free(identity)
        agent = _Agent(self, identity, recorded)
        self._layout = replace(self._layout, agents=(*self._layout.agents, agent)).arranged()
        return agent

    async def route(self, rows: Rows) -> None:
        self._layout = replace(self._layout, routes=self._layout.routes.changed(rows)).arranged()

    def rearrange(self) -> None:
        """From now on, a participant hears somebody separately."""
        self._layout = self._layout.arranged()

    def remove(self, identity: str) -> None:
        layout = self._layout
        for leg in layout.legs:
            if leg.identity == identity:
                self._remove_leg(leg)
        for agent in layout.agents:
            if agent.identity == identity:
                left = tuple(other for other in layout.agents if other is not agent)
                self._layout = replace(layout, agents=left, routes=layout.routes.without(identity)).arranged()
                agent.close()

    async def close(self) -> None:
        self._closed = True
        for each in self._layout.everybody:
            self.remove(each.identity)

    def wake(self, callback: Callable[[], None]) -> None:
        """Run `callback` on the loop, unless it is closed."""
        try:
            self._loop.call_soon_threadsafe(callback)
        except RuntimeError:  # must never reach a media thread
            pass

    def is_clock(self, leg: _Leg, at: float) -> bool:
        """Whether this leg's pull is the tick; takes the clock from a leg that has stopped pulling."""
        if self.clock is leg:
            return True
        with self._lock:
            if self._clock_seen is None:
                self._clock_seen = at  # it has not started yet: give it time
            elif at - self._clock_seen > _CLOCK_LOST_S and leg.joined:
                self.clock = leg
                leg.share.clear()
                leg.for_agents.clear()
        return self.clock is leg

    def hear(self, pcm: bytes | None, at: float) -> None:
        """Give agents 20 ms to hear. Called by the clock leg's push; `pcm` is what that leg said."""
        self._pulls_without_push = 0
        layout = self._layout
        if layout.pair:
            if pcm is not None:
                layout.agents[0].hearing.feed(AudioFrame(pcm, at))
        elif layout.agents:
            frames = [pcm if leg is self.clock else leg.for_agents.pop() for leg in layout.legs]
            frames += [agent.for_agents.pop() for agent in layout.agents]
            for agent, heard in zip(layout.agents, layout.shares(frames)[len(layout.legs) :], strict=True):
                agent.hearing.feed(AudioFrame(heard or SILENCE, at))
                if agent.apart:
                    self._hear_apart(agent, layout, frames, at)

    def _hear_apart(self, agent: _Agent, layout: _Layout, frames: Sequence[bytes | None], at: float) -> None:
        said = {each.identity: frame for each, frame in zip(layout.everybody, frames, strict=True)}
        for source, hearing in agent.apart.items():
            frame = said.get(source) if layout.routes.hears(agent.identity, source) else None
            hearing.feed(AudioFrame(frame or SILENCE, at))

    def tick(self, clock: _Leg, at: float) -> bytes:
        """Everybody's next 20 ms. Called by the clock leg's pull; returns that leg's share."""
        if self._recorder is not None:
            self._recorded.tick(self._recorder, at)
        self._clock_seen = at
        layout = self._layout
        if layout.pair and clock is self._caller:
            share = layout.agents[0].playout.take(at) or SILENCE
            said = clock.said.pop() or SILENCE
            if self._recorder is not None:
                self._recorder.write(said, share)
            return share
        return self._tick_many(clock, layout, at)

    def _tick_many(self, clock: _Leg, layout: _Layout, at: float) -> bytes:
        legs, agents = layout.legs, layout.agents
        frames = [leg.said.pop() for leg in legs]
        frames += [agent.playout.take(at) for agent in agents]
        if len(agents) > 1 or any(agent.apart for agent in agents):
            for agent, frame in zip(agents, frames[len(legs) :], strict=True):
                agent.for_agents.push(frame or SILENCE)
        own_share = SILENCE
        for leg, heard in zip(legs, layout.shares(frames), strict=False):
            if leg is clock:
                own_share = heard or SILENCE
            else:
                leg.share.push(heard or SILENCE)
        if self._recorder is not None:
            self._record(self._recorder, layout, frames)
        self._pulls_without_push += 1
        if self._pulls_without_push > _MUTE_PULLS and len(legs) + len(agents) > 2:
            muted = self._pulls_without_push
            self.hear(None, at)
            self._pulls_without_push = muted  # remains set until the clock leg pushes again
        return own_share

    def _record(self, recorder: Recorder, layout: _Layout, frames: Sequence[bytes | None]) -> None:
        said = SILENCE
        others: list[bytes] = []
        for each, frame in zip(layout.everybody, frames, strict=True):
            if each is self._caller:
                said = frame or SILENCE
            elif frame is not None and each.recorded:
                others.append(frame)
        recorder.write(said, mix(others) or SILENCE)

    def _remove_leg(self, leg: _Leg) -> None:
        leg.joined = False
        layout = self._layout
        left = tuple(other for other in layout.legs if other is not leg)
        self._layout = replace(layout, legs=left, routes=layout.routes.without(leg.identity)).arranged()
        with self._lock:
            if self.clock is leg:
                self.clock = left[0] if left else None
                if self.clock is not None:
                    self.clock.share.clear()
                    self.clock.for_agents.clear()
        if not left:
            for agent in layout.agents:
                agent.playout.close()  # nobody will pull it any more: release its waiters

    def _check_free(self, identity: str) -> None:
        if self._closed:
            raise TelephonyMisuse(f"room {self._name} is closed")
        if any(each.identity == identity for each in self._layout.everybody):
            raise TelephonyMisuse(f"{identity} is already in room {self._name}")
