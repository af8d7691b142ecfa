"""The sentences that callers hear without a LiveKit room: when a process makes them, and how often."""

from __future__ import annotations

import asyncio
from pathlib import Path

from agent import Agent
from agent.pipeline.canned import apology_tone
from agent.providers.fakes import FakeTTS
from gateway.livekit.canned import KEYS, CannedSpeech
from tests.unit.livekit.test_livekit_conversation import RoomWorld, call
from tests.unit.livekit.virtually import virtual


class Concierge(Agent):
    voice = "en"


@virtual
async def test_calls_that_begin_together_have_each_sentence_made_once() -> None:
    voice = FakeTTS(first_ms=50.0)
    canned = CannedSpeech(voice)
    await asyncio.gather(*(canned.make(Concierge) for _ in range(4)))
    assert len(voice.spoken) == len(set(voice.spoken)) == len(KEYS)


@virtual
async def test_a_call_that_ends_meanwhile_leaves_the_rest_to_the_others() -> None:
    canned = CannedSpeech(FakeTTS(first_ms=50.0))
    first, second = (asyncio.create_task(canned.make(Concierge)) for _ in range(2))
    await asyncio.sleep(0.06)
    first.cancel()
    await second
    assert all(canned.get(Concierge, key) != apology_tone() for key in KEYS)


def test_they_are_not_made_while_it_rings(tmp_path: Path) -> None:
    """They would take CPU from the calls that are being set up."""

    async def script(world: RoomWorld) -> None:
        world.server.join_s = 1.0
        while world.leg.audio is None:
            assert not world.voice.spoken
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.5)
        world.leg.end(reason="hung up")

    world = call(tmp_path, script)
    assert len(world.voice.spoken) == len(KEYS)
