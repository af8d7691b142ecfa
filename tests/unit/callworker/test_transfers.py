"""Transfers of a call on virtual time: what the customer hears, what is told, and who has them afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from call_world import CallWorld, call
from fake_dialler import FakeDialler

from gateway.calls.ends import CallState
from gateway.calls.verbs import TransferOrder, VerbRefused
from gateway.record import LegClosed, TransferBegan, TransferEnded, TransferKind
from telephony.call import AfterTransfer, LegEnded, UseRefer
from telephony.errors import DialRefused
from telephony.fakes import FakeLeg
from telephony.media.frames import FRAME_BYTES, SILENCE

ORDER = TransferOrder("call-1-t1", "+15557001", refer=UseRefer.NEVER, ring_s=20)
REFER = replace(ORDER, refer=UseRefer.PREFER)
Script = Callable[[CallWorld], Awaitable[None]]


def frame(value: int) -> bytes:
    return value.to_bytes(2, "little", signed=True) * (FRAME_BYTES // 2)


async def begun(world: CallWorld, order: TransferOrder = ORDER) -> None:
    """The greeting has been said, and the transfer is asked for."""
    await asyncio.sleep(5)
    await world.owner.steered.transfer(order)
    await asyncio.sleep(0.1)


async def target(dialler: FakeDialler) -> FakeLeg:
    while not dialler.legs:
        await asyncio.sleep(0.02)
    return dialler.legs[-1]


async def answered(dialler: FakeDialler) -> FakeLeg:
    leg = await target(dialler)
    leg.ringing()
    await asyncio.sleep(1)
    await leg.answer(dialler.audio[-1])
    await asyncio.sleep(0.1)
    return leg


def heard(world: CallWorld, ms: float = 200) -> set[bytes]:
    now = world.loop.time()
    return {world.leg.tick(frame(100), now) for _ in range(round(ms / 20))} - {SILENCE}


def told(world: CallWorld) -> list[str]:
    """The transfer's story."""
    names = {"transfer_ringing": "ringing", "transfer_answered": "answered"}
    found: list[str] = []
    for message in world.sent:
        if isinstance(message, TransferBegan):
            found.append("began" if message.leg_id is None else f"leg {message.leg_id}")
        elif isinstance(message, TransferEnded):
            found.append(message.outcome.value)
        else:
            found += [names[each["type"]] for each in getattr(message, "events", ()) if each["type"] in names]
    return found


def said(world: CallWorld) -> list[str]:
    return [event["text"] for event in world.events if event["type"] == "agent_message"]


def transferred(script: Script, dialler: FakeDialler, persona: str = "Greeter") -> CallWorld:
    return call(script, persona, dialler=dialler)


def test_the_customer_hears_tones_then_ringing_then_the_target() -> None:
    dialler = FakeDialler()

    async def script(world: CallWorld) -> None:
        await begun(world)
        tones = heard(world)
        assert tones
        leg = await target(dialler)
        leg.ringing()
        await asyncio.sleep(0.1)
        ringing = heard(world)
        assert ringing
        assert not ringing & tones
        await leg.answer(dialler.audio[0])
        await asyncio.sleep(0.1)
        assert world.owner.state is CallState.JOINED
        now = world.loop.time()
        for _ in range(3):
            dialler.audio[0].push(frame(200), now)
            assert world.leg.tick(frame(100), now) in (SILENCE, frame(200))
        assert frame(100) in {dialler.audio[0].pull(now) for _ in range(3)}
        leg.end(reason="bye")

    world = transferred(script, dialler)
    assert told(world) == ["began", "leg call-1-2", "ringing", "answered", "transferred"]
    assert world.outcome == ("answered", "human", "the transfer's target hung up")
    assert dialler.orders[0].to == "+15557001"
    assert said(world) == ["Hello and welcome to the house."]


@pytest.mark.parametrize(
    ("status", "outcome", "words"),
    [
        (486, "busy", "I'm sorry, the line is busy just now."),
        (603, "declined", "I'm sorry, nobody could take your call just now."),
        (408, "no_answer", "I'm sorry, nobody could take your call just now."),
        (500, "failed", "I'm sorry, nobody could take your call just now."),
    ],
)
def test_who_is_not_reached_leaves_the_customer_to_the_agent_with_words(status: int, outcome: str, words: str) -> None:
    dialler = FakeDialler()
    histories: list[str] = []

    async def script(world: CallWorld) -> None:
        await begun(world)
        leg = await target(dialler)
        leg.end(sip_status=status, reason="No")
        await asyncio.sleep(4)
        assert world.owner.state is CallState.WITH_AGENT
        histories.extend(message.text for message in world.providers.sessions[-1].history)
        world.leg.end()

    world = transferred(script, dialler)
    assert told(world) == ["began", "leg call-1-2", outcome]
    assert said(world)[1] == words
    assert any(f"did not work: {outcome}" in text for text in histories)
    (ended,) = [message for message in world.sent if isinstance(message, TransferEnded)]
    assert (ended.sip_status, ended.reason) == (status, "No")


