"""Calls in which somebody else than silence says when the caller is done: the recogniser, or the application."""

from __future__ import annotations

from typing import Any

import pytest
from phone import Phone, call

from agent import Agent, AgentSession, RunContext, SessionMisuse, function_tool
from agent.events import (
    AgentMessage,
    AgentPaused,
    AgentResumed,
    AgentStartedSpeaking,
    AgentStoppedSpeaking,
    ProviderFailed,
    SessionClosed,
    UserMessage,
    UserStartedSpeaking,
    UserStoppedSpeaking,
    UserTurnEnded,
)
from agent.providers.base import ProviderRejected, ProviderUnavailable, ToolCall
from agent.providers.fake_flux import EagerEndOfTurn, EndOfTurn, FakeFlux, StartOfTurn, TurnResumed, Update
from agent.providers.fakes import FakeLLM, FakeSTT, FakeTTS, FakeVAD, Heard, ModelTurn
from agent.providers.fallback import FallbackSTT
from agent.testing.virtual_clock import run_virtual
from telephony.rooms.fakes import FakeParticipant


class Talker(Agent):
    greeting = "One two three four five six seven eight nine ten."  # 200 ms a word


def heard_by(flux: Any, agent: Agent | None = None, *, ms: float = 6000, has_vad: bool = False, **more: Any) -> Phone:
    """A call of which only the recogniser's script hears something."""

    async def script(phone: Phone) -> None:
        await phone.wait(ms)

    return call(script, agent, stt=flux, has_vad=has_vad, turn_detection="stt", **more)


def ms_into(phone: Phone, at: float | None) -> float:
    assert at is not None
    return round((at - phone.began_at) * 1000)


# --- the recogniser ends turns --------------------------------------------------------------------------------------


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


# --- barge-in -------------------------------------------------------------------------------------------------------


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


# --- a recogniser that fails, or says nothing -----------------------------------------------------------------------


def speech_then_break(error: Exception, *, refuses: Exception | None = None, **more: Any) -> tuple[Phone, FakeFlux]:
    """The VAD hears 1000 ms from 1000 on; the stream breaks at 1500."""

    async def script(phone: Phone) -> None:
        await phone.wait(1000)
        await phone.speak(1000)
        await phone.wait(5000)

    flux = FakeFlux((1100, StartOfTurn()), (1300, Update("a table")), (1500, error))
    flux.refuses_after = refuses
    return call(script, stt=flux, turn_detection="stt", **more), flux


def test_a_stream_that_breaks_amid_a_turn_is_opened_anew_and_hears_the_turn_again():
    phone, flux = speech_then_break(ProviderUnavailable("fake-flux", "gone"), llm=FakeLLM("Gladly."))
    failed = phone.one(ProviderFailed)
    assert (failed.part, failed.action) == ("stt", "retry")
    assert flux.streams == 2
    assert flux.frames.count(flux.frames[60]) == 2  # what it had heard of the turn
    assert phone.one(UserMessage).text == "a table"
    assert phone.one(AgentMessage).text == "Gladly."


def test_while_it_is_lost_the_vad_s_silence_ends_the_turn_with_the_words_so_far():
    gone = ProviderRejected("fake-flux", "no credit")
    phone, _ = speech_then_break(gone, refuses=gone, llm=FakeLLM("Gladly."))
    ended = phone.one(UserTurnEnded)
    assert ended.reason == "silence"
    assert ended.why == "550 ms of silence, the recogniser was lost"
    assert ms_into(phone, ended.at) in range(2520, 2560)
    assert phone.one(UserMessage).text == "a table"
    assert phone.one(AgentMessage).text == "Gladly."


def test_without_a_vad_a_break_ends_the_turn_after_its_last_words():
    flux = FakeFlux(
        *((1000, StartOfTurn()), (1300, Update("a table")), (1500, ProviderUnavailable("fake-flux", "gone"))),
        *((4000, StartOfTurn()), (4500, EndOfTurn("for two"))),
    )
    phone = heard_by(flux, llm=FakeLLM("Gladly.", "Fine."))
    first, second = phone.of(UserTurnEnded)
    assert (ms_into(phone, first.at), ms_into(phone, first.speech_ended_at)) == (1850, 1300)
    assert first.why == "550 ms of silence, the recogniser was lost"
    assert [message.text for message in phone.of(UserMessage)] == ["a table", "for two"]
    assert second.reason == "end_of_turn"


