"""Ends are said once, and one persona leaves nothing behind for the next."""

from __future__ import annotations

import asyncio

import pytest
from phone import Phone, call

from agent import Agent, DigitEntry, RunContext, function_tool
from agent.events import (
    AgentHandoff,
    AgentMessage,
    DigitReceived,
    FunctionCallOutput,
    SessionClosed,
    SilencePrompted,
    UserMessage,
)
from agent.providers.base import ToolCall
from agent.providers.fakes import FakeLLM, FakeSTT, ModelTurn
from agent.turns.farewell import left_to_say, says_goodbye


def tool_call(name: str, arguments: str = "{}", call_id: str = "c1") -> ToolCall:
    return ToolCall(call_id, name, arguments)


def said(phone: Phone) -> list[str]:
    return [message.text for message in phone.of(AgentMessage)]


async def asks(phone: Phone) -> None:
    await phone.wait(200)
    await phone.speak(600, 12_000)


# --- farewells ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "farewell", "left"),
    [
        ("", "Goodbye!", "Goodbye!"),
        ("Thank you for calling, goodbye!", "Thank you for calling, goodbye!", ""),
        ("Thank you for calling. Goodbye", "thank you for calling -- GOODBYE!", ""),
        ("Thanks for calling us, goodbye!", "Thanks for calling, goodbye!", ""),
        ("You are booked for eight. Thank you, goodbye!", "Goodbye, and have a nice day!", ""),
        ("You are booked for eight.", "Thank you. Goodbye!", "Thank you. Goodbye!"),
        ("You are booked for eight. Thank you.", "Thank you. Goodbye!", "Goodbye!"),
        ("Bye bye!", "Your number is five. Goodbye!", "Your number is five."),
        ("I said goodbye to him. Then I left. Shall we go on?", "Goodbye!", "Goodbye!"),
        ("Auf Wiederhören!", "Auf Wiedersehen.", ""),
        ("再见。", "再见。", ""),
        ("...", "Goodbye!", "Goodbye!"),
        ("Goodbye!", "", ""),
    ],
)
def test_what_is_left_of_a_farewell(before, farewell, left):
    assert left_to_say(farewell, before) == left


def test_a_goodbye_is_known_by_its_words_and_not_by_their_letters():
    assert says_goodbye("Well then, good-bye!")
    assert not says_goodbye("We are open on Goodbyeday, at bayside.")


@pytest.mark.parametrize(
    ("text", "farewell", "expected"),
    [
        ("Thank you for calling, goodbye! ", "Thank you for calling, goodbye!", ["Thank you for calling, goodbye!"]),
        ("Thank you for calling, goodbye! ", "Goodbye, have a nice day!", ["Thank you for calling, goodbye!"]),
        ("You are booked. ", "Goodbye!", ["You are booked.", "Goodbye!"]),
    ],
)
def test_text_and_farewell_are_said_once(text, farewell, expected):
    turn = ModelTurn((text, tool_call("end_call", f'{{"farewell": "{farewell}"}}')))
    phone = call(asks, llm=FakeLLM(turn))
    assert said(phone) == expected
    assert phone.one(SessionClosed).reason == "agent_ended"


class Booking(Agent):
    @function_tool
    async def book(self) -> str:
        await asyncio.sleep(1)
        raise ValueError("the table is gone")

    @function_tool
    async def note(self) -> str:
        await asyncio.sleep(1)
        return "noted"


@pytest.mark.parametrize("order", [("book", "end_call"), ("end_call", "book")])
def test_an_end_beside_a_function_that_failed_waits_until_the_caller_has_been_told(order):
    first = ModelTurn(("You are booked. ", *(tool_call(name, call_id=name) for name in order)))
    llm = FakeLLM(first, ModelTurn(("Sorry, the table is gone. Goodbye!", tool_call("end_call", call_id="c3"))))
    phone = call(asks, Booking(), llm=llm)
    assert said(phone) == ["You are booked.", "Sorry, the table is gone. Goodbye!"]
    outputs = {m.tool_call_id: m for m in llm.requests[1].messages if m.role == "tool"}
    assert outputs["end_call"].is_error
    assert "has not ended" in outputs["end_call"].text
    assert [event.is_error for event in phone.of(FunctionCallOutput)] == [True, True, False]
    assert phone.one(SessionClosed).reason == "agent_ended"