def test_a_transfer_that_is_not_even_dialled_says_why() -> None:
    dialler = FakeDialler(refusal=DialRefused("no_slot", "all are taken", retryable=True))

    async def script(world: CallWorld) -> None:
        await begun(world)
        await asyncio.sleep(4)
        world.leg.end()

    world = transferred(script, dialler)
    assert told(world) == ["began", "failed"]
    (ended,) = [message for message in world.sent if isinstance(message, TransferEnded)]
    assert ended.reason == "no_slot: all are taken"


@pytest.mark.parametrize("when", ["announcing", "dialling", "ringing"])
def test_a_customer_who_hangs_up_cancels_the_ringing_at_once(when: str) -> None:
    dialler = FakeDialler()
    at: list[float] = []

    async def script(world: CallWorld) -> None:
        await asyncio.sleep(5)
        announce = "I will now connect you with somebody who knows." if when == "announcing" else ""
        await world.owner.steered.transfer(replace(ORDER, announce=announce))
        if when != "announcing":
            leg = await target(dialler)
            if when == "ringing":
                leg.ringing()
        await asyncio.sleep(0.5)
        at.append(world.loop.time())
        world.leg.end()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        if when == "ringing":
            assert dialler.legs[0].ended is not None
            assert dialler.legs[0].ended.at == at[0]

    world = transferred(script, dialler)
    assert told(world)[-1] == "cancelled"
    assert world.outcome == ("answered", "caller", "hung up")
    legs = [message for message in world.sent if isinstance(message, LegClosed)]
    assert [leg.outcome for leg in legs] == ([] if when == "announcing" else ["cancelled"])


def test_an_announcement_is_said_in_full_before() -> None:
    dialler = FakeDialler()

    async def script(world: CallWorld) -> None:
        await begun(world, replace(ORDER, announce="I am connecting you now."))
        assert not dialler.legs
        await answered(dialler)
        world.leg.end()

    world = transferred(script, dialler)
    assert said(world)[1] == "I am connecting you now."
    (message,) = [each for each in world.events if each.get("text") == "I am connecting you now."]
    assert not message["interrupted"]


def test_the_agent_has_the_customer_back_if_so_ordered() -> None:
    dialler = FakeDialler(elsewhere=True)

    async def script(world: CallWorld) -> None:
        await begun(world, replace(ORDER, kind=TransferKind.WARM, afterwards=AfterTransfer.AGENT))
        leg = await answered(dialler)
        await asyncio.sleep(1000)  # longer than any hold of the caller's may last
        leg.end(reason="bye")
        await asyncio.sleep(3)
        assert world.owner.state is CallState.WITH_AGENT
        assert said(world)[1:] == ["I'm here."]
        world.leg.end()

    assert transferred(script, dialler).outcome == ("answered", "caller", "hung up")


def test_a_target_whose_worker_is_lost_leaves_the_customer_to_the_agent() -> None:
    dialler = FakeDialler(elsewhere=True)

    async def script(world: CallWorld) -> None:
        await begun(world)
        leg = await answered(dialler)
        leg.inject(LegEnded(world.loop.time(), False, 0, "the leg's worker was lost", None, lost=True))
        await asyncio.sleep(3)
        assert world.owner.state is CallState.WITH_AGENT
        world.leg.end()

    assert transferred(script, dialler).outcome == ("answered", "caller", "hung up")


def test_a_refer_is_followed_to_its_end_and_gives_the_call_away() -> None:
    dialler = FakeDialler()

    async def script(world: CallWorld) -> None:
        await begun(world, REFER)
        assert dialler.referred == [("call-1-1", "+15557001")]
        steered = world.owner.steered
        steered.refer_report(answer=True, status=202, reason="Accepted", over=False)
        steered.refer_report(answer=False, status=180, reason="Ringing", over=False)
        await asyncio.sleep(3)
        steered.refer_report(answer=False, status=200, reason="OK", over=True)

    world = transferred(script, dialler)
    assert told(world) == ["began", "ringing", "answered", "transferred"]
    assert world.outcome == ("answered", "system", "transferred")
    assert world.done()[-1] == "hang_up"
    assert not dialler.legs


@pytest.mark.parametrize("how", ["refused", "silent", "no report", "not sent"])
def test_where_refer_is_of_no_use_the_target_is_called(how: str) -> None:
    dialler = FakeDialler()
    if how == "not sent":
        dialler.refer_refusal = DialRefused("not_possible", "no dialog")

    async def script(world: CallWorld) -> None:
        await begun(world, REFER)
        if how == "refused":
            world.owner.steered.refer_report(answer=True, status=603, reason="Decline", over=True)
        elif how == "no report":
            world.owner.steered.refer_report(answer=True, status=202, reason="Accepted", over=False)
        await answered(dialler)
        world.leg.end()

    world = transferred(script, dialler)
    assert told(world) == ["began", "leg call-1-2", "ringing", "answered", "transferred"]
    assert world.outcome == ("answered", "caller", "hung up")


