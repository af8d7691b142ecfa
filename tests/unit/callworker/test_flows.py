"""A dialplan's flow on virtual time: what the caller hears, where each key leads, and what the next persona knows."""

from __future__ import annotations

import asyncio
from dataclasses import asdict

from call_world import INFO, PERSONAS, CallWorld, call
from fake_dialler import FakeDialler

from gateway.flows import Choice, CollectStep, FlowStep, HangUpStep, MenuStep, PersonaStep, TransferStep
from telephony.errors import DialRefused

KNOWS = PersonaStep(str(PERSONAS), "KnowsVariables")
DESK = TransferStep("+15557001", "One moment.", refer="never", ring_s=20)
PIN = CollectStep("Your PIN, please.", "pin", 4, 4, KNOWS, HangUpStep("No PIN."), secret=True, retries=0)
MENU = MenuStep(
    "For the desk press 1, for your account 2.",
    (Choice("1", DESK, "the desk"), Choice("2", PIN)),
    HangUpStep("Nothing was chosen."),
    retries=1,
)


def said(world: CallWorld) -> list[str]:
    return [event["full_text"] for event in world.events if event["type"] == "agent_message"]


def flow(step: FlowStep, *presses: tuple[float, str], ends: bool = False, **how: object) -> CallWorld:
    """Keys pressed at these seconds; `ends`: the caller hangs up in the end."""

    async def script(world: CallWorld) -> None:
        for at, keys in presses:
            await asyncio.sleep(at - world.now)
            world.leg.press(keys)
        if ends:
            await asyncio.sleep(3)
            world.leg.end()

    return call(script, flow=step, **how)


def test_keys_lead_through_it_to_a_persona_with_what_was_collected():
    world = flow(MENU, (6.0, "2"), (12.0, "4711"), ends=True)
    assert said(world) == [MENU.say, PIN.say, "I know pin ••••."]
    handed = [event for event in world.events if event["type"] == "agent_handoff"]
    assert [(event["from_persona"], event["to_persona"]) for event in handed] == [("menu", "KnowsVariables")]


def test_a_secret_is_nowhere_on_record_but_with_the_persona():
    world = flow(PIN, (6.0, "4711"), ends=True)
    assert "4711" not in str([asdict(message) for message in world.sent])
    assert {"recording_paused", "recording_resumed"} <= set(world.types())


def test_a_factory_gets_the_variables_too():
    step = CollectStep("Number?", "number", 2, 2, PersonaStep(str(PERSONAS), "says_number"))
    assert said(flow(step, (4.0, "42"), ends=True))[-1] == "Your number is 42."


def test_a_wrong_key_is_asked_again_and_then_it_goes_on_otherwise():
    world = flow(MENU, (6.0, "9"), (12.0, "8"))
    again = f"Sorry, I didn't catch that. Could you say it again? {MENU.say}"
    assert said(world) == [MENU.say, again, "Nothing was chosen."]
    assert world.outcome == ("answered", "agent", "flow_ended")


def test_silence_ends_it_too():
    world = flow(PIN)
    assert said(world) == [PIN.say, "No PIN."]
    assert world.outcome == ("answered", "agent", "flow_ended")


def test_a_transfer_without_an_agent_rings_and_joins():
    dialler = FakeDialler()

    async def script(world: CallWorld) -> None:
        await asyncio.sleep(6)
        world.leg.press("1")
        while not dialler.legs:
            await asyncio.sleep(0.02)
        dialler.legs[0].ringing()
        await asyncio.sleep(1)
        await dialler.legs[0].answer(dialler.audio[0])
        await asyncio.sleep(2)
        dialler.legs[0].end()

    world = call(script, flow=MENU, dialler=dialler)
    assert [order.to for order in dialler.orders] == ["+15557001"]
    assert said(world) == [MENU.say, "One moment."]
    assert world.outcome[1:] == ("human", "the transfer's target hung up")


def test_a_transfer_that_fails_goes_on_otherwise():
    refused = FakeDialler(refusal=DialRefused("closed_destination", "not there"))
    world = flow(TransferStep("+15557001", refer="never", otherwise=KNOWS), dialler=refused, ends=True)
    assert said(world) == ["I know nothing."]
    world = flow(TransferStep("+15557001", refer="never"), dialler=refused)
    assert said(world) == ["I'm sorry, nobody could take your call just now."]
    assert world.outcome == ("answered", "agent", "flow_ended")


def test_hanging_up_without_a_word():
    world = flow(HangUpStep())
    assert said(world) == []
    assert world.outcome == ("answered", "agent", "flow_ended")


def test_a_persona_that_cannot_be_created_is_regretted():
    world = flow(PersonaStep(str(PERSONAS), "Faulty"))
    assert said(world) == ["I'm sorry, I'm having technical trouble. Please call again in a little while. Goodbye!"]
    assert world.outcome == ("answered", "system", "error")


def test_the_caller_hangs_up_in_the_menu():
    async def script(world: CallWorld) -> None:
        await asyncio.sleep(3)
        world.leg.end()

    assert call(script, flow=MENU).outcome[1] == "caller"
    assert INFO.variables == {}
