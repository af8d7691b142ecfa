"""A caller puts the call on hold and comes back."""

from __future__ import annotations

import asyncio
import random
from typing import ClassVar

import pytest
from hold_calls import Greeter, Slow, hold, said, tool_call
from phone import Phone, call

from agent import Agent, DigitEntry, RunContext, function_tool
from agent.events import (
    AgentMessage,
    CallerBack,
    CallerHeld,
    SilencePrompted,
    UserMessage,
    UserStartedSpeaking,
    UserTurnEnded,
)
from agent.providers.fakes import FakeLLM, FakeSTT, ModelTurn


def test_a_caller_who_holds_is_not_silent_and_hears_the_open_question_again():
    async def script(phone: Phone) -> None:
        await phone.wait(3000)
        await hold(phone, 70_000)
        await phone.wait(9500)

    phone = call(script, Greeter())
    assert said(phone)[:3] == [
        ("Hello, how can I help?", "greeting"),
        ("I'm here.", "canned"),
        ("Hello, how can I help?", "say"),
    ]
    held, back = phone.one(CallerHeld), phone.one(CallerBack)
    assert back.at - held.at == pytest.approx(70.0)
    assert back.held_ms == pytest.approx(70_000)
    # The ladder begins anew when all has been said.
    [prompt] = phone.of(SilencePrompted)
    assert prompt.rung == 1
    assert prompt.at - phone.of(AgentMessage)[2].at == pytest.approx(7.0, abs=0.025)


def test_a_prompt_that_was_climbing_the_ladder_is_not_said_after_it():
    async def script(phone: Phone) -> None:
        await phone.wait(8200)  # "Are you still there?" is being said
        await hold(phone, 20_000)
        await phone.wait(3000)

    phone = call(script, Greeter())
    assert [kind for _, kind in said(phone)] == ["greeting", "silence_prompt", "canned", "say"]
    assert phone.of(AgentMessage)[1].interrupted
    assert [prompt.rung for prompt in phone.of(SilencePrompted)] == [1]


def test_what_was_being_said_is_cut_and_taken_up_at_its_sentence():
    async def script(phone: Phone) -> None:
        await phone.wait(200)
        await phone.speak(600, 2000)
        await hold(phone, 30_000)
        await phone.wait(6000)

    reply = "You have a table. It is booked for seven in the evening. Do come early."
    phone = call(script, llm=FakeLLM(reply), stt=FakeSTT("a table please"))
    cut, welcome, rest = phone.of(AgentMessage)
    assert cut.interrupted
    assert cut.text.startswith("You have a table. It is")
    assert "early" not in cut.text
    assert cut.at <= phone.one(CallerHeld).at + 0.001
    assert welcome.text == "I'm here."
    assert rest.text == rest.full_text == "It is booked for seven in the evening. Do come early."
    assert not rest.interrupted
    assert rest.started_at > welcome.at - 0.001
    # The model is told of one answer, heard whole.
    assert [message.text for message in phone.session.history][1:] == [reply, "I'm here."]
    assert not any(message.interrupted for message in phone.session.history)


def test_speech_is_cut_anew_when_the_caller_interrupts_after_the_hold():
    async def script(phone: Phone) -> None:
        await phone.wait(200)
        await phone.speak(600, 2000)
        await hold(phone, 30_000)
        await phone.wait(1000)  # "I'm here. It is booked"
        await phone.speak(1200, 2000)

    phone = call(
        script,
        llm=FakeLLM("You have a table. It is booked for seven in the evening.", "Bye."),
        stt=FakeSTT("a table", "stop that now"),
    )
    first, _, again, last = phone.of(AgentMessage)
    assert again.interrupted
    assert again.text.startswith("It is")
    assert len(again.text) < len("It is booked for seven in the evening.")
    assert last.text == "Bye."
    told = next(message for message in phone.session.history if message.text.startswith("You have"))
    assert told.interrupted
    assert len(told.text) >= len(first.text)


