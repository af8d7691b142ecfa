"""What a call with fallbacks sounds like, and what it reports."""

from __future__ import annotations

import pytest
from phone import Phone, call

from agent import Agent
from agent.events import AgentMessage, ProviderFailed, TurnLatency, UserMessage
from agent.providers.base import ProviderUnavailable
from agent.providers.fakes import FakeLLM, FakeSTT, FakeTTS, Heard, ModelTurn
from agent.providers.fallback import FallbackLLM, FallbackSTT, FallbackTTS

DOWN = ProviderUnavailable("first", "503")


async def two_turns(phone: Phone) -> None:
    for _ in range(2):
        await phone.wait(1000)
        await phone.speak(800, 6000)


def told(phone: Phone) -> list[tuple[str, str, str]]:
    return [(failure.part, failure.provider, failure.action) for failure in phone.of(ProviderFailed)]


def test_a_model_that_hangs_costs_one_turn_its_limit_and_no_other():
    first = FakeLLM(ModelTurn(hang=True))
    phone = call(two_turns, llm=FallbackLLM([first, FakeLLM("One.", "Two.")]), preemptive=False, away_ms=None)
    assert [message.text for message in phone.of(AgentMessage)] == ["One.", "Two."]
    assert told(phone) == [("llm", "fake-llm", "fallback")]
    waits = [latency.first_packet_at - latency.speech_ended_at for latency in phone.of(TurnLatency)]
    assert waits[0] - waits[1] == pytest.approx(2.5, abs=0.04)


def test_a_recognizer_that_fails_loses_no_word():
    stt = FallbackSTT([FakeSTT(Heard(error=DOWN)), FakeSTT("where is my order", "thanks")])
    phone = call(two_turns, stt=stt, away_ms=None)
    assert [message.text for message in phone.of(UserMessage)] == ["where is my order", "thanks"]
    assert told(phone) == [("stt", "first", "fallback")]


def test_a_recognizer_that_hangs_is_made_up_for_before_the_session_gives_up():
    stt = FallbackSTT([FakeSTT(Heard(never=True)), FakeSTT("where is my order", "thanks")])
    phone = call(two_turns, stt=stt, away_ms=None)
    assert [message.text for message in phone.of(UserMessage)] == ["where is my order", "thanks"]
    assert told(phone) == [("stt", "fake-stt", "fallback")]


def test_the_next_voice_says_it_all():
    class Greeter(Agent):
        greeting = "Hello. How can I help?"

    tts = FallbackTTS([FakeTTS(faults={"": [DOWN] * 99}), FakeTTS()])
    phone = call(lambda phone: phone.wait(3000), Greeter(), tts=tts, away_ms=None)
    assert phone.one(AgentMessage).text == "Hello. How can I help?"
    assert not phone.one(AgentMessage).interrupted
    assert set(told(phone)) == {("tts", "first", "fallback")}


def test_when_all_models_fail_the_session_retries_and_then_has_its_own_answer():
    down = [ModelTurn(error=DOWN)] * 9
    llm = FallbackLLM([FakeLLM(*down), FakeLLM(*down)])

    async def script(phone: Phone) -> None:
        await phone.wait(1000)
        await phone.speak(800, 8000)

    phone = call(script, llm=llm, away_ms=None)
    assert [action for _, _, action in told(phone)] == ["fallback", "retry", "fallback", "retry", "fallback", "canned"]
    assert phone.one(AgentMessage).kind == "canned"
