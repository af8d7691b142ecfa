"""Keys, silence, and how calls end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from phone import Phone, call

from agent import Agent, DigitEntry, EndCall, RunContext, function_tool
from agent.events import (
    AgentMessage,
    DigitReceived,
    SilencePrompted,
    UserMessage,
    UserTurnEnded,
)
from agent.providers.base import ToolCall
from agent.providers.fakes import FakeLLM, FakeSTT, ModelTurn


def near(value: float) -> Any:
    return pytest.approx(value, abs=1e-6)


class Greeter(Agent):
    """You are kind."""

    greeting = "Hello, how can I help?"


def tool_call(name: str, arguments: str = "{}", call_id: str = "c1") -> ToolCall:
    return ToolCall(call_id, name, arguments)


# --- keys ---------------------------------------------------------------------------------------------------------


class Menu(Agent):
    """You take numbers."""

    greeting = "Please key in your four digit number now, it is on your card."
    digits = DigitEntry(length=4)

    def __init__(self) -> None:
        super().__init__()
        self.keys = ""

    async def on_digit(self, ctx: RunContext, digit: str) -> None:
        self.keys += digit


async def _key(phone: Phone, keys: str, gap_ms: float = 200) -> None:
    for key in keys:
        phone.session.on_digit(key, phone.now)
        await phone.wait(gap_ms)


def test_keyed_digits_interrupt_and_become_a_turn():
    async def script(phone: Phone) -> None:
        await phone.wait(500)
        await _key(phone, "1234")
        await phone.wait(3000)

    menu = Menu()
    phone = call(script, menu, llm=FakeLLM("Thank you."))
    greeting, reply = phone.of(AgentMessage)
    assert greeting.interrupted
    assert greeting.text == "Please key"
    assert menu.keys == "1234"
    assert len(phone.of(DigitReceived)) == 4
    message = phone.one(UserMessage)
    assert (message.text, message.source) == ("1234", "dtmf")
    assert phone.one(UserTurnEnded).reason == "digits"
    assert phone.one(UserTurnEnded).at == phone.of(DigitReceived)[-1].at
    assert reply.text == "Thank you."


def test_keyed_digits_complete_by_terminator_or_timeout():
    async def script(phone: Phone) -> None:
        await phone.wait(6000)
        await _key(phone, "12#")
        await phone.wait(2000)
        await _key(phone, "7")
        await phone.wait(5000)

    phone = call(script, Menu())
    assert [message.text for message in phone.of(UserMessage)] == ["12", "7"]
    last = phone.of(UserTurnEnded)[-1]
    assert last.at - phone.of(DigitReceived)[-1].at == near(3.0)


def test_without_an_entry_digits_only_reach_on_digit():
    class Keys(Menu):
        digits = None

    async def script(phone: Phone) -> None:
        await phone.wait(500)
        await _key(phone, "5")
        await phone.wait(4000)

    keys = Keys()
    phone = call(script, keys)
    assert keys.keys == "5"
    assert phone.of(UserMessage) == []


# --- silence and the end ------------------------------------------------------------------------------------------


def test_silence_ladder_to_the_end():
    async def script(phone: Phone) -> None:
        await phone.closed()

    phone = call(script, Greeter())
    greeting, first, second, bye = phone.of(AgentMessage)
    assert [event.rung for event in phone.of(SilencePrompted)] == [1, 2, 3]
    assert phone.of(SilencePrompted)[0].at - greeting.at == pytest.approx(7.0, abs=0.025)
    assert phone.of(SilencePrompted)[1].at - first.at == pytest.approx(7.0, abs=0.025)
    assert first.text == "Are you still there?"
    assert second.kind == "silence_prompt"
    assert bye.kind == "farewell"
    assert phone.events[-1].reason == "caller_silent"
    assert len(phone.call.hung_up) == 1


def test_speech_and_keys_put_the_ladder_back():
    async def script(phone: Phone) -> None:
        await phone.wait(8500)
        await phone.speak(500, 8500)
        phone.session.on_digit("1", phone.now)
        await phone.wait(6900)

    phone = call(script, llm=FakeLLM("Good."))
    assert [event.rung for event in phone.of(SilencePrompted)] == [1, 1]


def assert_played_out(phone: Phone) -> None:
    """The farewell was heard to its last frame, and only then was the call hung up, once."""
    bye = phone.of(AgentMessage)[-1]
    assert bye.text == bye.full_text
    assert not bye.interrupted
    [(_, at)] = phone.call.hung_up
    assert at >= bye.at - 1e-6
    assert at - bye.at <= 0.05
    assert phone.call.played_ms_at_hang_up == phone.room.output.queued_ms


@pytest.mark.parametrize(
    ("turns", "last"),
    [
        ((ModelTurn((tool_call("end_call", '{"farewell": "Goodbye and good luck."}'),)),), "Goodbye and good luck."),
        ((ModelTurn(("Have a nice day. ", tool_call("end_call"))),), "Have a nice day."),
        ((ModelTurn((tool_call("end_call"),)), "Farewell then."), "Farewell then."),
        ((ModelTurn((tool_call("end_call"),)), ModelTurn(())), "Thank you for calling. Goodbye!"),
    ],
)
def test_end_call_plays_the_last_word_out_and_hangs_up_once(turns, last):
    async def script(phone: Phone) -> None:
        await phone.wait(200)
        await phone.speak(600, 900)
        await phone.speak(2000)  # over the farewell: it is not heard any more
        await phone.closed()

    phone = call(script, llm=FakeLLM(*turns), stt=FakeSTT("bye"))
    assert phone.of(AgentMessage)[-1].text == last
    assert_played_out(phone)
    assert phone.events[-1].reason == "agent_ended"
    assert len(phone.of(UserMessage)) == 1


def test_end_call_twice_ends_once():
    class Twice(Agent):
        @function_tool
        async def finish(self) -> EndCall:
            return EndCall("Bye.")

    turn = ModelTurn((tool_call("finish"), tool_call("end_call", call_id="c2")))

    async def script(phone: Phone) -> None:
        await phone.wait(200)
        await phone.speak(600)
        await phone.closed()
        phone.session.leg_ended()
        await phone.session.aclose("again")

    phone = call(script, Twice(), llm=FakeLLM(turn))
    assert len(phone.call.hung_up) == 1
    assert phone.types().count("session_closed") == 1


def test_max_length():
    async def script(phone: Phone) -> None:
        await phone.closed()

    phone = call(script, Greeter(), max_call_ms=5000)
    assert phone.events[-1].reason == "max_length"
    assert phone.of(AgentMessage)[-1].text.startswith("I'm sorry, we've reached the time limit")
    assert_played_out(phone)


def test_leg_ended_in_mid_sentence_closes_at_once_and_hangs_nothing_up():
    async def script(phone: Phone) -> None:
        await phone.wait(700)
        phone.session.leg_ended()
        closed = await phone.closed()
        assert closed.at - phone.began_at == pytest.approx(0.7, abs=0.001)

    phone = call(script, Greeter())
    message = phone.one(AgentMessage)
    assert (message.text, message.interrupted) == ("Hello, how can", True)
    assert phone.events[-1].reason == "leg_ended"
    assert phone.call.hung_up == []
    assert phone.session.history[-1].interrupted


def test_a_caller_who_hangs_up_during_the_farewell_closes_the_session_at_once():
    async def script(phone: Phone) -> None:
        await phone.wait(1500)
        draining = asyncio.create_task(phone.session.drain("A farewell of quite a few words, to be hung up in."))
        await phone.wait(600)
        phone.session.leg_ended()
        closed = await phone.closed()
        assert (closed.reason, closed.at - phone.began_at) == ("leg_ended", pytest.approx(2.1, abs=0.05))
        await draining

    phone = call(script, Greeter())
    assert phone.call.hung_up == []
    assert phone.types().count("session_closed") == 1


def test_drain_finishes_the_sentence_and_says_goodbye():
    class Talker(Agent):
        greeting = "This is the first sentence. This second one is never heard."

    async def script(phone: Phone) -> None:
        await phone.wait(500)
        await phone.session.drain()

    phone = call(script, Talker())
    greeting, bye = phone.of(AgentMessage)
    assert greeting.text == "This is the first sentence."
    assert bye.text.startswith("I'm sorry, I have to end this call now.")
    assert phone.events[-1].reason == "drained"
    assert_played_out(phone)


@pytest.mark.parametrize("farewell", [" ", "👋", "**"])
def test_a_farewell_without_words_is_asked_for(farewell):
    ends = tool_call("end_call", f'{{"farewell": "{farewell}"}}')
    phone = call(_asks, Greeter(), llm=FakeLLM(ModelTurn((ends,)), "Bye then."))
    assert [message.text for message in phone.of(AgentMessage)][-1] == "Bye then."


class Desk(Agent):
    greeting = " "


class Sends(Agent):
    @function_tool
    async def desk(self) -> tuple[Agent, str]:
        return Desk(), " "


def test_a_handoff_without_words_lets_the_model_greet():
    phone = call(_asks, Sends(), llm=FakeLLM(ModelTurn((tool_call("desk"),)), "The desk here."))
    assert [message.text for message in phone.of(AgentMessage)] == ["The desk here."]


async def _asks(phone: Phone) -> None:
    await phone.wait(2000)
    await phone.speak(600, 5000)


class Books(Agent):
    @function_tool
    async def book(self) -> str:
        await asyncio.sleep(3)
        return "booked"


def test_words_before_the_farewell_are_answered_and_not_hung_up_on():
    """The model ends the call while a slow function runs, and the caller has something to add."""

    async def script(phone: Phone) -> None:
        await phone.wait(200)
        await phone.speak(600, 1500)
        await phone.speak(1500, 6000)

    ends = tool_call("end_call", '{"farewell": "Goodbye!"}', "c2")
    llm = FakeLLM(ModelTurn(("I'll book it. ", tool_call("book"), ends)), "Five it is.")
    phone = call(script, Books(), llm=llm, stt=FakeSTT("that is all", "wait make it five", default=""))
    assert [message.text for message in phone.of(AgentMessage)] == ["I'll book it.", "Five it is."]
    context = llm.requests[1].messages
    assert [message.role for message in context[-3:]] == ["tool", "tool", "user"]
    assert "has not ended" in context[-2].text and context[-1].text == "wait make it five"
