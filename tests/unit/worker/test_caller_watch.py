"""How a job finds out whether the caller is still there. A LiveKit server in memory, virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from agent.testing.virtual_clock import run_virtual
from gateway.livekit.caller_watch import ANSWER_LIMIT_S, NOT_BACK, RETURN_S, RINGING_LIMIT_S, SIP_LOST, CallerWatch
from telephony.call import EndedBy
from telephony.livekit.connection import Disconnected
from telephony.livekit.errors import LiveKitUnreachable
from telephony.livekit.events import LiveKitEvent, ParticipantKind, ParticipantLeft, Reconnecting, RoomLost
from telephony.livekit.fakes import FakeLiveKit
from telephony.livekit.liveness import NO_SERVER, Silence
from telephony.livekit.room import LiveKitRoom
from telephony.livekit.verbs import CALL_ATTRIBUTE, HELD, HELD_ATTRIBUTE

ACTIVE = {"sip.callStatus": "active"}
RINGING = {"sip.callStatus": "ringing"}
INBOUND = {"sip.ruleID": "SDR_1"}


class World:
    """A phone and a job in a room. `told`: what the watch says, with its time."""

    def __init__(self) -> None:
        self.server = FakeLiveKit()
        self.told: list[tuple[float, str, EndedBy]] = []
        self.answered = 0
        self.holds: list[bool] = []
        self.whose = Silence.THEIRS
        self.lost: list[tuple[float, str]] = []
        self.room: LiveKitRoom
        self.phone: LiveKitRoom

    async def begin(self, attributes: dict[str, str]) -> CallerWatch:
        self.phone = self.server.room("sip_1", ParticipantKind.SIP, attributes)
        self.room = self.server.room("agent-1", ParticipantKind.AGENT)
        await self.phone.join()
        await self.room.join()
        self.room.subscribe(self._note_loss)
        (caller,) = self.room.participants
        return CallerWatch(self.room, caller, self._note_answer, self._note_end, self._whose, self.holds.append)

    def _note_answer(self) -> None:
        self.answered += 1

    def _note_end(self, reason: str, by: EndedBy) -> None:
        self.told.append((asyncio.get_running_loop().time(), reason, by))

    def _note_loss(self, event: LiveKitEvent) -> None:
        if isinstance(event, RoomLost):
            self.lost.append((asyncio.get_running_loop().time(), event.reason))

    async def _whose(self, room: str, identity: str) -> Silence:
        assert (room, identity) == ("room", "sip_1")
        if self.server.hangs:
            await asyncio.sleep(1.25)
            return Silence.OURS if self.server.hangs else Silence.NONE
        return self.whose

    def kill_the_phones_program(self) -> float:
        self.server.connection("sip_1").dead = True
        return asyncio.get_running_loop().time()


def scenario(test: Callable[[World], Awaitable[None]]) -> Callable[[], None]:
    def run() -> None:
        async def whole() -> None:
            await test(World())

        run_virtual(whole())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


@scenario
async def test_an_answer_is_told_and_a_hang_up_is_the_callers(world: World) -> None:
    watch = await world.begin({"sip.callStatus": "ringing"})
    assert world.answered == 0
    await world.phone.set_attributes(ACTIVE)
    assert world.answered == 1
    await world.phone.close()
    assert [each[1:] for each in world.told] == [("hung up", EndedBy.CALLER)]
    watch.close()


@scenario
async def test_a_livekit_sip_that_dies_is_missed_within_seven_seconds(world: World) -> None:
    watch = await world.begin(ACTIVE)
    await asyncio.sleep(60)
    assert world.told == []
    died_at = world.kill_the_phones_program()
    await asyncio.sleep(30)
    ((at, reason, by),) = world.told
    assert (reason, by) == (SIP_LOST, EndedBy.SYSTEM)
    assert 3.0 < at - died_at < 6.0
    watch.close()


@scenario
async def test_a_phone_that_the_server_still_hears_is_not_given_up(world: World) -> None:
    watch = await world.begin(ACTIVE)
    await asyncio.sleep(10)
    world.whose = Silence.NONE
    world.kill_the_phones_program()
    await asyncio.sleep(60)
    assert world.told == []
    watch.close()


@scenario
async def test_a_server_that_does_not_answer_either_loses_the_room(world: World) -> None:
    watch = await world.begin(ACTIVE)
    await asyncio.sleep(11)
    world.server.hangs = True
    hung_at = asyncio.get_running_loop().time()
    await asyncio.sleep(30)
    ((at, reason),) = world.lost
    assert reason == NO_SERVER and at - hung_at < 7.0
    assert world.told == [], "who has gone is the server, not the caller"
    watch.close()


@scenario
async def test_a_call_that_is_heard_and_rings_on_was_answered_before(world: World) -> None:
    """LiveKit SIP has rejoined the room on a restarted server."""
    watch = await world.begin({**RINGING, **INBOUND})
    await asyncio.sleep(ANSWER_LIMIT_S - 0.1)
    assert world.answered == 0
    await asyncio.sleep(0.2)
    assert (world.answered, watch.rejoined) == (1, True)
    watch.close()


@scenario
async def test_a_call_that_is_answered_in_time_has_not_come_back(world: World) -> None:
    watch = await world.begin({**RINGING, **INBOUND})
    await asyncio.sleep(1)
    await world.phone.set_attributes(ACTIVE)
    await asyncio.sleep(60)
    assert (world.answered, watch.rejoined) == (1, False)
    watch.close()


@scenario
async def test_a_phone_that_is_called_may_ring_for_long_but_not_for_ever(world: World) -> None:
    """Then it had been answered before LiveKit server went away."""
    watch = await world.begin(RINGING)
    await asyncio.sleep(RINGING_LIMIT_S - 0.1)
    assert (world.answered, watch.rejoined) == (0, False)
    await asyncio.sleep(0.2)
    assert (world.answered, watch.rejoined) == (1, True)
    watch.close()


@scenario
async def test_a_phone_that_our_own_gateway_bridges_is_not_asked(world: World) -> None:
    """Its call worker rejoins, and who ends it is the gateway."""
    watch = await world.begin({**ACTIVE, CALL_ATTRIBUTE: "c1"})
    world.kill_the_phones_program()
    await asyncio.sleep(60)
    assert world.told == []
    watch.close()


@scenario
async def test_a_phone_that_the_server_misses_was_not_hung_up_by_the_caller(world: World) -> None:
    watch = await world.begin(ACTIVE)
    world.server.connection("sip_1").leave("connection_timeout")
    assert [each[1:] for each in world.told] == [("connection_timeout", EndedBy.SYSTEM)]
    watch.close()


@scenario
async def test_everybody_leaves_while_our_connection_is_made_anew_and_nobody_has_hung_up(world: World) -> None:
    watch = await world.begin(ACTIVE)
    me = world.server.connection("agent-1")
    me.tell(Reconnecting(me.now()))
    me.tell(ParticipantLeft(me.now(), world.server.connection("sip_1").seen, ""))  # the SDK says so of all
    me.tell(Disconnected(me.now(), "signal_close"))
    await asyncio.sleep(60)
    assert world.room.live and world.told == []
    watch.close()


@scenario
async def test_who_is_not_there_after_our_connection_broke_is_gone(world: World) -> None:
    watch = await world.begin(ACTIVE)
    me = world.server.connection("agent-1")
    world.server.error = LiveKitUnreachable("away")
    me.tell(Disconnected(me.now(), "signal_close"))
    await asyncio.sleep(1)
    world.server.connections.remove(world.server.connection("sip_1"))
    world.server.error = None
    await asyncio.sleep(RETURN_S + 2)
    assert [each[1:] for each in world.told] == [(NOT_BACK, EndedBy.SYSTEM)]
    watch.close()


@scenario
async def test_a_bridged_phone_says_that_it_holds(world: World) -> None:
    watch = await world.begin({**ACTIVE, CALL_ATTRIBUTE: "c1", HELD_ATTRIBUTE: HELD})
    assert world.holds == [True]
    for held in (False, True):
        await world.phone.set_attributes({HELD_ATTRIBUTE: HELD if held else ""})
        await asyncio.sleep(0.1)
        assert world.holds[-1] is held
    await world.phone.set_attributes({"sip.callStatus": "active"})  # what else changes tells nothing new
    await asyncio.sleep(0.1)
    assert world.holds[-1] is True
    watch.close()
