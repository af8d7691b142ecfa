"""The legs of a call besides its customer's: dialled, joined with the customer, and ended.

A ringing leg is heard by nobody, and the customer is with the agent. A leg that answers talks with the customer, and
the agent hears no one and is not heard until they leave: all of it rows of the room's matrix, changed in one step.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import structlog

from gateway.calls.dialling import Dialler, DialOrder
from gateway.calls.ends import CallState
from gateway.calls.floor import NOTICE, Floor, rows_of
from gateway.calls.journal import LegJournal
from gateway.calls.leg_owner import LegFact, LegOwner
from gateway.calls.media_watch import MediaWatch
from gateway.calls.pressed_keys import Keys
from gateway.calls.session import AGENT
from gateway.calls.succession import Succession
from gateway.calls.verbs import ListenMode, Voice
from gateway.record import leg_id_of
from telephony.call import CallOutcome, Leg, LegEnded, LegRole, OutcomeKind, outcome_kind
from telephony.errors import DialRefused, LegEndedError, TelephonyMisuse
from telephony.rooms.protocol import Participant, Room, SpeaksBeside

__all__ = ["Dialled", "FurtherLegs", "LegNews", "Placing"]

log = structlog.get_logger(__name__)

PLACING_LIMIT_S = 3.0  # at the call's end, for a leg being placed at that moment


@dataclass(frozen=True, slots=True)
class Dialled:
    """Implements `DialledLeg`."""

    owner: LegOwner
    outcome: CallOutcome
    line: Succession

    @property
    def leg_id(self) -> str:
        return self.owner.leg_id

    async def ended(self) -> LegEnded:
        """Of whoever has taken its place in the end."""
        return await self.line.last_end(self.owner)

    async def hang_up(self, reason: str = "") -> None:
        await self.line.last(self.owner).end(reason)


LegNews = Literal["began", "placed", "rings"]  # it has an id; it is dialled; it rings


class Placing(Protocol):
    """Is told about a leg while it is placed."""

    def __call__(self, leg_id: str, fact: LegNews, /) -> None: ...


class FurtherLegs:
    """Of one call. `begin` comes first."""

    def __init__(
        self,
        call_id: str,
        dialler: Dialler | None,
        tell: Callable[[LegOwner, LegFact], None],
        send: Callable[[dict[str, Any]], None],
        watch: Callable[[Leg], MediaWatch],
    ) -> None:
        """`dialler` None: no further legs for this call. `send` takes the records of legs that this worker holds;
        `watch` makes their media watches."""
        self._call_id = call_id
        self._dialler = dialler
        self._tell = tell
        self._send = send
        self._watch = watch
        self._room: Room | None = None
        self._owners: dict[str, LegOwner] = {}
        self._placing: dict[asyncio.Task[LegOwner], LegRole] = {}
        self._joined: str | None = None
        self._modes: dict[str, ListenMode] = {}  # of supervisors, by leg
        self._switchboard: set[str] = set()  # legs whose extension has not been sent
        self.dials_extension: Callable[[str, LegOwner], Awaitable[None]] = _no_keys
        self.waiting_keys: Callable[[str], None] | None = None  # takes the customer's while they wait
        self._waits: frozenset[str] = frozenset()  # why the customer waits
        self._muted: frozenset[Voice] = frozenset()
        self._asked = self._fading = self._notes = self._notice = False
        self._told: dict[str, Placing] = {}  # by leg
        self._apart: dict[str, Callable[[str], None]] = {}  # by leg that is not joined when it answers: takes its keys
        self._voices: dict[str, Participant] = {}  # the agent's, by leg
        self._keys: dict[str, Keys] = {}  # on their way to a leg
        self._line = Succession()
        self._last = 1  # the number of the customer's leg
        self._over = False
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, room: Room | None) -> None:
        """`room` None: further legs are not possible."""
        self._room = room

    @property
    def room(self) -> Room | None:
        return self._room

    @property
    def state(self) -> CallState:
        """Whether the call is answered and in progress."""
        if self._joined is not None:
            return CallState.JOINED
        roles = (*(owner.role for owner in self._owners.values()), *self._placing.values())
        return CallState.DIALLING if LegRole.HUMAN in roles else CallState.WITH_AGENT

    def leg(self, leg_id: str) -> Leg | None:
        """None: there is none, or it has not been answered."""
        return self._owners[leg_id].leg if self._answered(leg_id) else None

    # --- who hears whom ------------------------------------------------------------------------------------------

    @property
    def floor(self) -> Floor:
        through = {leg: mode for leg, mode in self._modes.items() if leg not in self._switchboard}
        heard = {leg: mode for leg, mode in through.items() if self._answered(leg)}
        voices = {leg: voice.identity for leg, voice in self._voices.items()}
        return Floor(
            tuple(self._owners), self._joined, heard, bool(self._waits), self._muted, voices,
            self._asked, self._fading, self._notes, self._notice,
        )  # fmt: skip

    def _answered(self, leg_id: str) -> bool:
        return leg_id in self._owners and self._owners[leg_id].acknowledged.is_set()

    async def waits(self, why: str, waits: bool, *, fading: bool = False) -> None:
        """The customer hears the music instead of anybody, until no reason is left; `fading`: then it goes on under
        whom they hear, until `faded`."""
        self._fading = fading
        self._waits = self._waits | {why} if waits else self._waits - {why}
        await self._route()

    def faded(self) -> None:
        """The music is over."""
        self._fading = False
        self._reroute()

    async def asks(self, asked: bool) -> None:
        """The customer hears the agent's words alone, and is heard where they come from."""
        self._asked = asked
        await self._route()

    def take_notes(self, leg_id: str) -> Participant:
        """Of a leg that is joined. Where it and the customer can be heard apart. Raises TelephonyError."""
        voice = self.voice(leg_id)
        self._notes = True
        self._reroute()
        return voice

    async def mute(self, voice: Voice, muted: bool) -> None:
        self._muted = self._muted | {voice} if muted else self._muted - {voice}
        await self._route()

    def mode_of(self, leg_id: str) -> ListenMode | None:
        """Of a supervisor."""
        return self._modes.get(leg_id)

    @property
    def taken_over_by(self) -> str | None:
        """The supervisor's leg that talks with the customer instead of the agent."""
        modes = self._modes.items()
        return next((leg for leg, mode in modes if mode is ListenMode.TAKE_OVER and self._answered(leg)), None)

    async def notice(self, pcm: bytes) -> None:
        """The customer hears this besides whomever they hear. Raises TelephonyError."""
        if self._room is None:
            return
        place = self._room.add_agent(NOTICE)
        self._notice = True
        await self._route()
        try:
            place.audio_output.push(pcm)
            place.audio_output.flush()
            await place.audio_output.wait_played(place.audio_output.queued_ms)
        finally:
            self._notice = False
            place.leave()
            await self._route()

    async def set_mode(self, leg_id: str, mode: ListenMode) -> None:
        """Of a supervisor."""
        self._modes[leg_id] = mode
        await self._route()

    # --- dialling ------------------------------------------------------------------------------------------------

    async def dial(
        self,
        to: str,
        *,
        trunk: str = "",
        caller: str = "",
        ring_s: float = 30.0,
        mode: ListenMode | None = None,
        told: Placing | None = None,
        pressed: Callable[[str], None] | None = None,
        headers: Mapping[str, str] | None = None,
        extension: str = "",
    ) -> Dialled:
        """As `Dials.dial`. `mode`: of a supervisor, which is joined to what there is. `told`: about the leg, as long as
        it is dialled. `pressed`: the leg stays apart when it answers, until `join`, and this takes its keys until then.
        `headers`: of its INVITE. `extension`: keys for whoever answers, who hears nobody until they are sent."""
        room, dialler = self._room, self._dialler
        if room is None or dialler is None or self._over:
            raise DialRefused("no_room", "the call has ended" if self._over else "its room accepts no further legs")
        self._last += 1
        leg_id = leg_id_of(self._call_id, self._last)
        role = LegRole.HUMAN if mode is None else LegRole.SUPERVISOR
        if mode is not None:
            self._modes[leg_id] = mode
        if told is not None:
            self._told[leg_id] = told
            told(leg_id, "began")
        if pressed is not None:
            self._apart[leg_id] = pressed
        if extension:
            self._switchboard.add(leg_id)
        order = DialOrder(self._call_id, leg_id, to, role, trunk, caller, ring_s, headers=headers or {})
        task = asyncio.create_task(self._place(order, room, dialler), name=f"place {leg_id}")
        self._placing[task] = role
        task.add_done_callback(self._placed)
        try:
            owner = await asyncio.shield(task)
        except asyncio.CancelledError:  # who gives up waiting does not leave a leg ringing
            task.add_done_callback(self._unwanted)
            raise
        answered = asyncio.create_task(owner.acknowledged.wait())
        either: list[asyncio.Future[Any]] = [answered, owner.ended]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if extension and not owner.ended.done():
                await self._through(owner, extension)
        except asyncio.CancelledError:
            self._end(owner, "no longer awaited")
            raise
        finally:
            answered.cancel()
        return Dialled(owner, _outcome(owner), self._line)

    async def _through(self, owner: LegOwner, extension: str) -> None:
        """A switchboard has answered: to the extension, and then it counts as answered."""
        with suppress(LegEndedError):
            await self.dials_extension(extension, owner)
        self._switchboard.discard(owner.leg_id)
        if owner.leg_id in self._owners:
            self.answered(owner)

    def _unwanted(self, task: asyncio.Task[LegOwner]) -> None:
        if not task.cancelled() and task.exception() is None:
            self._end(task.result(), "no longer awaited")

    def _placed(self, task: asyncio.Task[LegOwner]) -> None:
        self._placing.pop(task, None)
        if not task.cancelled():
            task.exception()  # its waiter is told, if there still is one

    async def _place(self, order: DialOrder, room: Room, dialler: Dialler) -> LegOwner:
        audio = room.add_leg(order.leg_id)
        floor = self.floor
        await room.route(rows_of(replace(floor, legs=(*floor.legs, order.leg_id))))
        try:
            placed = await dialler.dial(order, audio)
        except BaseException:
            room.remove(order.leg_id)
            await self._route()
            raise
        now = asyncio.get_running_loop().time
        if placed.elsewhere:
            owner = LegOwner(placed.leg, order.role, LegJournal(order.leg_id, now), self._tell)
        else:
            journal = LegJournal(order.leg_id, now, order.call_id, self._send)
            owner = LegOwner(placed.leg, order.role, journal, self._tell, self._watch(placed.leg))
            dialler.hold(owner)
        self._owners[order.leg_id] = owner
        if (told := self._told.get(order.leg_id)) is not None:
            told(order.leg_id, "placed")
        owner.follow()
        if self._over:
            self._end(owner, "its call is over")
        return owner

    # --- what happens to them ------------------------------------------------------------------------------------

    def rings(self, owner: LegOwner) -> None:
        if (told := self._told.get(owner.leg_id)) is not None:
            told(owner.leg_id, "rings")

    def answered(self, owner: LegOwner) -> None:
        """Who answers first is joined with the customer; a supervisor, with what there is."""
        if owner.leg_id in self._switchboard:
            owner.watch_media()
            return
        if owner.role is LegRole.SUPERVISOR:
            owner.watch_media()
            self._reroute()
            return
        if owner.leg_id in self._apart:
            owner.watch_media()
            return
        if self._joined is not None:
            self._end(owner, "another leg has answered")
            return
        self._joined = owner.leg_id
        owner.watch_media()
        self._reroute()

    def failed(self, owner: LegOwner, reason: str) -> None:
        self._end(owner, reason)

    def join(self, leg_id: str) -> None:
        """Of a leg that is apart: the customer hears it, and it the customer, unless they wait."""
        self._apart.pop(leg_id, None)
        self._joined = leg_id
        self._reroute()

    def voice(self, leg_id: str) -> Participant:
        """The agent's place beside this leg: heard by it alone, and with the customer once they are joined. It hears
        the leg alone. Raises TelephonyError."""
        if self._room is None or leg_id not in self._owners:
            raise TelephonyMisuse(f"leg {leg_id} is not in a room")
        if leg_id not in self._voices:
            name, room = f"{AGENT} to {leg_id}", self._room
            beside = room.add_beside(leg_id, name) if isinstance(room, SpeaksBeside) else room.add_agent(name)
            self._voices[leg_id] = beside
            self._reroute()
        return self._voices[leg_id]

    def hand_on(self, leg_id: str) -> asyncio.Future[LegOwner | None]:
        """Somebody else is to take this leg's place: the result says who; None: nobody."""
        return self._line.hand_on(leg_id)

    def keep(self, leg_id: str) -> None:
        """Nobody takes this leg's place, and it is still there."""
        if leg_id in self._owners:
            self._line.keep(leg_id)

    async def leaves(self, leg_id: str, within_s: float, reason: str) -> None:
        """It is to hang up by itself; after `within_s` it is hung up."""
        if (owner := self._owners.get(leg_id)) is not None:
            await asyncio.wait({owner.ended}, timeout=within_s)
            await owner.end(reason)

    def is_joined(self, leg_id: str) -> bool:
        return leg_id == self._joined

    def back_to_agent(self) -> None:
        self._joined = None
        self._notes = False
        self._reroute()

    def gone(self, owner: LegOwner) -> None:
        """It has ended: its place in the room is free."""
        for table in (self._owners, self._modes, self._told, self._apart):
            table.pop(owner.leg_id, None)
        self._switchboard.discard(owner.leg_id)
        if (voice := self._voices.pop(owner.leg_id, None)) is not None:
            voice.leave()
        owner.close()
        if (keys := self._keys.pop(owner.leg_id, None)) is not None:
            for task in keys.close():
                task.cancel()
        if self._room is not None:
            self._room.remove(owner.leg_id)
        self._reroute()

    # --- keys ----------------------------------------------------------------------------------------------------

    def presses(self, owner: LegOwner, digit: str) -> None:
        """A leg that has answered and is apart."""
        if owner.acknowledged.is_set() and (pressed := self._apart.get(owner.leg_id)) is not None:
            pressed(digit)

    def takes_key(self, digit: str) -> bool:
        """Of the customer. True: it is for whoever they talk with, or for nobody while they wait."""
        if self._waits:
            if self.waiting_keys is not None:
                self.waiting_keys(digit)
            return True
        talks = self._joined or self.taken_over_by
        owner = None if talks is None else self._owners.get(talks)
        if owner is None:
            return False
        keys = self._keys.get(owner.leg_id)
        if keys is None:
            keys = self._keys[owner.leg_id] = Keys(owner.leg.send_digits)
            keys.flow()
        keys.press(digit)
        return True

    # --- their end -----------------------------------------------------------------------------------------------

    def cancel_ringing(self) -> None:
        for owner in self._owners.values():
            if not owner.acknowledged.is_set():
                self._end(owner, "the call is over")

    async def dismiss(self, reason: str) -> None:
        """End all of them; the customer is back with the agent. Never raises."""
        await asyncio.gather(*(owner.end(reason) for owner in tuple(self._owners.values())))

    async def end(self, reason: str) -> None:
        """End all of the call's further legs, including those being placed. Never raises."""
        self._over = True
        if self._placing:
            await asyncio.wait(self._placing, timeout=PLACING_LIMIT_S)
        await asyncio.gather(*(owner.end(reason) for owner in tuple(self._owners.values())))
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _end(self, owner: LegOwner, reason: str) -> None:
        self._spawn(owner.end(reason))

    def _reroute(self) -> None:
        if not self._over:
            self._spawn(self._route())

    async def _route(self) -> None:
        if self._room is not None:
            await self._room.route(rows_of(self.floor))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _no_keys(extension: str, owner: LegOwner) -> None:
    """Until the call says who sends them."""


def _outcome(owner: LegOwner) -> CallOutcome:
    if owner.acknowledged.is_set():
        return CallOutcome(OutcomeKind.ANSWERED, 200, "OK")
    ended = owner.ended.result()
    kind = outcome_kind(ended.sip_status, cause=ended.cause)
    return CallOutcome(kind, ended.sip_status, ended.reason, cause=ended.cause)
