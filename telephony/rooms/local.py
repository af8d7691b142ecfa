"""The local room: legs and agents of one process, mixed at the pace of the first leg.

Two rhythms, both of the clock leg: its push is when agents hear, its pull is when legs hear and the recording grows.
So a two-party call has no queue and no delay between phone and agent: the pull takes the agent's frame directly, the
push hands the phone's frame directly to the loop. Only frames that cross from one clock to another are queued.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from threading import Lock

from telephony.errors import TelephonyMisuse
from telephony.media.frames import FRAME_MS, SILENCE, AudioFrame
from telephony.rooms.hearing import HearingQueue
from telephony.rooms.mixing import FrameQueue, mix_minus
from telephony.rooms.playout import PlayoutQueue
from telephony.rooms.protocol import AudioInput, AudioOutput, LegAudio, Participant, Recorder

__all__ = ["LocalRoom"]

_CLOCK_LOST_S = 0.1  # a clock leg that has not pulled for so long (on hold, media gone) hands the clock to who does
_GAP_S = 0.6  # longer than the backlog that a media clock works off in a burst (0.5 s in PJMEDIA): nobody pulled at all
_LONGEST_GAP_S = 3600.0
_MUTE_PULLS = 2  # pulls without a push after which agents hear the others without waiting for the clock leg


class _Leg:
    """A phone's place; implements `LegAudio`."""

    def __init__(self, room: LocalRoom, identity: str) -> None:
        self._room = room
        self.identity = identity
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

    def __init__(self, room: LocalRoom, identity: str) -> None:
        self._room = room
        self._identity = identity
        self.hearing = HearingQueue(room.wake)
        self.playout = PlayoutQueue(room.wake)
        self.for_agents = FrameQueue()

    @property
    def identity(self) -> str:
        return self._identity

    @property
    def audio_input(self) -> AudioInput:
        return self.hearing

    @property
    def audio_output(self) -> AudioOutput:
        return self.playout

    def leave(self) -> None:
        self._room.remove(self._identity)