def test_an_end_beside_a_function_that_worked_is_an_end():
    turn = ModelTurn(("Noted. ", tool_call("note"), tool_call("end_call", '{"farewell": "Goodbye!"}', "c2")))
    assert said(call(asks, Booking(), llm=FakeLLM(turn))) == ["Noted.", "Goodbye!"]


# --- handoffs -----------------------------------------------------------------------------------------------------


class Host(Agent):
    digits = DigitEntry(length=4)

    @function_tool
    async def desk(self) -> tuple[Agent, str]:
        return Desk(), "The events desk."


class Desk(Agent):
    @function_tool
    async def back(self) -> tuple[Agent, str]:
        return Host(), "Back at reservations."


def test_a_key_that_was_pressed_for_one_persona_is_not_the_next_ones():
    llm = FakeLLM(ModelTurn((tool_call("desk"),)), ModelTurn((tool_call("back"),)), "Thanks.")

    async def script(phone: Phone) -> None:
        await phone.wait(200)
        phone.session.on_digit("5", phone.now)
        await phone.speak(600, 5000)
        await phone.speak(600, 4000)
        for key in "1234":
            phone.session.on_digit(key, phone.now)
            await phone.wait(300)
        await phone.wait(3000)

    phone = call(script, Host(), llm=llm, stt=FakeSTT("events please", "back please"))
    assert len(phone.of(AgentHandoff)) == 2
    assert [message.text for message in phone.of(UserMessage) if message.source == "dtmf"] == ["1234"]


def test_a_pending_key_does_not_switch_the_silence_ladder_off():
    async def script(phone: Phone) -> None:
        await phone.wait(200)
        phone.session.on_digit("5", phone.now)
        await phone.speak(600, 60_000)

    phone = call(script, Host(), llm=FakeLLM(ModelTurn((tool_call("desk"),))), stt=FakeSTT("events please"))
    assert [prompt.rung for prompt in phone.of(SilencePrompted)] == [1, 2, 3]
    assert phone.one(SessionClosed).reason == "caller_silent"


def test_the_next_persona_asks_from_the_foot_of_the_ladder():
    async def script(phone: Phone) -> None:
        await phone.until(SilencePrompted, 2)
        phone.session.generate_reply(instructions="hand over")
        await phone.until(SilencePrompted, 3, within_ms=20_000)

    phone = call(script, Host(), llm=FakeLLM(ModelTurn((tool_call("desk"),))))
    assert [prompt.rung for prompt in phone.of(SilencePrompted)] == [1, 2, 1]


def test_what_a_hook_of_the_persona_before_still_waits_for_ends_with_it():
    class Asker(Host):
        async def on_digit(self, ctx: RunContext, digit: str) -> None:
            await asyncio.sleep(5)
            await ctx.session.say("Are you ready to order?")

    async def script(phone: Phone) -> None:
        phone.session.on_digit("5", phone.now)
        await asks(phone)

    phone = call(script, Asker(), llm=FakeLLM(ModelTurn((tool_call("desk"),))), away_ms=None)
    assert said(phone) == ["The events desk."]


# --- keys ---------------------------------------------------------------------------------------------------------

HOURS = "We are open from nine to five on weekdays and from ten to two on Saturdays."


@pytest.mark.parametrize(("agent", "key", "cut"), [(Agent, "5", False), (Host, "#", False), (Host, "5", True)])
def test_only_a_key_that_somebody_waits_for_stops_the_answer(agent, key, cut):
    async def script(phone: Phone) -> None:
        await phone.wait(200)
        await phone.speak(600, 1500)
        phone.session.on_digit(key, phone.now)
        await phone.wait(5000)

    phone = call(script, agent(), llm=FakeLLM(HOURS, "Five what?"))
    assert phone.of(AgentMessage)[0].interrupted is cut
    assert phone.one(DigitReceived).digit == key
