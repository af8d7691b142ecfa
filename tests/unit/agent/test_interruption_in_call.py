"""Calls in which the caller speaks while the agent is speaking."""

from __future__ import annotations

import pytest
from phone import Phone, call

from agent import Agent, RunContext, function_tool
from agent.events import (
    AgentMessage,
    AgentPaused,
    AgentResumed,
    AgentStoppedSpeaking,
    FunctionCall,
    FunctionCallOutput,
    UserMessage,
    UserStartedSpeaking,
)
from agent.providers.base import ToolCall
from agent.providers.fakes import FakeLLM, FakeSTT, FakeTTS, Heard, ModelTurn


class Talker(Agent):
    greeting = "One two three four five six seven eight nine ten."  # 200 ms a word


def speech_over_greeting(ms: float, *heard: Heard | str, after_ms: float = 3000, **options: object) -> Phone:
    async def script(phone: Phone) -> None:
        await phone.wait(700)
        await phone.speak(ms, after_ms)

    return call(script, Talker(), llm=FakeLLM("I see."), stt=FakeSTT(*heard), **options)


def test_barge_in_pauses_at_once_and_cuts_the_context_to_the_heard_words():
    phone = speech_over_greeting(800, "stop please")
    started, paused = phone.one(UserStartedSpeaking), phone.one(AgentPaused)
    assert paused.at - started.at <= 0.1
    greeting, reply = phone.of(AgentMessage)
    assert greeting.interrupted
    assert greeting.text == "One two three"
    assert greeting.full_text == Talker.greeting
    assert phone.of(AgentResumed) == []
    assert reply.text == "I see."
    first, user, second = phone.session.history
    assert (first.text, first.interrupted) == ("One two three", True)
    assert (user.text, second.text) == ("stop please", "I see.")
    # Nothing of the old sentence escapes after the pause.
    frames = [bytes(phone.room.output.played[i : i + 320]) for i in range(0, len(phone.room.output.played), 320)]
    paused_frame = round((paused.at - phone.began_at) / 0.02)
    reply_frame = round((reply.started_at - phone.began_at) / 0.02) - 1
    assert not any(any(frame) for frame in frames[paused_frame:reply_frame])


def test_without_marks_the_words_are_spread_evenly():
    async def script(phone: Phone) -> None:
        await phone.wait(1000)
        await phone.speak(800, 2500)

    phone = call(script, Talker(), stt=FakeSTT("stop it"), tts=FakeTTS(marks=False))
    cut = phone.of(AgentMessage)[0]
    assert cut.interrupted
    assert cut.text == "One two three four five"


@pytest.mark.parametrize(("ms", "text"), [(300, "okay"), (600, "uh-huh"), (120, "")])
def test_backchannels_and_noise_let_it_go_on(ms, text):
    phone = speech_over_greeting(ms, text)
    greeting = phone.one(AgentMessage)
    assert not greeting.interrupted
    assert greeting.text == Talker.greeting
    assert len(phone.of(AgentPaused)) == len(phone.of(AgentResumed)) == 1
    assert phone.of(UserMessage) == []
    assert "user_turn_ended" not in phone.types()
    assert [message.text for message in phone.session.history] == [Talker.greeting]


def test_yes_is_an_answer_while_the_question_is_being_asked():
    class Asker(Agent):
        greeting = "I have Monday at nine. Shall I book that one for you?"

    async def script(phone: Phone) -> None:
        await phone.wait(1900)
        await phone.speak(300, 3000)

    phone = call(script, Asker(), stt=FakeSTT("yes"))
    assert phone.one(UserMessage).text == "yes"
    assert phone.of(AgentMessage)[0].interrupted


def test_a_transcript_that_never_comes_does_not_leave_the_agent_paused():
    phone = speech_over_greeting(200, Heard(never=True), Heard(never=True), after_ms=9000)
    paused, resumed = phone.one(AgentPaused), phone.one(AgentResumed)
    assert 1.9 < resumed.at - paused.at < 2.5
    assert phone.of(AgentMessage)[0].text == Talker.greeting


def test_interim_words_interrupt_before_the_end_of_speech():
    phone = speech_over_greeting(900, Heard("no wait a moment", interim=((600, "no wait"),)))
    cut = phone.of(AgentStoppedSpeaking)[0]
    assert cut.interrupted
    assert cut.at < phone.one(UserMessage).ended_at


def test_interim_words_are_asked_for_only_while_they_may_decide() -> None:
    stt = FakeSTT("stop it", "and now this")

    async def script(phone: Phone) -> None:
        await phone.wait(700)
        await phone.speak(2500, 3000)
        await phone.speak(2500, 3000)

    phone = call(script, Talker(), llm=FakeLLM("I see.", "Yes."), stt=stt)
    assert [message.text for message in phone.of(UserMessage)] == ["stop it", "and now this"]
    assert stt.interims_wanted == [False, True, False]  # over the greeting until it is cut, not in the second turn


