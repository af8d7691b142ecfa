"""A human who hands the customer on from a phone (REFER), on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from call_world import CallWorld, call
from fake_dialler import FakeDialler

from gateway.calls.ends import CallState
from gateway.calls.verbs import OnwardOrder, TransferOrder, VerbRefused
from gateway.record import TransferBegan, TransferEnded, TransferKind
from telephony.call import AfterTransfer, UseRefer, Warm
from telephony.errors import DialRefused
from telephony.fakes import FakeLeg
from telephony.media.frames import FRAME_BYTES, SILENCE

Script = Callable[[CallWorld], Awaitable[None]]
FIRST = TransferOrder("call-1-t1", "+15557001", refer=UseRefer.NEVER, afterwards=AfterTransfer.AGENT)
NEXT = TransferOrder("call-1-t2", "+15557002", refer=UseRefer.NEVER)
ASKED = OnwardOrder("call-1-2", "call-1-2-r1", NEXT, {"Referred-By": "<sip:desk@10.1.2.3>"})


def frame(value: int) -> bytes:
    return value.to_bytes(2, "little", signed=True) * (FRAME_BYTES // 2)


async def with_human(world: CallWorld, dialler: FakeDialler) -> FakeLeg:
    """The customer has been transferred, and talks with the target."""
    await asyncio.sleep(5)
    await world.owner.steered.transfer(FIRST)
    return await answers(dialler, 0)


async def answers(dialler: FakeDialler, number: int) -> FakeLeg:
    while len(dialler.legs) <= number:
        await asyncio.sleep(0.02)
    leg = dialler.legs[number]
    leg.ringing()
    await asyncio.sleep(0.5)
    await leg.answer(dialler.audio[number])
    await asyncio.sleep(0.1)
    return leg


def heard_by(world: CallWorld, dialler: FakeDialler, number: int) -> bool:
    """Whether customer and this human hear each other."""
    now = world.loop.time()
    theirs, ours = set(), set()
    for _ in range(5):
        dialler.audio[number].push(frame(200), now)
        theirs.add(world.leg.tick(frame(100), now))
        ours.add(dialler.audio[number].pull(now))
    return frame(200) in theirs and frame(100) in ours


def outcomes(world: CallWorld) -> dict[str, str]:
    return {each.transfer_id: each.outcome.value for each in world.sent if isinstance(each, TransferEnded)}


def run(script: Script, dialler: FakeDialler) -> CallWorld:
    return call(script, "Greeter", dialler=dialler)


def test_the_next_human_takes_the_place_and_the_first_leaves() -> None:
    dialler = FakeDialler()

    async def script(world: CallWorld) -> None:
        first = await with_human(world, dialler)
        world.owner.steered.hand_on(ASKED)
        await asyncio.sleep(0.1)
        assert not heard_by(world, dialler, 0)
        assert world.leg.tick(frame(100), world.loop.time()) != SILENCE, "the customer hears music"
        second = await answers(dialler, 1)
        assert heard_by(world, dialler, 1)
        assert world.owner.state is CallState.JOINED
        await asyncio.sleep(3)
        assert first.ended is not None, "it is hung up when it does not leave by itself"
        assert world.owner.state is CallState.JOINED
        assert heard_by(world, dialler, 1)
        second.end(reason="bye")
        await asyncio.sleep(1)
        assert world.owner.state is CallState.WITH_AGENT, "as was ordered for the first"
        world.leg.end(reason="bye")

    world = run(script, dialler)
    assert outcomes(world) == {"call-1-t1": "transferred", "call-1-t2": "transferred"}
    assert dialler.reported == [("call-1-2-r1", 180, ""), ("call-1-2-r1", 200, "")]
    assert dialler.orders[1].headers == {"Referred-By": "<sip:desk@10.1.2.3>"}
    began = [each for each in world.sent if isinstance(each, TransferBegan) and each.transfer_id == "call-1-t2"]
    assert [each.leg_id for each in began] == [None, "call-1-3"]
    assert any(each["type"] == "transfer_by_phone" and each["leg_id"] == "call-1-2" for each in world.events)


def test_a_phone_that_hangs_up_at_once_does_not_end_the_call() -> None:
    dialler = FakeDialler()

    async def script(world: CallWorld) -> None:
        first = await with_human(world, dialler)
        world.owner.steered.hand_on(ASKED)
        await asyncio.sleep(0.1)
        first.end(reason="bye")
        await asyncio.sleep(1)
        assert world.leg.tick(frame(100), world.loop.time()) != SILENCE, "the customer hears music"
        await answers(dialler, 1)
        assert heard_by(world, dialler, 1)
        world.leg.end(reason="bye")

    world = run(script, dialler)
    assert outcomes(world)["call-1-t2"] == "transferred"


@pytest.mark.parametrize(("status", "outcome"), [(486, "busy"), (603, "declined"), (480, "no_answer"), (503, "failed")])
def test_a_target_that_is_not_reached_leaves_the_customer_to_the_first(status: int, outcome: str) -> None:
    dialler = FakeDialler()

    async def script(world: CallWorld) -> None:
        first = await with_human(world, dialler)
        world.owner.steered.hand_on(ASKED)
        await asyncio.sleep(0.1)
        dialler.legs[1].end(sip_status=status, reason="no")
        await asyncio.sleep(0.2)
        assert heard_by(world, dialler, 0)
        assert world.owner.state is CallState.JOINED
        first.end(reason="bye")
        await asyncio.sleep(1)
        assert world.owner.state is CallState.WITH_AGENT
        world.leg.end(reason="bye")

    world = run(script, dialler)
    assert outcomes(world)["call-1-t2"] == outcome
    assert dialler.reported[-1][:2] == ("call-1-2-r1", status)


def test_a_customer_whose_human_left_for_nobody_is_back_with_the_agent() -> None:
    dialler = FakeDialler()

    async def script(world: CallWorld) -> None:
        first = await with_human(world, dialler)
        world.owner.steered.hand_on(ASKED)
        await asyncio.sleep(0.1)
        first.end(reason="bye")
        await asyncio.sleep(0.5)
        dialler.legs[1].end(sip_status=486, reason="busy")
        await asyncio.sleep(4)
        assert world.owner.state is CallState.WITH_AGENT
        world.leg.end(reason="bye")

    world = run(script, dialler)
    said = [event["text"] for event in world.events if event["type"] == "agent_message"]
    assert len(said) == 2, "the agent has words for the customer"


def test_a_customer_who_hangs_up_stops_the_ringing() -> None:
    dialler = FakeDialler()

    async def script(world: CallWorld) -> None:
        await with_human(world, dialler)
        world.owner.steered.hand_on(ASKED)
        await asyncio.sleep(0.1)
        dialler.legs[1].ringing()
        await asyncio.sleep(0.1)
        world.leg.end(reason="bye")
        await asyncio.sleep(0.1)
        assert dialler.legs[1].ended is not None

    world = run(script, dialler)
    assert outcomes(world)["call-1-t2"] == "cancelled"
    assert dialler.reported[-1] == ("call-1-2-r1", 487, "")


def test_refusals_are_typed() -> None:
    dialler = FakeDialler()

    async def script(world: CallWorld) -> None:
        await asyncio.sleep(5)
        with pytest.raises(VerbRefused) as nobody:
            world.owner.steered.hand_on(ASKED)
        assert nobody.value.kind == "not_talking"
        await world.owner.steered.transfer(FIRST)
        await answers(dialler, 0)
        world.owner.steered.hand_on(ASKED)
        with pytest.raises(VerbRefused) as twice:
            world.owner.steered.hand_on(ASKED)
        assert twice.value.kind == "transferring"
        await asyncio.sleep(0.1)
        world.leg.end(reason="bye")

    run(script, dialler)


def test_what_cannot_be_dialled_is_told_and_costs_nobody_the_call() -> None:
    dialler = FakeDialler()

    async def script(world: CallWorld) -> None:
        await with_human(world, dialler)
        dialler.refusal = DialRefused("no_slot", "all slots are taken")
        world.owner.steered.hand_on(ASKED)
        await asyncio.sleep(0.2)
        assert heard_by(world, dialler, 0)
        world.leg.end(reason="bye")

    world = run(script, dialler)
    assert outcomes(world)["call-1-t2"] == "failed"
    assert dialler.reported == [("call-1-2-r1", 503, "no_slot: all slots are taken")]


# --- the customer's phone ---------------------------------------------------------------------------------------------

BY_CALLER = OnwardOrder("call-1-1", "call-1-1-r1", NEXT, {"Referred-By": "<sip:caller@10.1.2.4>"})


def test_a_caller_hands_the_agent_on_to_somebody_else() -> None:
    dialler = FakeDialler()

    async def script(world: CallWorld) -> None:
        await asyncio.sleep(5)
        world.owner.steered.hand_on(BY_CALLER)
        second = await answers(dialler, 0)
        await asyncio.sleep(0.2)
        assert second.ended is not None, "its phone has the customer's leg now"
        assert world.owner.state is CallState.WITH_AGENT
        await asyncio.sleep(3)
        world.leg.end(reason="bye")

    world = run(script, dialler)
    assert dialler.moved == [("call-1-2", "call-1-1")]
    assert dialler.reported == [("call-1-1-r1", 180, ""), ("call-1-1-r1", 200, "")]
    assert outcomes(world) == {"call-1-t2": "transferred"}
    assert world.outcome[0] == "answered"


@pytest.mark.parametrize("why", ["busy", "does not move"])
def test_a_caller_whose_target_is_not_reached_has_the_agent_again(why: str) -> None:
    dialler = FakeDialler()

    async def script(world: CallWorld) -> None:
        await asyncio.sleep(5)
        world.owner.steered.hand_on(BY_CALLER)
        if why == "busy":
            await asyncio.sleep(0.1)
            dialler.legs[0].end(sip_status=486, reason="busy")
        else:
            dialler.move_refusal = DialRefused("failed", "488 Not Acceptable Here")
            leg = await answers(dialler, 0)
            await asyncio.sleep(0.5)
            assert leg.ended is not None
        await asyncio.sleep(3)
        assert world.owner.state is CallState.WITH_AGENT
        world.leg.end(reason="bye")

    world = run(script, dialler)
    assert outcomes(world) == {"call-1-t2": "busy" if why == "busy" else "failed"}
    assert dialler.reported[-1][1] == (486 if why == "busy" else 503)
    said = [event["text"] for event in world.events if event["type"] == "agent_message"]
    assert len(said) == 2, "the agent has words"


# --- handed over by REFER with Replaces -------------------------------------------------------------------------------

OVER = TransferOrder(
    "call-1-t3", "+15557003", TransferKind.WARM, afterwards=AfterTransfer.AGENT, warm=Warm(detect=False, handover=True)
)


def report(world: CallWorld, status: int, *, answer: bool = False) -> None:
    world.owner.steered.refer_report(answer=answer, status=status, reason="", over=status >= 200)


def kinds(world: CallWorld) -> list[str]:
    return [each["type"] for each in world.events if "handed_over" in each["type"]]


@pytest.mark.parametrize("human_first", [False, True])
def test_two_who_are_joined_go_on_without_us(human_first: bool) -> None:
    """The human's phone hangs up our leg when the caller's side has called it, often before that is reported."""
    dialler = FakeDialler()

    async def script(world: CallWorld) -> None:
        await asyncio.sleep(5)
        await world.owner.steered.transfer(OVER)
        human = await answers(dialler, 0)
        assert dialler.referred == [("call-1-1", "call-1-2")]
        assert heard_by(world, dialler, 0), "nobody waits for it"
        report(world, 202, answer=True)
        report(world, 100)
        assert heard_by(world, dialler, 0)
        if human_first:
            human.end(reason="bye")
            await asyncio.sleep(0.5)
        report(world, 200)
        await asyncio.sleep(0.5)

    world = run(script, dialler)
    assert world.outcome == ("answered", "system", "transferred")
    assert kinds(world) == ["transfer_handed_over"]
    assert outcomes(world) == {"call-1-t3": "transferred"}


@pytest.mark.parametrize("how", ["refused", "failed", "silent", "not sent"])
def test_where_it_is_not_taken_they_go_on_through_us(how: str) -> None:
    dialler = FakeDialler()

    async def script(world: CallWorld) -> None:
        await asyncio.sleep(5)
        if how == "not sent":
            dialler.refer_refusal = DialRefused("not_possible", "no REFER here")
        await world.owner.steered.transfer(OVER)
        human = await answers(dialler, 0)
        if how == "refused":
            report(world, 603, answer=True)
        elif how == "failed":
            report(world, 202, answer=True)
            report(world, 486)
        await asyncio.sleep(9 if how == "silent" else 1)
        assert how == "silent" or heard_by(world, dialler, 0)
        human.end(reason="bye")
        await asyncio.sleep(1)
        assert world.owner.state is CallState.WITH_AGENT
        world.leg.end(reason="bye")

    world = run(script, dialler)
    assert kinds(world) == ["transfer_not_handed_over"]
    assert outcomes(world) == {"call-1-t3": "transferred"}