def test_a_break_before_the_first_word_is_owned_up_to():
    flux = FakeFlux((1000, StartOfTurn()), (1200, ProviderUnavailable("fake-flux", "gone")))
    phone = heard_by(flux, ms=4000)
    flux_gone = [event.action for event in phone.of(ProviderFailed)]
    assert flux_gone == ["retry"]
    assert len(phone.of(UserTurnEnded)) == 1


def test_without_a_vad_a_recogniser_that_is_gone_for_good_ends_the_call_politely():
    flux = FakeFlux((1500, ProviderRejected("fake-flux", "no credit")))
    flux.refuses_after = ProviderRejected("fake-flux", "no credit")
    phone = heard_by(flux)
    assert phone.one(SessionClosed).reason == "error"
    assert phone.of(AgentMessage)[-1].kind == "farewell"


def test_a_network_that_is_down_for_some_seconds_costs_nobody_the_call():
    flux = FakeFlux((1500, ProviderUnavailable("fake-flux", "gone")), (9000, StartOfTurn()), (9500, EndOfTurn("hello")))
    flux.refuses_after = ProviderUnavailable("fake-flux", "no network")

    async def script(phone: Phone) -> None:
        await phone.wait(6000)
        flux.refuses = flux.refuses_after = None
        await phone.wait(6000)

    phone = call(script, stt=flux, has_vad=False, turn_detection="stt", away_ms=None)
    assert phone.one(UserMessage).text == "hello"


def test_a_recogniser_that_never_ends_the_turn_is_not_waited_for_for_ever():
    flux = FakeFlux((1000, StartOfTurn()), (1500, Update("a table")))
    phone = heard_by(flux)
    assert ms_into(phone, phone.one(UserStoppedSpeaking).at) == 1500
    ended = phone.one(UserTurnEnded)
    assert ms_into(phone, ended.at) == 4500
    assert ended.why == "3000 ms of silence, the recogniser did not end the turn"
    assert phone.one(UserMessage).text == "a table"


def test_behind_a_recogniser_that_detects_turns_one_that_does_not_is_flushed_by_silence():
    async def script(phone: Phone) -> None:
        await phone.wait(1000)
        await phone.speak(1000, 3000)

    flux = FakeFlux((500, ProviderUnavailable("fake-flux", "gone")))
    phone = call(script, stt=FallbackSTT([flux, FakeSTT("a table")]), llm=FakeLLM("Gladly."), turn_detection="stt")
    assert ms_into(phone, phone.one(UserTurnEnded).at) in range(2520, 2560)
    assert phone.one(UserMessage).text == "a table"


def test_a_hold_takes_what_was_said_as_a_turn():
    async def script(phone: Phone) -> None:
        await phone.wait(1500)
        phone.session.on_hold(phone.now)
        await phone.wait(2000)
        phone.session.on_resume(phone.now)
        await phone.wait(2000)

    flux = FakeFlux((1000, StartOfTurn()), (1300, Update("a table")))
    phone = call(script, stt=flux, has_vad=False, llm=FakeLLM("Gladly."), turn_detection="stt")
    assert phone.one(UserMessage).text == "a table"
    assert phone.one(UserTurnEnded).why == "the caller came back from hold"


def test_without_the_vad_that_failed_the_recogniser_goes_on_alone():
    flux = FakeFlux((2000, StartOfTurn()), (2300, Update("a table")), (3000, EndOfTurn("a table for two")))
    vad = FakeVAD(errors=[RuntimeError("no")] * 3)
    phone = heard_by(flux, llm=FakeLLM("Gladly."), vad=vad, has_vad=True)
    assert [event.part for event in phone.of(ProviderFailed)] == ["vad"] * 3
    assert phone.one(UserMessage).text == "a table for two"
    assert phone.one(AgentMessage).text == "Gladly."


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


# --- likelihoods beside the VAD -------------------------------------------------------------------------------------


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


# --- the application ends turns -------------------------------------------------------------------------------------


def test_by_hand_nothing_is_decided_before_the_commit():
    async def script(phone: Phone) -> None:
        await phone.wait(500)
        await phone.speak(800, 1500)
        await phone.speak(600, 4000)
        assert phone.of(UserTurnEnded) == phone.of(UserMessage) == []
        assert await phone.session.commit_user_turn() == "a table for two"
        await phone.wait(2000)

    phone = call(
        script, stt=FakeSTT("a table", "for two"), llm=FakeLLM("Gladly."), turn_detection="manual", away_ms=None
    )
    ended = phone.one(UserTurnEnded)
    assert (ended.reason, ended.why) == ("committed", "committed by the application")
    assert phone.one(UserMessage).text == "a table for two"
    assert phone.one(AgentMessage).text == "Gladly."


