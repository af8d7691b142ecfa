"""Calls in which the recogniser, not silence, ends the caller's turns; which way a session or a persona chooses."""

from __future__ import annotations

from typing import Any

import pytest
from flux_calls import Talker, heard_by, ms_into
from phone import Phone, call

from agent import Agent, AgentSession, RunContext, SessionMisuse, function_tool
from agent.events import (
    AgentMessage,
    AgentPaused,
    AgentResumed,
    AgentStartedSpeaking,
    UserMessage,
    UserStartedSpeaking,
    UserStoppedSpeaking,
    UserTurnEnded,
)
from agent.providers.base import ToolCall
from agent.providers.fake_flux import EagerEndOfTurn, EndOfTurn, FakeFlux, StartOfTurn, TurnResumed, Update
from agent.providers.fakes import FakeLLM, FakeSTT, FakeTTS, FakeVAD, ModelTurn
from agent.testing.virtual_clock import run_virtual
from telephony.rooms.fakes import FakeParticipant


def test_without_a_vad_the_recogniser_ends_the_turn_and_the_answer_comes_at_once():
    flux = FakeFlux((1000, StartOfTurn()), (1200, Update("a table")), (2000, EndOfTurn("a table for two", p=0.83)))
    phone = heard_by(flux, llm=FakeLLM("Gladly."))
    assert ms_into(phone, phone.one(UserStartedSpeaking).at) == 900
    assert ms_into(phone, phone.one(UserStoppedSpeaking).at) == 2000
    ended = phone.one(UserTurnEnded)
    assert (ms_into(phone, ended.at), ended.reason) == (2000, "end_of_turn")
    assert ended.why == "the recogniser ended the turn (0.83)"
    assert phone.one(UserMessage).text == "a table for two"
    assert phone.one(AgentMessage).text == "Gladly."
    assert ms_into(phone, phone.one(AgentStartedSpeaking).at) <= 2040


def test_an_eager_end_begins_the_answer_unheard_and_the_end_lets_it_out():
    flux = FakeFlux((1000, StartOfTurn()), (1500, EagerEndOfTurn("two please")), (1900, EndOfTurn("two please")))
    llm = FakeLLM(ModelTurn(("Two it is.",), first_ms=350))
    phone = heard_by(flux, llm=llm)
    assert [ms_into(phone, request.at) for request in llm.requests] == [1500]
    assert ms_into(phone, phone.one(AgentStartedSpeaking).at) <= 1940


def test_what_was_prepared_for_an_eager_end_is_thrown_away_when_the_turn_resumes():
    flux = FakeFlux(
        *((1000, StartOfTurn()), (1500, EagerEndOfTurn("two please")), (1700, TurnResumed())),
        *(
            (1900, Update("two please and")),
            (2500, EagerEndOfTurn("two please and tea")),
            (2800, EndOfTurn("two please and tea")),
        ),
    )
    llm = FakeLLM(ModelTurn(("Just two.",), first_ms=500), "With tea.")
    phone = heard_by(flux, llm=llm)
    assert [request.messages[-1].text for request in llm.requests] == ["two please", "two please and tea"]
    assert [ms_into(phone, request.at) for request in llm.requests] == [1500, 2500]
    assert llm.cancelled == 1
    assert [message.text for message in phone.of(AgentMessage)] == ["With tea."]
    assert [message.text for message in phone.of(UserMessage)] == ["two please and tea"]
    assert len(phone.of(UserStartedSpeaking)) == 2  # it went on after the guess
    assert len(phone.of(UserTurnEnded)) == 1


def test_an_end_with_other_words_than_the_guess_is_answered_anew():
    flux = FakeFlux((1000, StartOfTurn()), (1500, EagerEndOfTurn("two")), (1900, EndOfTurn("two please")))
    llm = FakeLLM("One.", "Two.")
    phone = heard_by(flux, llm=llm)
    assert [request.messages[-1].text for request in llm.requests] == ["two", "two please"]
    assert [message.text for message in phone.of(AgentMessage)] == ["Two."]


def test_turn_after_turn():
    flux = FakeFlux(
        *((1000, StartOfTurn()), (1500, EndOfTurn("one"))),
        *((3000, StartOfTurn()), (3500, EndOfTurn("two"))),
    )
    phone = heard_by(flux, llm=FakeLLM("A.", "B."))
    assert [message.text for message in phone.of(UserMessage)] == ["one", "two"]
    assert [message.text for message in phone.of(AgentMessage)] == ["A.", "B."]
    assert flux.streams == 1
    assert flux.flushed_at == []


def test_its_start_of_turn_is_a_barge_in():
    flux = FakeFlux((1000, StartOfTurn()), (1200, Update("stop please")), (1600, EndOfTurn("stop please")))
    phone = heard_by(flux, Talker(), llm=FakeLLM("I see."))
    assert ms_into(phone, phone.one(AgentPaused).at) == 1000
    greeting, reply = phone.of(AgentMessage)
    assert greeting.interrupted
    assert greeting.text == "One two three four five"
    assert reply.text == "I see."


def test_a_backchannel_by_its_account_lets_the_agent_go_on():
    flux = FakeFlux((1000, StartOfTurn()), (1200, Update("okay")), (1500, EndOfTurn("okay")))
    phone = heard_by(flux, Talker())
    assert phone.one(AgentMessage).text == Talker.greeting
    assert len(phone.of(AgentResumed)) == 1
    assert phone.of(UserMessage) == []


