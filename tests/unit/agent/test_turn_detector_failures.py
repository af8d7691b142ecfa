"""A recogniser that detects turns breaks, or says nothing."""

from __future__ import annotations

from typing import Any

from flux_calls import heard_by, ms_into
from phone import Phone, call

from agent.events import (
    AgentMessage,
    ProviderFailed,
    SessionClosed,
    UserMessage,
    UserStoppedSpeaking,
    UserTurnEnded,
)
from agent.providers.base import ProviderRejected, ProviderUnavailable
from agent.providers.fake_flux import EndOfTurn, FakeFlux, StartOfTurn, Update
from agent.providers.fakes import FakeLLM, FakeSTT, FakeVAD
from agent.providers.fallback import FallbackSTT


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