def test_push_to_talk_without_a_vad():
    async def script(phone: Phone) -> None:
        session = phone.session
        session.input.set_audio_enabled(False)
        await phone.speak(1000, 500)  # nobody listens
        session.interrupt()
        session.clear_user_turn()
        session.input.set_audio_enabled(True)
        assert session.input.audio_enabled
        await phone.speak(1200, 100)
        session.input.set_audio_enabled(False)
        assert await session.commit_user_turn() == "a table for two"
        await phone.wait(2000)

    stt = FakeSTT("", "a table for two")
    phone = call(script, Talker(), stt=stt, has_vad=False, llm=FakeLLM("Gladly."), turn_detection="manual")
    assert phone.one(UserMessage).text == "a table for two"
    assert [message.text for message in phone.of(AgentMessage)][-1] == "Gladly."


def test_by_hand_speech_does_not_interrupt_but_a_commit_does():
    async def script(phone: Phone) -> None:
        await phone.wait(500)
        await phone.speak(700, 300)
        assert phone.of(AgentStoppedSpeaking) == phone.of(AgentPaused) == []
        await phone.session.commit_user_turn()
        await phone.wait(2000)

    phone = call(script, Talker(), stt=FakeSTT("okay"), llm=FakeLLM("Gladly."), turn_detection="manual")
    greeting, reply = phone.of(AgentMessage)
    assert greeting.interrupted
    assert reply.text == "Gladly."
    assert phone.one(UserMessage).text == "okay"  # who commits "okay" means it


def test_a_cleared_turn_is_none():
    async def script(phone: Phone) -> None:
        await phone.wait(500)
        await phone.speak(700, 300)
        phone.session.clear_user_turn()
        assert await phone.session.commit_user_turn() == ""
        await phone.speak(500, 300)
        assert await phone.session.commit_user_turn() == "for two"
        await phone.wait(1000)

    phone = call(script, stt=FakeSTT("a table", "for two"), turn_detection="manual")
    assert phone.one(UserMessage).text == "for two"


def test_a_commit_need_not_be_answered():
    async def script(phone: Phone) -> None:
        await phone.wait(500)
        await phone.speak(700, 300)
        assert await phone.session.commit_user_turn(skip_reply=True) == "a table"
        await phone.wait(2000)

    llm = FakeLLM("Gladly.")
    phone = call(script, stt=FakeSTT("a table"), llm=llm, turn_detection="manual")
    assert phone.one(UserMessage).text == "a table"
    assert phone.of(AgentMessage) == llm.requests == []
    assert [message.text for message in phone.session.history] == ["a table"]


def test_a_commit_decides_in_every_mode_and_while_the_caller_speaks():
    async def script(phone: Phone) -> None:
        await phone.wait(500)
        phone._speech += phone_speech(2000)
        await phone.wait(1000)
        assert await phone.session.commit_user_turn() == "a table"
        await phone.wait(3000)

    phone = call(script, stt=FakeSTT("a table", "for two"), llm=FakeLLM(ModelTurn(hang=True)), turn_detection="vad")
    assert [message.text for message in phone.of(UserMessage)] == ["a table", "for two"]
    assert [ended.reason for ended in phone.of(UserTurnEnded)] == ["committed", "silence"]


def phone_speech(ms: float) -> bytes:
    from agent.providers.fakes import loud

    return loud(ms)


def test_a_commit_whose_text_never_comes_is_over_with_the_call():
    async def script(phone: Phone) -> None:
        await phone.wait(500)
        await phone.speak(700, 300)
        waiting.append(phone.session.commit_user_turn())
        await phone.session.aclose()
        assert await waiting[0] == ""

    waiting: list[Any] = []
    call(script, stt=FakeSTT(Heard(never=True)), turn_detection="manual")


def test_by_hand_a_caller_who_never_stops_fills_no_memory():
    async def script(phone: Phone) -> None:
        for _ in range(10):
            await phone.speak(1000)
        await phone.wait(100)
        assert await phone.session.commit_user_turn() == "one two three four"

    stt = FakeSTT("one", "two", "three", "four", "five")
    call(script, stt=stt, has_vad=False, turn_detection="manual", max_turn_ms=3000, away_ms=None)
    assert len(stt.flushed_at) == 4


# --- whose choice it is ---------------------------------------------------------------------------------------------


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
