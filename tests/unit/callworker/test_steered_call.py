"""A live call controlled over the API."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from agent.warm.asking import AskTimedOut, Refused
from gateway.calls.collecting import Collected, CollectOrder
from gateway.calls.verbs import DigitsOrder, ListenOrder, TransferOrder, Voice
from gateway.callworker.steered import Steered
from gateway.live_calls import LiveCall, LiveCalls
from gateway.record import TransferEnded
from gateway.steering import STEER, CallSteering, CannotSteer
from telephony.call import DigitSource
from telephony.errors import DigitsNotSent
from tests.unit.callworker.call_world import CallWorld, call


class Anywhere:
    """Implements `TargetCheck`: every number but one may be called."""

    def transfer(self, call: LiveCall, order: TransferOrder) -> None:
        if order.to == "+19005550100":
            raise Refused("closed_destination", "it is closed")

    def listen(self, call: LiveCall, order: ListenOrder) -> None:
        """Open."""


def steered(world: CallWorld) -> CallSteering:
    """The gateway's side, with the worker's at the other end."""
    worker = Steered(lambda call_id: world.owner.steered if call_id == "call-1" else None)

    async def ask(name: str, topic: str, body: Mapping[str, Any], *, timeout_s: float) -> Mapping[str, Any]:
        assert (name, topic) == ("w1", STEER)
        return await worker(body)

    live = LiveCalls()
    live.place("call-1-1", "call-1", "w1", 0.0)
    return CallSteering(live, ask, Anywhere())


def test_the_caller_is_asked_for_digits_which_only_the_asker_gets() -> None:
    answers: list[Any] = []

    async def script(world: CallWorld) -> None:
        steering = steered(world)

        async def asked(**how: Any) -> None:
            order = CollectOrder("Your PIN, please.", 4, 4, secret=True, **how)
            try:
                answers.append(await steering.collect("call-1", order))
            except CannotSteer as error:
                answers.append(error.kind)

        await asked()
        await asyncio.sleep(5)
        first = asyncio.create_task(asked())
        await asyncio.sleep(2)
        await asked()
        for key in "4711":
            world.leg.press(key)
            await asyncio.sleep(0.2)
        await first
        await asked(limit_s=3)
        last = asyncio.create_task(asked())
        await asyncio.sleep(2)
        world.leg.end(reason="hung up")
        await last

    world = call(script)
    assert answers == ["not_talking", "collecting", Collected("4711", "full"), Collected(None, "too_late"), "not_live"]
    assert "4711" not in str(world.sent) and "4711" not in repr(answers)
    assert {event["digit"] for event in world.events if event["type"] == "digit_received"} == {"•"}
    paused = [event["type"] for event in world.events if event["type"].startswith("recording_")]
    assert paused[:2] == ["recording_paused", "recording_resumed"]


def test_it_says_what_it_is_told_and_ends_when_it_is_told() -> None:
    async def script(world: CallWorld) -> None:
        steering = steered(world)
        with pytest.raises(CannotSteer, match="not been answered"):
            await steering.say("call-1", "Too early.", allow_interruptions=True)
        with pytest.raises(CannotSteer, match="not been answered"):
            await steering.send_digits("call-1", DigitsOrder("1"))
        await asyncio.sleep(5)
        await steering.say("call-1", "One moment, please.", allow_interruptions=False)
        await steering.send_digits("call-1", DigitsOrder("12#"))
        await asyncio.sleep(5)
        await steering.hang_up("call-1", goodbye=False)

    world = call(script)
    said = [event["text"] for event in world.events if event["type"] == "agent_message"]
    assert "One moment, please." in said
    assert ("send_digits", "12#") in world.leg.verbs
    assert world.outcome == ("answered", "system", "ended over the API")


def test_keys_go_by_the_way_that_is_asked_for_and_the_record_does_not_say_which() -> None:
    async def script(world: CallWorld) -> None:
        steering = steered(world)
        await asyncio.sleep(5)
        await steering.send_digits("call-1", DigitsOrder("W12w#", way=DigitSource.INBAND))
        await asyncio.sleep(1)
        world.leg.failures["send_digits"] = DigitsNotSent("refused", "415 Unsupported", sip_status=415)
        await steering.send_digits("call-1", DigitsOrder("3", way=DigitSource.INFO))
        with pytest.raises(CannotSteer, match="no answered leg call-1-7") as caught:
            await steering.send_digits("call-1", DigitsOrder("3", "call-1-7"))
        assert caught.value.kind == "unknown_leg"
        await asyncio.sleep(1)
        await steering.hang_up("call-1", goodbye=False)

    world = call(script)
    assert ("send_digits", "W12w#", DigitSource.INBAND) in world.leg.verbs
    (sent,) = [event for event in world.events if event["type"] == "digits_sent"]
    assert (sent["leg_id"], sent["way"], sent["count"]) == ("call-1-1", "inband", 3)
    (failed,) = [event for event in world.events if event["type"] == "digits_failed"]
    assert (failed["error"], failed["sip_status"], failed["reason"]) == ("refused", 415, "415 Unsupported")


def test_with_a_goodbye_the_farewell_is_said_first() -> None:
    async def script(world: CallWorld) -> None:
        await asyncio.sleep(5)
        await steered(world).hang_up("call-1", goodbye=True)

    world = call(script)
    kinds = [event["kind"] for event in world.events if event["type"] == "agent_message"]
    assert kinds[-1] == "farewell"
    assert world.outcome == ("answered", "system", "ended over the API")


async def test_what_the_worker_does_not_know_is_refused() -> None:
    worker = Steered(lambda _: None)
    with pytest.raises(Refused) as refused:
        await worker({"call_id": "c9", "verb": "say", "text": "x", "allow_interruptions": True})
    assert refused.value.kind == "not_live"


@pytest.mark.parametrize(("worker", "kind"), [("", "not_possible"), ("w1", "no_answer")])
async def test_calls_that_cannot_be_told(worker: str, kind: str) -> None:
    async def ask(*_: Any, **__: Any) -> Mapping[str, Any]:
        raise AskTimedOut("steer: no answer within 3 s")

    live = LiveCalls()
    live.place("c1-1", "c1", worker or "w1", 0.0)
    placed = live.get("c1")
    assert placed is not None
    placed.worker = worker
    with pytest.raises(CannotSteer) as cannot:
        await CallSteering(live, ask, Anywhere()).hang_up("c1", goodbye=False)
    assert cannot.value.kind == kind
    with pytest.raises(CannotSteer) as cannot:
        await CallSteering(live, ask, Anywhere()).hang_up("c2", goodbye=False)
    assert cannot.value.kind == "not_live"


def test_it_is_held_muted_and_transferred_when_it_is_told() -> None:
    async def script(world: CallWorld) -> None:
        steering = steered(world)
        await asyncio.sleep(5)
        await steering.hold("call-1")
        await steering.resume("call-1")
        await steering.mute("call-1", Voice.AGENT, muted=True)
        await steering.mute("call-1", Voice.AGENT, muted=False)
        with pytest.raises(CannotSteer) as cannot:
            await steering.transfer("call-1", TransferOrder("call-1-t1", "+19005550100"))
        assert (cannot.value.kind, str(cannot.value)) == ("closed_destination", "It is closed.")
        with pytest.raises(CannotSteer) as cannot:
            await steering.listen("call-1", ListenOrder("+15557001"))
        assert cannot.value.kind == "no_room", "this call has nobody who places legs"
        await steering.transfer("call-1", TransferOrder("call-1-t2", "+15557001"))
        await asyncio.sleep(5)
        await steering.hang_up("call-1", goodbye=False)

    world = call(script)
    told = [event["type"] for event in world.events if event["type"].startswith("call_")]
    assert told == ["call_held", "call_resumed", "call_muted", "call_unmuted"]
    (ended,) = [message for message in world.sent if isinstance(message, TransferEnded)]
    assert (ended.transfer_id, ended.outcome) == ("call-1-t2", "failed")
