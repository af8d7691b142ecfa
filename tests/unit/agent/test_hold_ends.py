"""Ends of calls on hold, and what waits for the caller to return."""

from __future__ import annotations

import pytest
from hold_calls import Greeter, Slow, hold, said, tool_call
from phone import Phone, call

from agent.events import (
    AgentMessage,
    CallerHeld,
)
from agent.providers.fakes import FakeLLM, ModelTurn


def test_who_hangs_up_on_hold_has_heard_what_was_heard_before():
    async def script(phone: Phone) -> None:
        await phone.wait(200)
        await phone.speak(600, 2000)
        phone.session.on_hold(phone.now)
        await phone.wait(5000)
        phone.session.leg_ended()
        await phone.closed()

    phone = call(script, llm=FakeLLM("You have a table. It is booked for seven in the evening."))
    [cut] = phone.of(AgentMessage)
    assert phone.session.history[-1].text == cut.text
    assert phone.session.history[-1].interrupted


def test_who_holds_too_long_is_given_up_without_a_word():
    async def script(phone: Phone) -> None:
        await phone.wait(3000)
        phone.session.on_hold(phone.now)
        await phone.closed()

    phone = call(script, Greeter(), max_hold_ms=600_000)
    assert phone.events[-1].reason == "held_too_long"
    [(reason, at)] = phone.call.hung_up
    assert reason == "held_too_long"
    assert at - phone.one(CallerHeld).at == pytest.approx(600.0, abs=0.1)
    assert said(phone) == [("Hello, how can I help?", "greeting")]


def test_nobody_is_asked_for_a_moment_on_hold():
    async def script(phone: Phone) -> None:
        await phone.wait(200)
        await phone.speak(600, 700)
        await hold(phone, 20_000)
        await phone.wait(3000)

    phone = call(script, Slow(), llm=FakeLLM(ModelTurn((tool_call("look_up"),)), "At seven."))
    assert said(phone) == [("I'm here.", "canned"), ("At seven.", "reply")]


def test_a_goodbye_waits_for_a_caller_who_holds():
    async def script(phone: Phone) -> None:
        await phone.wait(200)
        await phone.speak(600, 700)
        await hold(phone, 30_000)
        assert phone.call.hung_up == []
        await phone.closed()

    model = FakeLLM(ModelTurn(("You are booked. ", tool_call("end_call", '{"farewell": "Goodbye."}')), first_ms=2000))
    phone = call(script, llm=model)
    assert [text for text, _ in said(phone)] == ["You are booked.", "Goodbye."]
    assert len(phone.call.hung_up) == 1
    assert phone.events[-1].reason == "agent_ended"


def test_a_goodbye_does_not_wait_for_ever():
    async def script(phone: Phone) -> None:
        await phone.wait(200)
        await phone.speak(600, 700)
        phone.session.on_hold(phone.now)
        await phone.closed()

    model = FakeLLM(ModelTurn((tool_call("end_call", '{"farewell": "Goodbye."}'),), first_ms=2000))
    phone = call(script, llm=model, max_hold_ms=60_000)
    assert phone.of(AgentMessage) == []
    [(_, at)] = phone.call.hung_up
    assert at - phone.one(CallerHeld).at == pytest.approx(60.0, abs=0.1)


@pytest.mark.parametrize("reason", ["drained", "max_length"])
def test_an_end_that_is_not_the_conversations_does_not_wait(reason):
    async def script(phone: Phone) -> None:
        await phone.wait(3000)
        phone.session.on_hold(phone.now)
        await phone.wait(1000)
        if reason == "drained":
            await phone.session.drain()
        await phone.closed()

    phone = call(script, Greeter(), max_call_ms=20_000)
    assert phone.events[-1].reason == reason
    [(_, at)] = phone.call.hung_up
    assert at - phone.began_at == pytest.approx(4.0 if reason == "drained" else 20.0, abs=0.1)
    assert len(phone.of(AgentMessage)) == 1
