"""What a caller hears while the connection to LiveKit is broken. A LiveKit server in memory, virtual time."""

from __future__ import annotations

import asyncio
from pathlib import Path

from agent.persona import CANNED
from gateway.livekit.conversation import BREAK_GRACE_S
from telephony.livekit.events import Reconnected, Reconnecting
from telephony.livekit.fakes import FakeConnection
from tests.unit.callworker.call_world import INFO
from tests.unit.livekit.test_livekit_conversation import SPEECH, RoomWorld, answered, call

WORDS_MS = 200  # FakeTTS: each
ONE_MOMENT = len(CANNED["one_moment"].split()) * WORDS_MS
GOODBYE = len(CANNED["goodbye_lost"].split()) * WORDS_MS
RING = 2000  # and 4 s of silence


class Call:
    def __init__(self, world: RoomWorld) -> None:
        self.world = world
        self._from = 0

    async def begin(self) -> None:
        await answered(self.world)
        await self.world.agent()
        await asyncio.sleep(1)
        self.listen()

    def listen(self) -> None:
        """From now on."""
        self._from = len(self.world.leg.heard)

    @property
    def heard(self) -> list[int]:
        """The lengths of the sounds sent to the phone, in milliseconds, separated by half a second of silence."""
        sounds: list[int] = []
        silent_ms = 1000
        for at in range(self._from, len(self.world.leg.heard), 320):
            if not self.world.leg.heard[at : at + 320].strip(b"\0"):
                silent_ms += 20
                continue
            if silent_ms >= 500:
                sounds.append(0)
            sounds[-1] += 20
            silent_ms = 0
        return sounds

    @property
    def _me(self) -> FakeConnection:
        return self.world.server.connection(f"sip_{INFO.caller}")

    def breaks(self) -> None:
        self._me.tell(Reconnecting(asyncio.get_running_loop().time()))

    def is_resumed(self) -> None:
        self._me.tell(Reconnected(asyncio.get_running_loop().time()))


def test_a_connection_that_is_resumed_at_once_is_not_heard_of(tmp_path: Path) -> None:
    async def script(world: RoomWorld) -> None:
        line = Call(world)
        await line.begin()
        line.breaks()
        await asyncio.sleep(BREAK_GRACE_S - 0.1)
        line.is_resumed()
        await asyncio.sleep(5)
        assert line.heard == []
        world.leg.end(reason="bye")

    call(tmp_path, script)


def test_a_longer_break_begins_with_a_word_and_goes_on_ringing(tmp_path: Path) -> None:
    async def script(world: RoomWorld) -> None:
        line = Call(world)
        await line.begin()
        line.breaks()
        await asyncio.sleep(BREAK_GRACE_S + 4)
        assert line.heard == [ONE_MOMENT, RING]
        line.is_resumed()
        await asyncio.sleep(0.1)
        line.listen()
        await asyncio.sleep(10)
        assert line.heard == [], "the agent is there, and silent"
        world.output.push(SPEECH * 10)
        await asyncio.sleep(1)
        assert line.heard == [200]
        world.leg.end(reason="bye")

    call(tmp_path, script)


def test_who_has_been_asked_to_wait_is_not_asked_again_until_somebody_was_there(tmp_path: Path) -> None:
    async def script(world: RoomWorld) -> None:
        line = Call(world)
        await line.begin()
        line.breaks()
        await asyncio.sleep(BREAK_GRACE_S + 1)
        world.server.connection("agent-1").leave("connection_timeout")
        line.is_resumed()
        await asyncio.sleep(3)
        assert line.heard == [ONE_MOMENT, RING], "the agent had gone meanwhile"
        await world.agent("agent-2")
        await asyncio.sleep(1)
        line.listen()
        line.breaks()
        await asyncio.sleep(BREAK_GRACE_S + 1)
        assert line.heard == [ONE_MOMENT]
        world.leg.end(reason="bye")

    call(tmp_path, script)


def test_a_connection_that_stays_away_ends_with_the_whole_goodbye(tmp_path: Path) -> None:
    lines: list[Call] = []

    async def script(world: RoomWorld) -> None:
        lines.append(Call(world))
        await lines[0].begin()
        lines[0].breaks()

    world = call(tmp_path, script, {"resume_s": BREAK_GRACE_S + 1.2})
    assert world.outcome[2].startswith("livekit_lost: ")
    assert lines[0].heard == [ONE_MOMENT, GOODBYE]


def test_a_goodbye_does_not_wait_for_the_end_of_the_ringing(tmp_path: Path) -> None:
    lines: list[Call] = []

    async def script(world: RoomWorld) -> None:
        lines.append(Call(world))
        await lines[0].begin()
        lines[0].breaks()

    world = call(tmp_path, script, {"resume_s": BREAK_GRACE_S + 2})
    moment, ringing_and_goodbye = lines[0].heard
    assert moment == ONE_MOMENT
    assert GOODBYE < ringing_and_goodbye < GOODBYE + RING
    assert world.ended_after < 1 + BREAK_GRACE_S + 2 + GOODBYE / 1000 + 1


def test_a_phone_that_nobody_has_talked_to_yet_goes_on_ringing(tmp_path: Path) -> None:
    async def script(world: RoomWorld) -> None:
        await answered(world)
        line = Call(world)
        await asyncio.sleep(8)
        line.breaks()
        await asyncio.sleep(4)
        line.is_resumed()
        await asyncio.sleep(1)
        assert len(line.heard) >= 2 and ONE_MOMENT not in line.heard
        world.leg.end(reason="bye")

    call(tmp_path, script)
