"""A call's LiveKit room as `Room`: further legs of ours are participants of their own, and who hears whom is what each
of them mixes and, for everybody else, what LiveKit server sends them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from gateway.calls.floor import MUSIC
from gateway.calls.session import AGENT, CUSTOMER
from telephony.errors import DialRefused, TelephonyMisuse
from telephony.livekit.errors import LiveKitError
from telephony.livekit.events import LiveKitEvent, ParticipantJoined, ParticipantKind, RemoteParticipant
from telephony.livekit.places import Apart, LegPlace
from telephony.livekit.room import LiveKitRoom
from telephony.rooms.protocol import AudioInput, AudioOutput, LegAudio, Participant
from telephony.rooms.routes import Row, Rows

__all__ = ["CallRoom"]

AGAIN_S = 0.2  # a request that a server drops is worth another try
log = structlog.get_logger(__name__)


class CallRoom:
    """Implements `Room`. `CUSTOMER` is the phone, `AGENT` everybody who is not ours: agents, and people, who are heard
    like them but hear everybody at any time."""

    def __init__(
        self, room: LiveKitRoom, phone: str, place: LegPlace | None, connect: Callable[[str], LiveKitRoom]
    ) -> None:
        """`phone`: the customer's identity. `place`: the customer's, if its audio is ours; else its LiveKit SIP hears
        what it is subscribed to. `connect(name)` makes a further participant of ours, which has not joined."""
        self._room = room
        self._phone = phone
        self._place = place
        self._connect = connect
        self._beside: dict[str, _Beside] = {}  # the agent's voices beside further legs, by their identity
        self._places: dict[str, LegPlace] = {}  # of further legs whose audio is ours
        self._ours: dict[str, LiveKitRoom] = {}  # by our name for it: leg's id, music
        self._joining: dict[str, asyncio.Task[None]] = {}
        self._rows: dict[str, Row] = {}
        self._unsubscribe = room.subscribe(self._happened)
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def name(self) -> str:
        return self._room.name

    # --- who is there --------------------------------------------------------------------------------------------

    def add_leg(self, identity: str) -> LegAudio:
        room = self._add(identity)
        audio = room.add_leg(room.identity)
        if isinstance(audio, LegPlace):
            self._places[identity] = audio
        return audio

    def add_beside(self, leg: str, identity: str) -> Participant:
        """Of this process: the words that its agent makes elsewhere are heard from here. Raises TelephonyMisuse."""
        place = self._places.get(leg)
        if place is None:
            raise TelephonyMisuse(f"the audio of leg {leg} is somebody else's")
        made = self._beside[identity] = _Beside(identity, place, self._place, lambda: self._beside.pop(identity, None))
        return made

    def add_agent(self, identity: str, *, recorded: bool = True) -> Participant:
        """Music, or words over it, for the customer alone."""
        if self._place is not None:
            return (_MusicPlace if identity == MUSIC else _WordsPlace)(identity, self._place)
        room = self._add(identity)
        place = room.add_agent(room.identity, recorded=recorded)
        return _Elsewhere(identity, place, lambda: self.remove(identity))

    def _add(self, name: str) -> LiveKitRoom:
        room = self._ours[name] = self._connect(name)
        task = self._joining[name] = asyncio.create_task(room.join(), name=f"join {name}")
        task.add_done_callback(lambda _: self._spawn(self._apply()))
        return room

    def remove(self, identity: str) -> None:
        joining, room = self._joining.pop(identity, None), self._ours.pop(identity, None)
        self._rows.pop(identity, None)
        self._places.pop(identity, None)
        if room is not None:
            self._spawn(_leave(room, joining))

    async def close(self) -> None:
        """Ours leave; the room stays."""
        self._unsubscribe()
        for name in tuple(self._ours):
            self.remove(name)
        if self._tasks:
            await asyncio.wait(self._tasks)

    # --- who hears whom ------------------------------------------------------------------------------------------

    async def route(self, rows: Rows) -> None:
        """Returns once ours have joined. Raises DialRefused when one of them could not."""
        self._rows.update(rows)
        heard = self._rows.get(CUSTOMER) or ()
        for identity, voice in self._beside.items():
            voice.hears_customer(identity in heard)
        try:
            await asyncio.gather(*self._joining.values())
        except LiveKitError as error:
            raise DialRefused("no_room", str(error), retryable=error.retryable) from error
        await self._apply()

    async def _apply(self) -> None:
        others: dict[str, Row] = {}
        for name, row in self._rows.items():
            heard = self._identities(row)
            if name == CUSTOMER:
                others[self._phone] = heard
            elif name == AGENT:
                others |= {who.identity: heard for who in self._others if who.kind is ParticipantKind.AGENT}
            elif name in self._ours:
                room = self._ours[name]
                await room.route({room.identity: heard})
        for again in (True, False):
            try:
                await self._room.route(others)
                return
            except LiveKitError as error:
                if not (self._place or self._phone in {who.identity for who in self._room.participants}):
                    return  # who would hear it has left meanwhile
                if not again:  # ours hear whom they may; an agent may hear too much
                    log.error("not_routed", error=str(error))
            await asyncio.sleep(AGAIN_S)

    @property
    def _others(self) -> tuple[RemoteParticipant, ...]:
        ours = {self._phone, *(room.identity for room in self._ours.values())}
        return tuple(who for who in self._room.participants if who.identity not in ours)

    def _identities(self, row: Row) -> frozenset[str] | None:
        if row is None:
            return None
        heard: set[str] = set()
        for name in row:
            if name == CUSTOMER:
                heard.add(self._phone)
            elif name == AGENT:
                heard |= {who.identity for who in self._others}
            elif name in self._ours:
                heard.add(self._ours[name].identity)
        return frozenset(heard)

    def _happened(self, event: LiveKitEvent) -> None:
        """Who comes later is routed too."""
        if isinstance(event, ParticipantJoined) and any(row is not None for row in self._rows.values()):
            self._spawn(self._apply())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _leave(room: LiveKitRoom, joining: asyncio.Task[None] | None) -> None:
    if joining is not None:
        joining.cancel()
        await asyncio.wait({joining})
        if not joining.cancelled() and (error := joining.exception()) is not None:
            log.warning("further_participant_not_joined", error=str(error))
    await room.close()


class _Deaf:
    """Implements `AudioInput`: nothing is heard."""

    def subscribe(self, on_frame: Callable[..., None]) -> Callable[[], None]:
        return lambda: None


class _MusicPlace:
    """Implements `Participant`: instead of all that the customer would hear."""

    def __init__(self, identity: str, place: LegPlace) -> None:
        self.identity = identity
        self._place = place
        self.audio_output: AudioOutput = place.play_music()
        self.audio_input: AudioInput = _Deaf()

    def hear_apart(self, source: str) -> AudioInput:
        return self.audio_input

    def leave(self) -> None:
        self._place.stop_music()


class _WordsPlace:
    """Implements `Participant`: heard by the customer with what else they hear; hears them."""

    def __init__(self, identity: str, place: LegPlace) -> None:
        self.identity = identity
        self._place = place
        self.audio_output: AudioOutput = place.speak_beside()
        self.audio_input: AudioInput = place.hear_beside()

    def hear_apart(self, source: str) -> AudioInput:
        return self.audio_input

    def leave(self) -> None:
        self._place.leave_beside()


class _Beside:
    """Implements `Participant` and its `AudioOutput`: beside a further leg, and beside the customer once they are to
    hear it as well; what the leg hears counts as played."""

    def __init__(self, identity: str, place: LegPlace, customer: LegPlace | None, left: Callable[[], object]) -> None:
        self.identity = identity
        self._place = place
        self._customer = customer
        self._left = left
        self._to_leg = place.speak_beside()
        self.heard_by_customer = False
        self._apart = Apart()
        self.hears_customer(False)
        self.audio_output: AudioOutput = self
        self.audio_input: AudioInput = place.hear_beside()

    def hear_apart(self, source: str) -> AudioInput:
        return self.audio_input

    def hears_customer(self, joined: bool) -> None:
        """Who is joined is on the recording as whom the customer hears; until then, as somebody else."""
        self.heard_by_customer = joined
        self._place.apart = None if joined else self._apart
        if self._customer is not None:
            others = tuple(each for each in self._customer.overheard if each is not self._apart)
            self._customer.overheard = others if joined else (*others, self._apart)

    def leave(self) -> None:
        self._place.apart = None
        if self._customer is not None:
            self._customer.overheard = tuple(each for each in self._customer.overheard if each is not self._apart)
        self._place.leave_beside()
        if self.heard_by_customer and self._customer is not None:
            self._customer.leave_beside()
        self._left()

    @property
    def queued_ms(self) -> float:
        return self._to_leg.queued_ms

    @property
    def played_ms(self) -> float:
        return self._to_leg.played_ms

    def push(self, pcm: bytes) -> None:
        for each in self._outputs:
            each.push(pcm)

    def flush(self) -> None:
        for each in self._outputs:
            each.flush()

    def pause(self) -> None:
        for each in self._outputs:
            each.pause()

    def resume(self) -> None:
        for each in self._outputs:
            each.resume()

    def set_gain(self, gain: float, over_ms: float = 0.0) -> None:
        for each in self._outputs:
            each.set_gain(gain, over_ms)

    def clear(self) -> float:
        played_ms, *_ = [each.clear() for each in self._outputs]
        return played_ms

    async def wait_played(self, position_ms: float) -> float | None:
        return await self._to_leg.wait_played(position_ms)

    async def drained(self) -> None:
        await self._to_leg.drained()

    @property
    def _outputs(self) -> list[AudioOutput]:
        also = [self._customer.speak_beside()] if self.heard_by_customer and self._customer is not None else []
        return [self._to_leg, *also]


class _Elsewhere:
    """Implements `Participant`: of another connection, which ends with it."""

    def __init__(self, identity: str, place: Participant, leave: Callable[[], None]) -> None:
        self.identity = identity
        self.leave = leave
        self.audio_output = place.audio_output
        self.audio_input = place.audio_input
        self.hear_apart = place.hear_apart