def test_the_vad_if_there_is_one_is_heard_before_the_recogniser():
    async def script(phone: Phone) -> None:
        await phone.wait(1000)
        await phone.speak(700, 3000)

    flux = FakeFlux((1300, StartOfTurn()), (1400, Update("stop please")), (2000, EndOfTurn("stop please")))
    phone = call(script, Talker(), stt=flux, llm=FakeLLM("I see."), turn_detection="stt")
    assert len(phone.of(UserStartedSpeaking)) == len(phone.of(UserStoppedSpeaking)) == 1
    assert ms_into(phone, phone.one(UserStartedSpeaking).at) <= 1020
    assert ms_into(phone, phone.one(UserStoppedSpeaking).at) in range(1680, 1720)
    ended = phone.one(UserTurnEnded)
    assert ms_into(phone, ended.at) == 2000
    assert ms_into(phone, ended.speech_ended_at) in range(1680, 1720)
    assert [message.text for message in phone.of(AgentMessage)][1:] == ["I see."]


def test_a_handoff_to_another_language_is_heard_in_it():
    class Second(Agent):
        language = "de"

    class First(Agent):
        @function_tool
        async def over(self, ctx: RunContext) -> Agent:
            """Hand over."""
            return Second(greeting="Ja?")

    flux = FakeFlux(
        *((1000, StartOfTurn()), (1500, EndOfTurn("someone else please"))),
        *((4000, StartOfTurn()), (4500, EndOfTurn("einen Tisch"))),
    )
    llm = FakeLLM(ModelTurn((ToolCall("c1", "over", "{}"),)), "Gern.")
    phone = heard_by(flux, First(), llm=llm)
    assert flux.languages == ["en", "de"]
    assert [message.text for message in phone.of(UserMessage)] == ["someone else please", "einen Tisch"]


@pytest.mark.parametrize(("p", "delay_ms", "why"), [(0.9, 300, "likely"), (0.1, 3000, "unlikely")])
def test_with_a_vad_the_recogniser_s_guess_chooses_the_delay(p, delay_ms, why):
    async def script(phone: Phone) -> None:
        await phone.wait(1000)
        await phone.speak(1000, 5000)

    flux = FakeFlux((1200, EagerEndOfTurn("a table", p=p)))  # by the audio that it is sent, which begins at 700
    phone = call(script, stt=flux, turn_detection="vad")
    ended = phone.one(UserTurnEnded)
    assert (ended.at - ended.speech_ended_at) * 1000 == pytest.approx(delay_ms, abs=25)
    assert f"{why} to have finished ({p:.2f})" in ended.why


def start(**parts: Any) -> None:
    agent = parts.pop("agent", Agent())

    async def run() -> None:
        session = AgentSession(llm=FakeLLM(), **parts)
        try:
            await session.start(agent=agent, room=FakeParticipant())
        finally:
            await session.aclose()

    run_virtual(run())


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"vad": FakeVAD(), "stt": FakeSTT(), "turn_detection": "stt"}, "fake-stt does not"),
        ({"vad": FakeVAD(), "turn_detection": "stt"}, "there is no STT"),
        ({"stt": FakeSTT()}, "needs a VAD"),
        ({"vad": FakeVAD(), "stt": FakeFlux(), "turn_detection": "realtime"}, "not available yet"),
    ],
)
def test_a_session_that_cannot_detect_turns_so_says_so_at_its_start(parts, message):
    with pytest.raises(SessionMisuse, match=message):
        start(**parts)


def test_a_persona_has_its_own_way_and_is_refused_as_the_session_is():
    class Odd(Agent):
        turn_detection = "realtime"

    with pytest.raises(SessionMisuse, match="not available yet"):
        start(vad=FakeVAD(), stt=FakeSTT(), agent=Odd())
    with pytest.raises(ValueError, match="turn_detection must be one of vad, stt, manual, realtime"):
        call(None, turn_detection="psychic")  # type: ignore[arg-type]


def test_a_handoff_changes_who_ends_turns():
    class Second(Agent):
        turn_detection = "manual"

    class First(Agent):
        @function_tool
        async def over(self, ctx: RunContext) -> Agent:
            """Hand over."""
            return Second(greeting="Now press the button.")

    async def script(phone: Phone) -> None:
        await phone.wait(500)
        await phone.speak(700, 3000)
        await phone.speak(700, 3000)
        assert len(phone.of(UserTurnEnded)) == 1
        assert await phone.session.commit_user_turn() == "for two"
        await phone.wait(1500)

    llm = FakeLLM(ModelTurn((ToolCall("c1", "over", "{}"),)), "Gladly.")
    phone = call(script, First(), stt=FakeSTT("a table", "for two"), llm=llm, away_ms=None)
    assert [ended.reason for ended in phone.of(UserTurnEnded)] == ["silence", "committed"]


def test_a_handoff_to_a_recogniser_s_turns_and_back():
    class First(Agent):
        @function_tool
        async def over(self, ctx: RunContext) -> Agent:
            """Hand over."""
            return Second(greeting="Go on.")

    class Second(Agent):
        turn_detection = "stt"

        @function_tool
        async def back(self, ctx: RunContext) -> Agent:
            """Hand over."""
            return First(greeting="Back.")

    async def script(phone: Phone) -> None:
        await phone.wait(500)
        await phone.speak(600, 2000)
        await phone.speak(600, 3000)
        await phone.speak(600, 3000)

    flux = FakeFlux((100, Update("one")), (2500, StartOfTurn()), (3000, EndOfTurn("two")), (7100, Update("three")))
    llm = FakeLLM(ModelTurn((ToolCall("c1", "over", "{}"),)), ModelTurn((ToolCall("c2", "back", "{}"),)), "Yes.")
    phone = call(script, First(), stt=flux, llm=llm, tts=FakeTTS())
    assert [ended.reason for ended in phone.of(UserTurnEnded)] == ["silence", "end_of_turn", "silence"]
    assert [message.text for message in phone.of(UserMessage)][:2] == ["one", "two"]
