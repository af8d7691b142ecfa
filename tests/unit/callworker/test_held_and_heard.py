"""Hold, mute and listening in, on virtual time."""

from __future__ import annotations

import asyncio
import wave
from pathlib import Path

import numpy as np
import pytest
from call_world import CallWorld, call
from fake_dialler import FakeDialler
from test_transfers import ORDER, answered, begun, frame, heard

from agent.providers.fakes import FakeLLM, FakeSTT
from gateway.calls.ends import CallState
from gateway.calls.verbs import ListenMode, ListenOrder, VerbRefused, Voice
from telephony.call import LegRole
from telephony.errors import DialRefused, PjsipError
from telephony.media.frames import SILENCE

BOSS = ListenOrder("sip:boss@127.0.0.1")


def types(world: CallWorld, *which: str) -> list[str]:
    return [kind for kind in world.types() if kind in which]


def test_a_held_caller_hears_tones_and_the_agent_stands_still() -> None:
    async def script(world: CallWorld) -> None:
        with pytest.raises(VerbRefused, match="not been answered"):
            await world.owner.steered.hold()
        await asyncio.sleep(5)
        steered = world.owner.steered
        await steered.hold()
        await steered.hold()
        world.stop_media()  # as a phone does that is on hold
        assert ("hold",) in world.leg.verbs
        assert heard(world, 400)
        world.speak(2000)
        with pytest.raises(VerbRefused) as refused:
            await steered.say("Are you there?")
        assert refused.value.kind == "on_hold"
        await asyncio.sleep(1000)
        await steered.resume()
        await steered.resume()
        await asyncio.sleep(3)
        world.leg.end()

    world = call(script)
    assert world.done()[2:4] == ["hold", "resume"]
    assert types(world, "call_held", "call_resumed", "user_message", "silence_prompted") == [
        "call_held",
        "call_resumed",
    ]
    assert [event["text"] for event in world.events if event["type"] == "agent_message"][1] == "I'm here."
    assert world.outcome == ("answered", "caller", "hung up")


def test_a_phone_that_refuses_to_be_held_hears_the_tones_all_the_same() -> None:
    async def script(world: CallWorld) -> None:
        await asyncio.sleep(5)
        world.leg.failures["hold"] = PjsipError("hold", 1, "no")
        await world.owner.steered.hold()
        assert heard(world, 400)
        world.leg.end()

    assert call(script).outcome == ("answered", "caller", "hung up")


def test_a_goodbye_to_a_held_caller_is_heard() -> None:
    async def script(world: CallWorld) -> None:
        await asyncio.sleep(5)
        await world.owner.steered.hold()
        world.owner.steered.hang_up("ended over the API", goodbye=True)

    world = call(script)
    assert [event["kind"] for event in world.events if event["type"] == "agent_message"][-1] == "farewell"
    assert world.done()[-2:] == ["resume", "hang_up"]


def test_hold_between_customer_and_target() -> None:
    dialler = FakeDialler(elsewhere=True)

    async def script(world: CallWorld) -> None:
        await begun(world)
        await answered(dialler)
        await world.owner.steered.hold()
        await asyncio.sleep(0.1)
        dialler.audio[0].push(frame(200), world.loop.time())
        assert frame(200) not in heard(world, 400)
        assert dialler.audio[0].pull(world.loop.time()) == SILENCE
        await world.owner.steered.resume()
        await asyncio.sleep(0.1)
        dialler.audio[0].push(frame(200), world.loop.time())
        assert heard(world, 60) == {frame(200)}
        assert world.owner.state is CallState.JOINED
        world.leg.end()

    assert call(script, dialler=dialler).outcome == ("answered", "caller", "hung up")


def test_keys_go_to_whom_the_customer_talks_with_and_back() -> None:
    dialler = FakeDialler(elsewhere=True)

    async def script(world: CallWorld) -> None:
        await begun(world)
        world.leg.press("1")
        human = await answered(dialler)
        world.leg.press("23")
        await asyncio.sleep(0.5)
        assert [verb for verb in human.verbs if verb[0] == "send_digits"] == [
            ("send_digits", "2"),
            ("send_digits", "3"),
        ]
        await world.owner.steered.hold()
        world.leg.press("4")
        await asyncio.sleep(0.1)
        world.leg.end()

    world = call(script, dialler=dialler)
    assert types(world, "digit_received") == []


def test_a_muted_agent_is_not_heard_and_a_muted_caller_is_not_silent() -> None:
    async def script(world: CallWorld) -> None:
        await asyncio.sleep(5)
        steered = world.owner.steered
        await steered.mute(Voice.AGENT)
        await steered.mute(Voice.AGENT)
        await steered.say("Nobody hears this.")
        await asyncio.sleep(0.5)
        assert heard(world) == set()
        await steered.unmute(Voice.AGENT)
        await steered.mute(Voice.CALLER)
        world.speak(1000)
        await asyncio.sleep(300)
        await steered.unmute(Voice.CALLER)
        world.speak(1000)
        await asyncio.sleep(3)
        world.leg.end()

    world = call(script, llm=FakeLLM("I see."), stt=FakeSTT("hello"))
    told = [(event["type"], event["who"]) for event in world.events if event["type"] in ("call_muted", "call_unmuted")]
    assert told == [
        ("call_muted", "agent"),
        ("call_unmuted", "agent"),
        ("call_muted", "caller"),
        ("call_unmuted", "caller"),
    ]
    assert types(world, "silence_prompted") == []
    assert len(types(world, "user_message")) == 1