class LocalRoom:
    """Implements `Room`. Joining and leaving belong to `loop`; legs push and pull on any threads.

    The recording's left channel is the first leg that ever joined, also after the clock has passed to another.
    """

    def __init__(self, name: str, loop: asyncio.AbstractEventLoop, recorder: Recorder | None = None) -> None:
        self._name = name
        self._loop = loop
        self._recorder = recorder
        self._lock = Lock()  # for the clock's passing on
        self._legs: tuple[_Leg, ...] = ()  # replaced as a whole, so that media threads always see one consistent state
        self._agents: tuple[_Agent, ...] = ()
        self._caller: _Leg | None = None
        self._last_tick: float | None = None  # seconds, loop clock: where the recording has got to
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
        self._legs = (*self._legs, leg)
        if self.clock is None:
            self.clock = leg
            self._clock_seen = None
        for agent in self._agents:
            agent.playout.reopen()
        return leg

    def add_agent(self, identity: str) -> Participant:
        """Raises TelephonyMisuse when the room is closed or the identity is taken."""
        self._check_free(identity)
        agent = _Agent(self, identity)
        self._agents = (*self._agents, agent)
        return agent

    def remove(self, identity: str) -> None:
        for leg in self._legs:
            if leg.identity == identity:
                self._remove_leg(leg)
        for agent in self._agents:
            if agent.identity == identity:
                self._agents = tuple(other for other in self._agents if other is not agent)
                agent.playout.close()
                agent.hearing.close()

    async def close(self) -> None:
        self._closed = True
        for identity in self._identities():
            self.remove(identity)

    def wake(self, callback: Callable[[], None]) -> None:
        """Run `callback` on the loop; nothing is left to wake once the loop is closed."""
        try:
            self._loop.call_soon_threadsafe(callback)
        except RuntimeError:  # a media thread must never see this
            pass

    def is_clock(self, leg: _Leg, at: float) -> bool:
        """Whether this leg's pull is the tick; takes the clock from a leg that has stopped pulling."""
        if self.clock is leg:
            return True
        with self._lock:
            if self._clock_seen is None:
                self._clock_seen = at  # it has not begun yet: give it its time
            elif at - self._clock_seen > _CLOCK_LOST_S and leg.joined:
                self.clock = leg
                leg.share.clear()
                leg.for_agents.clear()
        return self.clock is leg

    def hear(self, pcm: bytes | None, at: float) -> None:
        """Agents hear 20 ms. Called by the clock leg's push; `pcm` is what that leg said."""
        self._pulls_without_push = 0
        agents, legs = self._agents, self._legs
        if len(agents) == 1 and len(legs) == 1:
            if pcm is not None:
                agents[0].hearing.feed(AudioFrame(pcm, at))
        elif agents:
            frames = [pcm if leg is self.clock else leg.for_agents.pop() for leg in legs]
            frames += [agent.for_agents.pop() for agent in agents]
            for agent, heard in zip(agents, mix_minus(frames)[len(legs) :], strict=True):
                agent.hearing.feed(AudioFrame(heard or SILENCE, at))

    def tick(self, clock: _Leg, at: float) -> bytes:
        """Everybody's next 20 ms. Called by the clock leg's pull; returns that leg's share."""
        if self._recorder is not None and self._last_tick is not None and at - self._last_tick > _GAP_S:
            self._record_gap(min(at - self._last_tick, _LONGEST_GAP_S))
        self._last_tick = self._clock_seen = at
        legs, agents = self._legs, self._agents
        if len(legs) == 1 and len(agents) == 1 and clock is self._caller:
            share = agents[0].playout.take(at) or SILENCE
            said = clock.said.pop() or SILENCE
            if self._recorder is not None:
                self._recorder.write(said, share)
            return share
        return self._tick_many(clock, legs, agents, at)

    def _tick_many(self, clock: _Leg, legs: tuple[_Leg, ...], agents: tuple[_Agent, ...], at: float) -> bytes:
        frames = [leg.said.pop() for leg in legs]
        frames += [agent.playout.take(at) for agent in agents]
        own_share = SILENCE
        recorded = self._caller if self._caller in legs else None
        if len(agents) > 1:
            for agent, frame in zip(agents, frames[len(legs) :], strict=True):
                agent.for_agents.push(frame or SILENCE)
        shares = mix_minus([*frames, None])  # the last one hears everybody: the recording after the caller has left
        for leg, said, heard in zip(legs, frames, shares, strict=False):
            share = heard or SILENCE
            if leg is clock:
                own_share = share
            else:
                leg.share.push(share)
            if leg is recorded and self._recorder is not None:
                self._recorder.write(said or SILENCE, share)
        if recorded is None and self._recorder is not None:
            self._recorder.write(SILENCE, shares[-1] or SILENCE)
        self._pulls_without_push += 1
        if self._pulls_without_push > _MUTE_PULLS and len(legs) + len(agents) > 2:
            muted = self._pulls_without_push
            self.hear(None, at)
            self._pulls_without_push = muted  # stays so until the clock leg pushes again
        return own_share

    def _record_gap(self, seconds: float) -> None:
        """While the clock leg was on hold or between two legs nothing ticked; the recording's time axis goes on."""
        assert self._recorder is not None
        for _ in range(round(seconds * 1000 / FRAME_MS) - 1):
            self._recorder.write(SILENCE, SILENCE)

    def _remove_leg(self, leg: _Leg) -> None:
        leg.joined = False
        self._legs = tuple(other for other in self._legs if other is not leg)
        with self._lock:
            if self.clock is leg:
                self.clock = self._legs[0] if self._legs else None
                if self.clock is not None:
                    self.clock.share.clear()
                    self.clock.for_agents.clear()
        if not self._legs:
            for agent in self._agents:
                agent.playout.close()  # nobody will ever pull it: who waits must not wait for ever

    def _identities(self) -> list[str]:
        return [leg.identity for leg in self._legs] + [agent.identity for agent in self._agents]

    def _check_free(self, identity: str) -> None:
        if self._closed:
            raise TelephonyMisuse(f"room {self._name} is closed")
        if identity in self._identities():
            raise TelephonyMisuse(f"{identity} is already in room {self._name}")