def test_a_reply_that_comes_on_hold_waits():
    async def script(phone: Phone) -> None:
        await phone.wait(200)
        await phone.speak(600, 700)
        await hold(phone, 20_000)
        await phone.wait(3000)

    phone = call(script, llm=FakeLLM(ModelTurn(("It is at seven.",), first_ms=3000)), stt=FakeSTT("when is it"))
    assert said(phone) == [("I'm here.", "canned"), ("It is at seven.", "reply")]
    assert phone.of(AgentMessage)[0].started_at >= phone.one(CallerBack).at


def test_music_on_hold_is_not_heard():
    async def script(phone: Phone) -> None:
        await phone.wait(3000)
        await hold(phone, 60_000, music=True)
        await phone.wait(3000)

    stt = FakeSTT()
    phone = call(script, Greeter(), stt=stt)
    assert phone.of(UserStartedSpeaking) == []
    assert stt.flushed_at == []
    assert stt.frames == []
    assert [kind for _, kind in said(phone)] == ["greeting", "canned", "say"]


def test_words_before_the_hold_are_answered_after_it():
    async def script(phone: Phone) -> None:
        await phone.wait(200)
        speaking = phone.loop.create_task(phone.speak(600))
        await phone.wait(590)
        phone._speech.clear()  # the hold cuts them off
        await hold(phone, 20_000)
        await speaking
        await phone.wait(2500)

    phone = call(script, llm=FakeLLM("Until nine."), stt=FakeSTT("how long are you open"))
    message, ended = phone.one(UserMessage), phone.one(UserTurnEnded)
    assert message.text == "how long are you open"
    assert ended.at >= phone.one(CallerBack).at
    assert ended.speech_ended_at <= phone.one(CallerHeld).at + 0.02
    assert said(phone) == [("I'm here.", "canned"), ("Until nine.", "reply")]


@pytest.mark.parametrize(("words", "kinds"), [("", []), ("There you are.", ["There you are."])])
def test_a_persona_changes_the_welcome_or_does_without(words, kinds):
    class Mine(Agent):
        greeting = "Good morning."
        canned: ClassVar[dict[str, str]] = {"welcome_back": words}

    async def script(phone: Phone) -> None:
        await phone.wait(3000)
        await hold(phone, 20_000)
        await phone.wait(2000)

    assert [text for text, _ in said(call(script, Mine()))][1:] == kinds


def test_a_call_that_begins_on_hold_is_greeted_when_somebody_hears_it():
    class Held(Greeter):
        async def on_enter(self, ctx: RunContext) -> None:
            ctx.session.on_hold(asyncio.get_running_loop().time())

    async def script(phone: Phone) -> None:
        await phone.wait(10_000)
        assert said(phone) == []
        phone.session.on_resume(phone.now)
        await phone.wait(2000)

    assert said(call(script, Held())) == [("Hello, how can I help?", "greeting")]


def test_a_hold_or_a_resumption_told_twice_counts_once():
    async def script(phone: Phone) -> None:
        await phone.wait(3000)
        phone.session.on_resume(phone.now)
        for _ in range(2):
            phone.session.on_hold(phone.now)
            await phone.wait(1000)
        for _ in range(2):
            phone.session.on_resume(phone.now)
            await phone.wait(1500)

    phone = call(script, Greeter())
    assert phone.one(CallerBack).held_ms == pytest.approx(2000)
    assert [kind for _, kind in said(phone)] == ["greeting", "canned", "say"]


def test_a_key_pressed_before_the_hold_waits_for_its_successors():
    class Menu(Agent):
        digits = DigitEntry(length=3, inter_digit_timeout_ms=3000)

    async def script(phone: Phone) -> None:
        await phone.wait(500)
        phone.session.on_digit("1", phone.now)
        await phone.wait(1000)
        await hold(phone, 20_000)
        await phone.wait(1000)
        assert phone.of(UserMessage) == []
        for digit in "23":
            phone.session.on_digit(digit, phone.now)
        await phone.wait(100)

    assert call(script, Menu()).one(UserMessage).text == "123"