def test_interim_words_are_asked_for_while_the_agent_thinks() -> None:
    stt = FakeSTT("my order", "stop it")

    async def script(phone: Phone) -> None:
        await phone.speak(600, 1000)
        await phone.speak(2000, 3000)

    call(script, llm=FakeLLM(ModelTurn(("I see.",), first_ms=5000)), stt=stt)
    assert stt.interims_wanted[-3:] == [False, True, False]


def test_a_second_speech_before_the_verdict_does_not_confuse_it():
    async def script(phone: Phone) -> None:
        await phone.wait(700)
        await phone.speak(200, 180)
        await phone.speak(500, 3000)

    phone = call(script, Talker(), stt=FakeSTT(Heard("no", after_ms=400), "not that"))
    assert phone.of(AgentMessage)[0].interrupted
    assert phone.one(UserMessage).text == "no not that"


def test_interrupt_stops_the_model_and_the_speech():
    llm = FakeLLM(ModelTurn(("A sentence to begin with. ", "And more. " * 20), between_ms=8000))

    async def script(phone: Phone) -> None:
        await phone.wait(200)
        await phone.speak(600, 1000)
        assert phone.session.interrupt()
        await phone.wait(500)

    phone = call(script, llm=llm, llm_stall_ms=20_000)
    assert llm.cancelled == 1
    message = phone.one(AgentMessage)
    assert message.interrupted
    assert phone.session.history[-1].text == message.text


def test_going_on_just_after_the_decision_takes_the_unheard_reply_back():
    llm = FakeLLM(ModelTurn(("Too early.",), first_ms=900), "Now I know.")

    async def script(phone: Phone) -> None:
        await phone.wait(200)
        await phone.speak(600, 700)
        await phone.speak(800, 3000)

    phone = call(script, llm=llm, stt=FakeSTT("I want", "to go to Rome"))
    assert phone.of(AgentPaused) == []
    assert [message.text for message in phone.of(UserMessage)] == ["I want", "to go to Rome"]
    assert [message.text for message in phone.of(AgentMessage)] == ["Now I know."]
    assert [m.text for m in llm.requests[-1].messages if m.role == "user"] == ["I want\nto go to Rome"]


def test_a_tool_that_runs_when_the_caller_interrupts_is_finished_and_told_of():
    class Booking(Agent):
        booked = 0

        @function_tool(timeout_s=20)
        async def book(self) -> str:
            import asyncio

            await asyncio.sleep(2.5)
            self.booked += 1
            return "booked"

    llm = FakeLLM(ModelTurn(("I am booking it now. ", ToolCall("c1", "book", "{}"))), "It is done.")
    agent = Booking()

    async def script(phone: Phone) -> None:
        await phone.wait(200)
        await phone.speak(600, 1000)
        await phone.speak(800, 4000)

    phone = call(script, agent, llm=llm, stt=FakeSTT("book it", "for two people"))
    assert agent.booked == 1
    assert phone.one(FunctionCallOutput).output == "booked"
    assert len(phone.of(FunctionCall)) == 1
    roles = [(message.role, message.text) for message in llm.requests[-1].messages[1:]]
    assert roles[0] == ("user", "book it")
    assert roles[1][0] == "assistant"
    assert roles[2] == ("tool", "booked")
    assert roles[3] == ("user", "for two people")
    assert phone.of(AgentMessage)[-1].text == "It is done."


def test_endless_talk_is_answered_over():
    async def script(phone: Phone) -> None:
        await phone.speak(9000, 3000)

    phone = call(script, llm=FakeLLM("May I say something?", "Thanks."), max_turn_ms=4000)
    assert phone.of(AgentMessage)[0].text == "May I say something?"
    assert not phone.of(AgentMessage)[0].interrupted


def test_noise_that_interrupts_without_a_word_is_asked_about():
    phone = speech_over_greeting(500, "")
    greeting, question = phone.of(AgentMessage)
    assert greeting.interrupted
    assert question.text == "Sorry, I didn't catch that. Could you say it again?"


def test_a_backchannel_over_what_may_not_be_interrupted_is_no_turn():
    class Disclosing(Agent):
        async def on_enter(self, ctx: RunContext) -> None:
            ctx.session.say("This call is recorded for training and quality purposes.", allow_interruptions=False)

    async def script(phone: Phone) -> None:
        await phone.wait(500)
        await phone.speak(300, 3000)
        await phone.speak(500, 3000)

    phone = call(script, Disclosing(), stt=FakeSTT("okay", "yes"))
    assert [message.text for message in phone.of(UserMessage)] == ["yes"]
    assert phone.of(AgentPaused) == []


def test_no_more_than_ten_seconds_of_speech_wait_in_the_output():
    longest = 0.0

    async def script(phone: Phone) -> None:
        nonlocal longest
        await phone.speak(600, 700)
        for _ in range(300):
            await phone.wait(100)
            longest = max(longest, phone.room.output.queued_ms - phone.room.output.played_ms)

    text = "These are five more words. " * 40  # 40 s of audio, made at once
    phone = call(script, llm=FakeLLM(text), away_ms=None)
    assert 9_000 < longest <= 10_200
    assert phone.one(AgentMessage).interrupted  # by the end of the test