def test_only_refer_gives_the_customer_back_when_it_is_declined() -> None:
    dialler = FakeDialler()

    async def script(world: CallWorld) -> None:
        await begun(world, replace(ORDER, refer=UseRefer.ONLY))
        world.owner.steered.refer_report(answer=True, status=603, reason="Decline", over=True)
        await asyncio.sleep(4)
        world.leg.end()

    world = transferred(script, dialler)
    assert told(world) == ["began", "declined"]
    assert not dialler.legs


def test_a_customers_side_that_accepts_and_leaves_is_not_claimed_to_be_transferred() -> None:
    dialler = FakeDialler()

    async def script(world: CallWorld) -> None:
        await begun(world, REFER)
        world.owner.steered.refer_report(answer=True, status=202, reason="Accepted", over=False)
        await asyncio.sleep(1)
        world.leg.end()

    world = transferred(script, dialler)
    assert told(world) == ["began", "unconfirmed"]


def test_one_transfer_at_a_time_and_none_before_the_answer() -> None:
    dialler = FakeDialler()

    async def script(world: CallWorld) -> None:
        with pytest.raises(VerbRefused, match="not been answered"):
            await world.owner.steered.transfer(ORDER)
        await begun(world)
        for verb in (world.owner.steered.transfer(ORDER), world.owner.steered.hold(), world.owner.steered.say("Hello")):
            with pytest.raises(VerbRefused) as refused:
                await verb
            assert refused.value.kind == "transferring"
        leg = await target(dialler)
        leg.end(sip_status=486)
        await asyncio.sleep(4)
        await world.owner.steered.transfer(replace(ORDER, transfer_id="call-1-t2"))
        await asyncio.sleep(0.5)
        world.leg.end()
        await asyncio.sleep(0.02)
        with pytest.raises(VerbRefused) as refused:
            await world.owner.steered.transfer(ORDER)
        assert refused.value.kind == "not_live"

    world = transferred(script, dialler)
    assert told(world)[-2:] == ["leg call-1-3", "cancelled"]


def test_a_drain_while_it_rings_says_goodbye_to_the_customer() -> None:
    dialler = FakeDialler()

    async def script(world: CallWorld) -> None:
        await begun(world)
        leg = await target(dialler)
        leg.ringing()
        await asyncio.sleep(0.5)
        world.owner.drain("the gateway is shutting down")

    world = transferred(script, dialler)
    assert told(world)[-1] == "cancelled"
    assert [event["kind"] for event in world.events if event["type"] == "agent_message"][-1] == "farewell"
    assert world.outcome == ("answered", "agent", "drained")


@pytest.mark.parametrize(("status", "text"), [(0, "it was transferred"), (486, "it was busy")])
def test_an_agents_tool_gets_a_typed_result(status: int, text: str) -> None:
    dialler = FakeDialler()

    async def script(world: CallWorld) -> None:
        leg = await target(dialler)
        if status:
            leg.end(sip_status=status, reason="Busy")
            await asyncio.sleep(4)
            world.leg.end()
            return
        await answered(dialler)
        await asyncio.sleep(5)
        leg.end(reason="bye")
        await asyncio.sleep(4)
        world.leg.end()

    world = transferred(script, dialler, "Transfers")
    assert said(world)[-1] == text
    assert "transfer_busy" not in said(world)
    assert told(world)[-1] == ("busy" if status else "transferred")


def test_a_fault_of_ours_is_a_failed_transfer_and_the_customer_is_the_agents() -> None:
    dialler = FakeDialler()

    async def script(world: CallWorld) -> None:
        dialler.refer_refusal = RuntimeError("a fault")  # type: ignore[assignment]
        await begun(world, REFER)
        await asyncio.sleep(4)
        assert world.owner.state is CallState.WITH_AGENT
        world.leg.end()

    world = transferred(script, dialler)
    assert told(world) == ["began", "failed"]
    assert said(world)[1] == "I'm sorry, nobody could take your call just now."


def test_an_extension_is_dialled_before_anybody_hears_anybody():
    dialler = FakeDialler()
    seen: list[object] = []

    async def script(world: CallWorld) -> None:
        await begun(world, replace(REFER, extension="w12#"))
        leg = await target(dialler)
        leg.ringing()
        await asyncio.sleep(1)
        await leg.answer(dialler.audio[-1])
        await asyncio.sleep(1)
        world.leg.tick(frame(100))
        seen.append((world.owner.state, [verb[:2] for verb in leg.verbs if verb[0] == "send_digits"]))
        leg.media()
        await asyncio.sleep(1)
        seen.append((world.owner.state, [verb[:2] for verb in leg.verbs if verb[0] == "send_digits"]))
        leg.end()

    world = call(script, dialler=dialler)
    assert dialler.referred == [], "the customer's side would send no keys"
    assert seen == [(CallState.DIALLING, []), (CallState.JOINED, [("send_digits", "w12#")])]
    (sent,) = [event for event in world.events if event["type"] == "digits_sent"]
    assert (sent["leg_id"], sent["count"]) == ("call-1-2", 3)
    assert "12#" not in str(world.sent)
