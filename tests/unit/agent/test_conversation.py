"""Ordinary calls: greeting, turns, latency."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from phone import Phone, call

from agent import Agent, RunContext
from agent.events import (
    AgentMessage,
    AgentStartedSpeaking,
    TurnLatency,
    UserMessage,
    UserStartedSpeaking,
    UserStoppedSpeaking,
    UserTurnEnded,
)
from agent.providers.fakes import FakeLLM, FakeSTT, FakeTTS, FakeVAD, Heard, ModelTurn


def near(value: float) -> Any:
    return pytest.approx(value, abs=1e-6)


class Greeter(Agent):
    """You are kind."""

    greeting = "Hello, how can I help?"


def test_greeting_then_a_turn_decided_550_ms_after_the_speech():
    async def script(phone: Phone) -> None:
        await phone.wait(2000)
        await phone.speak(1000, 2000)

    phone = call(script, Greeter(), llm=FakeLLM("Of course."), stt=FakeSTT("I need help", Heard("never")))
    greeting, reply = phone.of(AgentMessage)
    assert (greeting.text, greeting.kind) == ("Hello, how can I help?", "greeting")
    stopped = phone.one(UserStoppedSpeaking)
    ended = phone.one(UserTurnEnded)
    assert ended.at - stopped.at == near(0.55)
    assert phone.one(UserMessage).text == "I need help"
    assert reply.text == reply.full_text == "Of course."
    assert [message.role for message in phone.session.history] == ["assistant", "user", "assistant"]


@pytest.mark.parametrize("lag_windows", [0, 1, 3])
def test_first_audio_goes_out_with_the_decision_however_late_the_vad_is(lag_windows):
    async def script(phone: Phone) -> None:
        await phone.wait(500)
        await phone.speak(1000, 2000)

    phone = call(script, vad=FakeVAD(lag_windows=lag_windows))
    latency = phone.one(TurnLatency)
    assert latency.decided_at - latency.speech_ended_at == near(0.55)
    assert latency.transcript_at < latency.decided_at
    assert latency.first_audio_at < latency.decided_at  # made ahead, unheard
    assert latency.first_packet_at - latency.decided_at <= 0.02 + 1e-6  # the next frame of the room's clock
    assert latency.first_packet_at - latency.speech_ended_at <= 0.57 + 1e-6


def test_without_preemption_the_model_is_asked_at_the_decision_and_adds_no_delay_of_ours():
    async def script(phone: Phone) -> None:
        await phone.wait(500)
        await phone.speak(1000, 2000)

    phone = call(script, preemptive=False)
    latency = phone.one(TurnLatency)
    assert latency.first_token_at == latency.first_audio_at == latency.decided_at


def test_first_audio_is_out_before_the_model_has_finished():
    llm = FakeLLM(ModelTurn(("First I say this. ", "Then there is ", "a lot more."), between_ms=500))

    async def script(phone: Phone) -> None:
        await phone.wait(500)
        await phone.speak(1000, 5000)

    phone = call(script, llm=llm, preemptive=False)
    assert phone.one(AgentStartedSpeaking).at < llm.finished_at[0] - 0.9
    assert phone.one(AgentMessage).text == "First I say this. Then there is a lot more."


def test_speech_that_goes_on_before_the_decision_discards_what_was_prepared():
    async def script(phone: Phone) -> None:
        await phone.wait(500)
        await phone.speak(800, 400)
        await phone.speak(800, 2500)

    llm = FakeLLM("Wrong.", "Right.")
    phone = call(script, llm=llm, stt=FakeSTT("I would like", "to book a table"))
    assert [message.text for message in phone.of(UserMessage)] == ["I would like to book a table"]
    assert [message.text for message in phone.of(AgentMessage)] == ["Right."]
    assert [m.text for m in phone.session.history] == ["I would like to book a table", "Right."]
    assert len(llm.requests) == 2


def test_a_recognizer_of_whole_turns_gets_the_earlier_speech_again():
    async def script(phone: Phone) -> None:
        await phone.wait(500)
        await phone.speak(800, 400)
        await phone.speak(800, 2500)

    stt = FakeSTT("I would like", "I would like to book", whole_turns=True)
    phone = call(script, stt=stt)
    assert phone.one(UserMessage).text == "I would like to book"
    times = [frame.at for frame in stt.frames]
    assert times.count(times[0]) == 2


def test_the_recognizer_gets_the_speech_and_300_ms_before_it():
    async def script(phone: Phone) -> None:
        await phone.wait(1000)
        await phone.speak(600, 2500)

    stt = FakeSTT("hello")
    phone = call(script, stt=stt)
    started = phone.one(UserStartedSpeaking).at
    assert started - stt.frames[0].at == pytest.approx(0.28, abs=0.021)
    assert len(stt.frames) == len({frame.at for frame in stt.frames})


def test_words_during_the_greeting_are_answered_after_what_may_not_be_interrupted():
    class Disclosing(Agent):
        async def on_enter(self, ctx: RunContext) -> None:
            ctx.session.say("This call is recorded for training and quality.", allow_interruptions=False)

    async def script(phone: Phone) -> None:
        await phone.wait(200)
        await phone.speak(600, 4000)

    phone = call(script, Disclosing(), llm=FakeLLM("Yes?"), stt=FakeSTT("I have a question"))
    disclosure, reply = phone.of(AgentMessage)
    assert not disclosure.interrupted
    assert phone.one(UserMessage).text == "I have a question"
    assert reply.text == "Yes?"
    assert reply.started_at > disclosure.at - 0.021


def test_words_spoken_before_the_session_was_up_are_heard():
    async def script(phone: Phone) -> None:
        await phone.wait(2000)

    async def early(phone: Phone) -> None:
        await phone.wait(0)

    import agent.testing.virtual_clock as clock
    from agent import AgentSession
    from agent.providers.fakes import FakeOffload

    async def run() -> Phone:
        session = AgentSession(
            llm=FakeLLM(), stt=FakeSTT("early words"), tts=FakeTTS(), vad=FakeVAD(), offload=FakeOffload()
        )
        phone = Phone(session)
        await phone.speak(600, 100)
        await session.start(agent=Agent(), room=phone.room, call=phone.call)
        await phone.wait(2000)
        await session.aclose()
        return phone

    phone = clock.run_virtual(run())
    assert phone.one(UserMessage).text == "early words"
    assert phone.one(UserTurnEnded).at - phone.one(UserStoppedSpeaking).at == near(0.55)


def test_options_are_frozen_and_checked():
    from agent import SessionOptions

    with pytest.raises(ValueError, match="end_silence_ms"):
        SessionOptions(end_silence_ms=0)
    with pytest.raises(ValueError, match="backchannel_max_ms"):
        replace(SessionOptions(), backchannel_max_ms=100)