def test_a_tool_that_asks_the_caller_asks_again():
    class Asks(Agent):
        @function_tool(timeout_s=None)
        async def which_day(self, ctx: RunContext) -> str:
            """Ask for the day."""
            await ctx.session.say("Which day?")
            return await ctx.session.next_message()

    async def script(phone: Phone) -> None:
        await phone.wait(200)
        await phone.speak(600, 3000)
        await hold(phone, 30_000)
        await phone.wait(3000)
        await phone.speak(600, 3000)

    model = FakeLLM(ModelTurn((tool_call("which_day"),)), "On Friday then.")
    phone = call(script, Asks(), llm=model, stt=FakeSTT("book it", "Friday"))
    assert [text for text, _ in said(phone)] == ["Which day?", "I'm here.", "Which day?", "On Friday then."]


@pytest.mark.parametrize("seed", range(25))
def test_whenever_it_happens_nothing_is_said_to_nobody_and_the_conversation_goes_on(seed: int):
    """Holds at random moments of a conversation with tools, slow models, keys, interruptions and coughs."""
    chance = random.Random(seed)

    class Busy(Slow):
        greeting = "Hello, how can I help you today? We are open until nine."
        digits = DigitEntry(length=2)

    async def script(phone: Phone) -> None:
        for _ in range(12):
            match chance.randrange(4):
                case 0:
                    await phone.speak(chance.choice([100, 300, 700, 2000]), chance.uniform(0, 3000))
                case 1:
                    phone.session.on_digit(chance.choice("123#"), phone.now)
                case _:
                    await phone.wait(chance.uniform(0, 2500))
            if chance.random() < 0.5:
                phone._speech.clear()
                await hold(phone, chance.uniform(40, 9000), music=chance.random() < 0.5)
                phone._speech.clear()
        await phone.wait(20_000)
        # It is well: who speaks now is answered.
        said_before = len(phone.of(AgentMessage))
        await phone.speak(1500, 30_000)
        assert len(phone.of(AgentMessage)) > said_before

    turns = [
        chance.choice(
            [
                "It is at seven. You are welcome. Do you need anything else?",
                ModelTurn(("One. ", "Two. ", "Three."), first_ms=chance.uniform(0, 3000), between_ms=700),
                ModelTurn((tool_call("look_up"),)),
            ]
        )
        for _ in range(30)
    ]
    words = [chance.choice(["", "okay", "when do you open", "book a table please"]) for _ in range(40)]
    phone = call(script, Busy(), llm=FakeLLM(*turns), stt=FakeSTT(*words), away_ms=60_000)
    for message in phone.of(AgentMessage):
        assert message.full_text.startswith(message.text)
    holds = list(zip(phone.of(CallerHeld), phone.of(CallerBack), strict=True))
    for held, back in holds:
        for message in phone.of(AgentMessage):
            assert not held.at + 0.001 < message.started_at < back.at - 0.001


# --- set aside by us --------------------------------------------------------------------------------------------------


def test_the_agent_of_a_caller_who_was_set_aside_goes_on_with_our_words():
    async def script(phone: Phone) -> None:
        await phone.wait(3000)
        phone.session.set_aside(phone.now)
        await phone.speak(4000)
        await phone.wait(1_000_000)
        phone.session.note("The transfer failed.")
        phone.session.take_back(phone.now, words="transfer_busy")
        await phone.wait(4000)

    phone = call(script, Greeter())
    assert said(phone) == [
        ("Hello, how can I help?", "greeting"),
        ("I'm sorry, the line is busy just now.", "canned"),
        ("Hello, how can I help?", "say"),
    ]
    assert phone.one(CallerHeld).by_us
    assert phone.of(UserMessage) == []
    assert "The transfer failed." in [message.text for message in phone.session.history]