def test_a_supervisor_hears_all_and_is_heard_as_the_mode_says() -> None:
    dialler = FakeDialler(elsewhere=True)

    async def script(world: CallWorld) -> None:
        await asyncio.sleep(5)
        steered = world.owner.steered
        leg_id = await steered.listen(BOSS)
        assert (leg_id, dialler.orders[0].role) == ("call-1-2", LegRole.SUPERVISOR)
        assert world.owner.state is CallState.WITH_AGENT
        await answered(dialler)
        audio = dialler.audio[0]

        def hears() -> tuple[set[bytes], set[bytes]]:
            customer, boss = set(), set()
            for _ in range(6):
                now = world.loop.time()
                audio.push(frame(300), now)
                customer.add(world.leg.tick(frame(100), now))
                boss.add(audio.pull(now))
            return customer - {SILENCE}, boss - {SILENCE}

        assert hears() == (set(), {frame(100)})
        assert await steered.listen(ListenOrder(BOSS.to, ListenMode.BARGE)) == leg_id
        assert hears() == ({frame(300)}, {frame(100)})
        assert len(dialler.legs) == 1
        dialler.legs[0].end(reason="bye")
        await asyncio.sleep(0.1)
        assert world.owner.state is CallState.WITH_AGENT
        assert await steered.listen(BOSS) == "call-1-3"
        await asyncio.sleep(0.1)
        world.leg.end()

    world = call(script, dialler=dialler)
    modes = [event["mode"] for event in world.events if event["type"] in ("supervisor_joined", "supervisor_mode")]
    assert modes == ["listen", "barge"]
    assert dialler.legs[1].ended is not None


def test_a_supervisor_stays_through_a_transfer() -> None:
    dialler = FakeDialler(elsewhere=True)

    async def script(world: CallWorld) -> None:
        await asyncio.sleep(5)
        await world.owner.steered.listen(BOSS)
        boss = await answered(dialler)
        await world.owner.steered.transfer(ORDER)
        await asyncio.sleep(0.5)
        human = dialler.legs[1]
        await human.answer(dialler.audio[1])
        await asyncio.sleep(0.1)
        assert world.owner.state is CallState.JOINED
        now = world.loop.time()
        for _ in range(3):
            dialler.audio[1].push(frame(200), now)
            world.leg.tick(frame(100), now)
        assert frame(300) in {dialler.audio[0].pull(now) for _ in range(3)}, "both, mixed"
        boss.end()
        await asyncio.sleep(0.1)
        assert world.owner.state is CallState.JOINED
        world.leg.end()

    assert call(script, dialler=dialler).outcome == ("answered", "caller", "hung up")


def test_a_supervisor_who_cannot_be_called_is_a_typed_refusal() -> None:
    dialler = FakeDialler(refusal=DialRefused("closed_destination", "not there"))

    async def script(world: CallWorld) -> None:
        await asyncio.sleep(5)
        with pytest.raises(VerbRefused) as refused:
            await world.owner.steered.listen(BOSS)
        assert refused.value.kind == "closed_destination"
        world.leg.end()

    assert call(script, dialler=dialler).outcome == ("answered", "caller", "hung up")


def test_a_call_that_is_held_before_its_agent_is_there_is_greeted_afterwards() -> None:
    async def script(world: CallWorld) -> None:
        while not world.leg.answered:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.02)
        await world.owner.steered.hold()
        await asyncio.sleep(10)
        assert types(world, "agent_started_speaking") == []
        await world.owner.steered.resume()
        await asyncio.sleep(5)
        world.leg.end()

    world = call(script, media=False)
    said = [event["text"] for event in world.events if event["type"] == "agent_message"]
    assert said == ["Hello and welcome to the house."]


def test_the_recording_is_silent_while_a_command_pauses_it(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"

    async def script(world: CallWorld) -> None:
        await asyncio.sleep(5)
        steered = world.owner.steered
        for second in range(8):
            if second == 2:
                steered.pause_recording(True)
                steered.pause_recording(True)
            if second == 4:
                steered.pause_recording(False)
            world.speak(900)
            await asyncio.sleep(1)
        world.leg.end()

    world = call(script, recording=str(path))
    assert len(types(world, "recording_paused")) == len(types(world, "recording_resumed")) == 1
    seconds = "".join("x" if level > 200 else "." for level in caller_levels(path))
    assert seconds.strip(".").startswith("xx..xxx"), seconds


def test_a_call_without_a_recording_cannot_pause_it() -> None:
    async def script(world: CallWorld) -> None:
        await asyncio.sleep(5)
        with pytest.raises(VerbRefused, match="not recorded"):
            world.owner.steered.pause_recording(True)
        world.leg.end()

    call(script)


def caller_levels(path: Path) -> list[float]:
    """Of each second of the caller's channel: its loudness in the middle, root mean square."""
    with wave.open(str(path)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)[:, 0].astype(float)
    return [float(np.sqrt(np.mean(samples[at + 1600 : at + 5600] ** 2))) for at in range(0, len(samples) - 8000, 8000)]
