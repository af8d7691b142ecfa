"""Supervisors who take a call over, by order or by key, and the caller who is told of them, on virtual time."""

from __future__ import annotations

import asyncio

import pytest
from call_world import CallWorld, call
from fake_dialler import FakeDialler
from test_transfers import answered, frame

from gateway.calls.verbs import ListenMode, ListenOrder, VerbRefused
from telephony.call import AfterTransfer
from telephony.media.frames import SILENCE

BOSS = ListenOrder("phone:anna")
TAKES_OVER = ListenOrder("phone:anna", ListenMode.TAKE_OVER)


def hears(world: CallWorld, dialler: FakeDialler) -> tuple[set[bytes], set[bytes]]:
    """What the customer and the supervisor hear, who both make a noise."""
    audio = dialler.audio[0]
    customer, boss = set(), set()
    for _ in range(6):
        now = world.loop.time()
        audio.push(frame(300), now)
        customer.add(world.leg.tick(frame(100), now))
        boss.add(audio.pull(now))
    return customer - {SILENCE}, boss - {SILENCE}


def said(world: CallWorld) -> list[str]:
    return [event["text"] for event in world.events if event["type"] == "agent_message"]


def modes(world: CallWorld) -> list[str]:
    return [event["mode"] for event in world.events if event["type"] in ("supervisor_joined", "supervisor_mode")]


def test_who_takes_over_talks_with_the_caller_and_the_agent_stands_still_until_they_leave() -> None:
    dialler = FakeDialler(elsewhere=True)

    async def script(world: CallWorld) -> None:
        await asyncio.sleep(5)
        steered = world.owner.steered
        await steered.listen(TAKES_OVER)
        await asyncio.sleep(2)  # it rings: the agent is there
        boss = await answered(dialler)
        assert hears(world, dialler) == ({frame(300)}, {frame(100)})
        world.speak(2000)
        with pytest.raises(VerbRefused) as refused:
            await steered.say("Are you there?")
        assert refused.value.kind == "transferring"
        await asyncio.sleep(600)  # no silence ladder
        before = len(said(world))
        boss.end(reason="bye")
        await asyncio.sleep(3)
        assert said(world)[before:] == ["I'm here."]
        await steered.say("Where were we?")
        world.leg.end()

    world = call(script, dialler=dialler)
    assert modes(world) == ["take_over"]
    assert not [event for event in world.events if event["type"] in ("silence_prompted", "user_message")]
    assert world.outcome == ("answered", "caller", "hung up")


def test_the_call_ends_with_who_took_it_over_if_that_was_ordered() -> None:
    dialler = FakeDialler(elsewhere=True)

    async def script(world: CallWorld) -> None:
        await asyncio.sleep(5)
        await world.owner.steered.listen(ListenOrder(BOSS.to, ListenMode.TAKE_OVER, afterwards=AfterTransfer.END))
        (await answered(dialler)).end(reason="bye")

    world = call(script, dialler=dialler)
    assert world.outcome is not None and world.outcome[2] == "the supervisor who had taken the call over hung up"


def test_a_supervisor_changes_the_mode_by_keys() -> None:
    dialler = FakeDialler(elsewhere=True)

    async def script(world: CallWorld) -> None:
        await asyncio.sleep(5)
        await world.owner.steered.listen(BOSS)
        boss = await answered(dialler)
        for key, heard in (("3", {frame(300)}), ("2", set()), ("4", {frame(300)}), ("7", {frame(300)}), ("1", set())):
            boss.press(key)
            await asyncio.sleep(0.1)
            assert hears(world, dialler)[0] - {SILENCE} >= heard
        await asyncio.sleep(2)  # the agent is there again
        world.leg.end()

    world = call(script, dialler=dialler)
    assert modes(world) == ["listen", "barge", "whisper", "take_over", "listen"]
    assert said(world)[-1] == "I'm here."
    assert not [event for event in world.events if event["type"] == "digit_received"]


@pytest.mark.parametrize(
    ("announce", "beeps", "words"), [("none", False, []), ("beep", True, []), ("words", False, ["supervisor"])]
)
def test_the_caller_is_told_that_somebody_listens_in_if_the_settings_say_so(
    announce: str, beeps: bool, words: list[str]
) -> None:
    dialler = FakeDialler(elsewhere=True)
    played: list[bytes] = []

    async def script(world: CallWorld) -> None:
        await asyncio.sleep(5)
        await world.owner.steered.listen(BOSS)
        await answered(dialler)
        played.extend(world.leg.tick(SILENCE, world.loop.time()) for _ in range(3))
        await asyncio.sleep(5)
        world.leg.end()

    world = call(script, dialler=dialler, calls=f"supervision: {{announce: {announce}}}, ")
    assert any(frame != SILENCE for frame in played) is (beeps or bool(words))
    assert ("A colleague is listening in from now on." in said(world)) is bool(words)
