"""A caller in a queue, on the side of the call and on virtual time: what they hear, how they leave, and what the
gateway is asked."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from call_world import CallWorld
from fake_dialler import FakeDialler
from test_transfers import frame, heard, said, transferred
from test_warm_transfers import answered, ended, hears, nothing_is_left

from gateway.calls.ends import CallState
from gateway.calls.queue_terms import QueueTerms
from gateway.calls.verbs import TransferOrder
from gateway.record import TransferKind
from telephony.call import TransferEnd, Warm
from telephony.errors import DialRefused
from telephony.queue import QueueAsk

RING = {"members": [{"name": "anna", "target": "sip:anna@h"}, {"name": "ben", "target": "sip:ben@h"}], "ring_s": 20.0}
ONE = {"members": RING["members"][:1], "ring_s": 20.0}  # type: ignore[index]


def queued(**terms: Any) -> FakeDialler:
    dialler = FakeDialler()
    made = QueueTerms("desk", detect=False, **terms)
    dialler.queue_answers["join"] = {"terms": made.to_dict(), "position": 2, "wait_s": None}
    return dialler


async def begun(world: CallWorld, **ask: Any) -> None:
    await asyncio.sleep(5)
    order = TransferOrder(
        "call-1-t1", "queue:desk", TransferKind.WARM, warm=Warm(detect=False), queue=QueueAsk(**ask)
    )  # fmt: skip
    await world.owner.steered.transfer(order)
    await asyncio.sleep(0.1)


def news(world: CallWorld, do: str, **more: Any) -> None:
    world.owner.steered.queue_news({"do": do, **more})


def asked(dialler: FakeDialler, verb: str) -> list[dict[str, Any]]:
    return [how for what, how in dialler.queues_asked if what == verb]


def waiting_words(world: CallWorld) -> list[str]:
    return [event["text"] for event in world.events if event["type"] == "told_waiting_caller"]


def test_a_member_who_answers_has_the_caller_and_the_gateway_is_told() -> None:
    dialler = queued()

    async def script(world: CallWorld) -> None:
        await begun(world)
        assert heard(world, 400), "music"
        news(world, "offer", ring=RING)
        await asyncio.sleep(0.1)
        await answered(dialler, 1)
        assert world.owner.state is CallState.JOINED
        assert frame(100) in hears(world, dialler, 1)
        assert dialler.legs[0].ended is not None, "the other phone stops ringing"
        dialler.legs[1].end(reason="bye")

    world = transferred(script, dialler)
    (over,) = asked(dialler, "offer_over")
    assert (over["accepted"], over["leg_id"], over["ends"]) == ("ben", "call-1-3", {"anna": "withdrawn"})
    assert ended(world).outcome is TransferEnd.TRANSFERRED
    nothing_is_left(world, dialler)


def test_a_member_who_declines_leaves_the_caller_waiting_until_the_queue_lets_them_go() -> None:
    dialler = queued()

    async def script(world: CallWorld) -> None:
        await begun(world)
        news(world, "offer", ring=ONE)
        await asyncio.sleep(0.1)
        dialler.legs[0].end(sip_status=603, reason="Decline")
        await asyncio.sleep(0.5)
        assert asked(dialler, "offer_over")[0]["ends"] == {"anna": "declined"}
        assert heard(world, 400), "music"
        news(world, "announce", position=3, wait_s=130.0)
        await asyncio.sleep(6)
        news(world, "let_go", reason="too_long", to=None)
        await asyncio.sleep(6)
        world.leg.end()

    world = transferred(script, dialler)
    assert waiting_words(world) == ["You are number 3 in line. The wait is about 3 minutes."]
    assert said(world)[-1] == "I'm sorry that you have waited so long. Nobody is free yet."
    assert ended(world).outcome is TransferEnd.NO_ANSWER
    nothing_is_left(world, dialler)


def test_a_caller_who_hangs_up_withdraws_everything() -> None:
    dialler = queued()

    async def script(world: CallWorld) -> None:
        await begun(world)
        news(world, "offer", ring=RING)
        await asyncio.sleep(0.5)
        world.leg.end()

    world = transferred(script, dialler)
    assert [how["how"] for how in asked(dialler, "leave")] == ["abandoned"]
    assert ended(world).outcome is TransferEnd.CANCELLED
    nothing_is_left(world, dialler)


def test_a_key_brings_the_caller_back_to_the_agent() -> None:
    dialler = queued(leave_by_key={"0": "agent"})

    async def script(world: CallWorld) -> None:
        await begun(world)
        news(world, "offer", ring=ONE)
        await asyncio.sleep(0.5)
        world.leg.press("5")
        await asyncio.sleep(0.5)
        assert not asked(dialler, "leave")
        world.leg.press("0")
        await asyncio.sleep(6)
        world.leg.end()

    world = transferred(script, dialler)
    assert [how["how"] for how in asked(dialler, "leave")] == ["left"]
    assert said(world)[-1] == "All right, I'm with you again."
    nothing_is_left(world, dialler)


def test_a_callback_is_agreed_on_by_key_and_ends_the_call() -> None:
    dialler = queued(leave_by_key={"1": "callback"})

    async def script(world: CallWorld) -> None:
        await begun(world)
        world.leg.press("1")
        await asyncio.sleep(0.5)
        world.leg.press("2")
        await asyncio.sleep(0.5)
        for digit in "5557001234#":
            world.leg.press(digit)
            await asyncio.sleep(0.2)
        await asyncio.sleep(2)
        world.leg.press("1")
        await asyncio.sleep(30)

    world = transferred(script, dialler)
    assert [how["number"] for how in asked(dialler, "callback")] == ["5557001234"]
    assert waiting_words(world)[-1] == (
        "We will call you back at 5 5 5 7 0 0 1 2 3 4. You keep your place in line. Goodbye!"
    )
    assert world.outcome[2] == "the caller will be called back"
    nothing_is_left(world, dialler)


def test_an_agent_that_helps_talks_on_until_the_two_are_joined() -> None:
    dialler = queued(agent_helps=True)

    async def script(world: CallWorld) -> None:
        await begun(world)
        await world.owner.say("Meanwhile, let me look.")
        news(world, "offer", ring=ONE)
        await asyncio.sleep(3)
        assert world.owner.state is CallState.DIALLING
        await answered(dialler)
        assert world.owner.state is CallState.JOINED
        await asyncio.sleep(5)
        assert frame(100) in hears(world, dialler), "once the agent has said that they are connected"
        dialler.legs[0].end(reason="bye")

    world = transferred(script, dialler)
    assert "Meanwhile, let me look." in said(world)
    assert [event["text"] for event in world.events if event["type"] == "told_human"] == [
        "I've found somebody for you. You are connected now."
    ]
    nothing_is_left(world, dialler)


@pytest.mark.parametrize("kind", ["unknown_queue", "no_store"])
def test_a_queue_that_cannot_be_joined_leaves_the_caller_to_the_agent(kind: str) -> None:
    dialler = queued()
    dialler.queue_refusal = DialRefused(kind, "not there")

    async def script(world: CallWorld) -> None:
        await begun(world)
        await asyncio.sleep(6)
        world.leg.end()

    world = transferred(script, dialler)
    assert ended(world).outcome is TransferEnd.FAILED
    nothing_is_left(world, dialler)


def test_an_overflow_to_a_number_brings_the_caller_there() -> None:
    dialler = queued()

    async def script(world: CallWorld) -> None:
        await begun(world)
        news(world, "let_go", reason="full", to={"number": "+15551"})
        await asyncio.sleep(8)
        await answered(dialler)
        assert world.owner.state is CallState.JOINED
        dialler.legs[0].end(reason="bye")

    world = transferred(script, dialler)
    assert waiting_words(world) == ["One moment, please. I'll connect you to somebody else."]
    assert dialler.orders[0].to == "+15551"
    assert ended(world).outcome is TransferEnd.TRANSFERRED
    nothing_is_left(world, dialler)
