"""Calls in which a provider raises, stalls or returns nothing: never silence, never an accidental end."""

from __future__ import annotations

import pytest
from phone import Phone, call

from agent import Agent
from agent.events import AgentMessage, ProviderFailed, TurnLatency, UserMessage
from agent.pipeline.canned import apology_tone
from agent.providers.base import ProviderError, ProviderRejected, ProviderUnavailable
from agent.providers.fakes import FakeLLM, FakeSTT, FakeTTS, FakeVAD, Heard, ModelTurn, loud

UNAVAILABLE = "I'm sorry, I can't do that just now. Please give me a moment and try again."


class Greeter(Agent):
    greeting = "Hello."


async def one_turn(phone: Phone) -> None:
    await phone.wait(1000)
    await phone.speak(800, 14_000)


def actions(phone: Phone) -> list[tuple[str, str]]:
    return [(failure.part, failure.action) for failure in phone.of(ProviderFailed)]


def run(**parts: object) -> Phone:
    return call(one_turn, away_ms=None, filler_ms=None, **parts)  # what bridges the waits: test_waiting.py


# --- the model ----------------------------------------------------------------------------------------------------


def down(provider: str = "fake-llm") -> ModelTurn:
    return ModelTurn(error=ProviderUnavailable(provider, "503"))


def test_a_model_that_fails_once_is_asked_again():
    phone = run(llm=FakeLLM(down(), "Here I am."))
    assert actions(phone) == [("llm", "retry")]
    assert phone.one(AgentMessage).text == "Here I am."


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        ((down(), down(), down()), ["retry", "retry", "canned"]),
        ((ModelTurn(error=ProviderRejected("fake-llm", "no credit")),), ["canned"]),
        ((ModelTurn(error=KeyError("bug")),), ["canned"]),
        ((ModelTurn(hang=True), ModelTurn(hang=True)), ["retry", "canned"]),
        ((ModelTurn(), ModelTurn()), ["retry", "canned"]),
    ],
    ids=["down", "rejected", "bug", "stalls", "nothing"],
)
def test_a_model_that_does_not_answer_leads_to_the_canned_answer(turns, expected):
    phone = run(llm=FakeLLM(*turns))
    assert actions(phone) == [("llm", action) for action in expected]
    message = phone.one(AgentMessage)
    assert (message.text, message.kind) == (UNAVAILABLE, "canned")
    assert phone.events[-1].reason == "agent_ended"  # closed by the test, not before


def test_a_stalled_model_is_given_up_after_five_seconds_each_time():
    phone = run(llm=FakeLLM(ModelTurn(hang=True), "Late but here."), preemptive=False)
    decided = phone.one(TurnLatency).decided_at
    assert phone.one(ProviderFailed).at - decided == pytest.approx(5.0, abs=1e-6)
    assert phone.one(AgentMessage).text == "Late but here."


@pytest.mark.parametrize("fault", [{"error": ProviderUnavailable("fake-llm", "reset")}, {"hang": True}])
def test_a_model_that_breaks_off_is_not_asked_again(fault):
    phone = run(llm=FakeLLM(ModelTurn(("This much I know. And then",), **fault)))
    assert actions(phone) == [("llm", "canned")]
    assert [message.text for message in phone.of(AgentMessage)] == ["This much I know. And then", UNAVAILABLE]


def test_three_failures_in_a_row_end_the_call_politely():
    async def script(phone: Phone) -> None:
        for _ in range(3):
            await phone.wait(500)
            await phone.speak(800, 12_000)
        await phone.closed()

    rejected = ModelTurn(error=ProviderRejected("fake-llm", "no credit"))
    phone = call(script, llm=FakeLLM(*[rejected] * 3), away_ms=None)
    assert [message.kind for message in phone.of(AgentMessage)] == ["canned", "canned", "farewell"]
    assert phone.events[-1].reason == "error"
    assert len(phone.call.hung_up) == 1


def test_a_success_between_failures_starts_the_count_anew():
    async def script(phone: Phone) -> None:
        for _ in range(5):
            await phone.wait(500)
            await phone.speak(800, 6000)

    rejected = ModelTurn(error=ProviderRejected("fake-llm", "no credit"))
    phone = call(script, llm=FakeLLM(rejected, rejected, "Fine.", rejected, rejected))
    assert phone.call.hung_up == []


# --- speech synthesis ---------------------------------------------------------------------------------------------


def tts_down(count: int = 99, what: Exception | str | None = None) -> FakeTTS:
    return FakeTTS(faults={"Hi": [what or ProviderUnavailable("fake-tts", "503")] * count})


def test_synthesis_that_fails_once_is_tried_again():
    phone = run(llm=FakeLLM("Hi there."), tts=tts_down(1))
    assert actions(phone) == [("tts", "retry")]
    assert phone.one(AgentMessage).text == "Hi there."


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (None, ["retry", "retry", "canned"]),
        (ProviderRejected("fake-tts", "no credit"), ["canned"]),
        ("hang", ["retry", "canned"]),
        ("nothing", ["retry", "canned"]),
    ],
)
def test_synthesis_that_does_not_come_leads_to_the_sentence_made_ahead(fault, expected):
    tts = tts_down(what=fault)
    phone = run(llm=FakeLLM("Hi there."), tts=tts)
    assert actions(phone) == [("tts", action) for action in expected]
    assert [message.text for message in phone.of(AgentMessage)] == [UNAVAILABLE]
    assert tts.spoken.count(UNAVAILABLE) == 1  # made at the start of the session, not now


def test_without_any_synthesis_a_tone_is_heard():
    tts = FakeTTS(faults={"": [ProviderRejected("fake-tts", "gone")] * 99})
    phone = run(llm=FakeLLM("Hi there."), tts=tts)
    assert ("tts", "ignored") in actions(phone)
    assert phone.one(AgentMessage).kind == "canned"
    assert apology_tone()[2000:4000] in bytes(phone.room.output.played)


def test_a_greeting_that_cannot_be_spoken_does_not_end_the_session():
    class Polite(Agent):
        greeting = "Hi there."

    phone = run(agent=Polite(), tts=tts_down(3))
    assert [message.kind for message in phone.of(AgentMessage)] == ["canned", "reply"]


def test_what_was_heard_before_synthesis_broke_off_is_kept():
    tts = FakeTTS(faults={"second": [ProviderRejected("fake-tts", "gone")]})
    phone = run(llm=FakeLLM("The first one. The second one."), tts=tts)
    assert [message.text for message in phone.of(AgentMessage)] == ["The first one.", UNAVAILABLE]
    assert [message.text for message in phone.session.history] == ["hello", "The first one.", UNAVAILABLE]


# --- speech recognition -------------------------------------------------------------------------------------------


def test_recognition_that_breaks_is_opened_anew_and_given_the_speech_again():
    stt = FakeSTT(Heard(error=ProviderUnavailable("fake-stt", "reset")), "I am here")
    phone = run(stt=stt)
    assert actions(phone) == [("stt", "retry")]
    assert phone.one(UserMessage).text == "I am here"
    assert stt.streams == 2
    assert len(stt.frames) == 2 * len({frame.at for frame in stt.frames})


@pytest.mark.parametrize(
    ("heard", "expected"),
    [
        (Heard(error=ProviderUnavailable("fake-stt", "reset")), ["retry", "retry", "canned"]),
        (Heard(error=ProviderError("fake-stt", "no model")), ["canned"]),
        (Heard(error=ZeroDivisionError()), ["canned"]),
        (Heard(never=True), ["retry", "canned"]),
    ],
    ids=["breaks", "fails", "bug", "stalls"],
)
def test_recognition_that_does_not_answer_leads_to_the_canned_answer(heard, expected):
    phone = run(stt=FakeSTT(heard, heard, heard))
    assert actions(phone) == [("stt", action) for action in expected]
    assert phone.of(UserMessage) == []
    assert phone.one(AgentMessage).text == UNAVAILABLE


def test_recognition_works_again_for_the_next_turn():
    async def script(phone: Phone) -> None:
        await phone.speak(800, 6000)
        await phone.speak(800, 4000)

    phone = call(script, stt=FakeSTT(Heard(error=ProviderError("fake-stt", "x")), "again"), llm=FakeLLM("Good."))
    assert [message.text for message in phone.of(AgentMessage)] == [UNAVAILABLE, "Good."]


def test_speech_without_a_word_is_asked_for_again_and_a_cough_is_passed_over():
    async def script(phone: Phone) -> None:
        await phone.speak(800, 4000)
        await phone.speak(200, 3000)

    llm = FakeLLM()
    phone = call(script, stt=FakeSTT("", ""), llm=llm)
    assert [message.text for message in phone.of(AgentMessage)] == [
        "Sorry, I didn't catch that. Could you say it again?"
    ]
    assert llm.requests == []


def test_speech_without_a_word_may_be_told_to_the_model():
    phone = run(stt=FakeSTT(""), inaudible="tell_model", llm=FakeLLM("Pardon?"))
    assert phone.of(UserMessage) == []
    assert phone.one(AgentMessage).text == "Pardon?"
    assert phone.session.history[0].text == "[inaudible]"


@pytest.mark.parametrize(("closing_s", "closed", "takes_s"), [(0.0, 1, 0.0), (0.4, 1, 0.4), (3600.0, 0, 1.0)])
def test_a_recognizers_stream_is_closed_with_the_session_and_holds_it_up_for_a_second_at_most(
    closing_s, closed, takes_s
):
    async def script(phone: Phone) -> None:
        await phone.wait(500)
        before = phone.now
        await phone.session.aclose()
        assert phone.now - before == pytest.approx(takes_s, abs=0.01)

    stt = FakeSTT(closing_s=closing_s)
    phone = call(script, stt=stt)
    assert (stt.streams, stt.closed) == (1, closed)
    assert phone.types()[-1] == "session_closed"


# --- voice activity and hooks -------------------------------------------------------------------------------------


def test_a_voice_activity_fault_is_survived():
    phone = run(vad=FakeVAD(errors=[RuntimeError("bad window")]))
    assert actions(phone) == [("vad", "retry")]
    assert phone.one(UserMessage).text == "hello"


def test_a_deaf_session_says_goodbye():
    async def script(phone: Phone) -> None:
        await phone.closed()

    phone = call(script, vad=FakeVAD(errors=[RuntimeError("gone")] * 3))
    assert actions(phone) == [("vad", "retry"), ("vad", "retry"), ("vad", "canned")]
    assert phone.events[-1].reason == "error"
    assert phone.one(AgentMessage).kind == "farewell"


def test_hooks_and_watchers_that_raise_end_nothing():
    class Broken(Agent):
        async def on_enter(self, ctx: object) -> None:
            raise RuntimeError("on_enter")

        async def on_digit(self, ctx: object, digit: str) -> None:
            raise RuntimeError("on_digit")

        async def on_exit(self, ctx: object) -> None:
            raise RuntimeError("on_exit")

    async def script(phone: Phone) -> None:
        phone.session.subscribe(lambda event: 1 / 0)
        phone.session.on_digit("1", phone.now)
        await one_turn(phone)

    phone = call(script, Broken(), llm=FakeLLM("All right."), away_ms=None)
    assert phone.one(AgentMessage).text == "All right."


def test_a_hang_up_that_fails_still_closes_the_session():
    async def script(phone: Phone) -> None:
        async def broken(reason: str = "") -> None:
            raise OSError("no socket")

        phone.call.hang_up = broken  # type: ignore[method-assign]
        await phone.session.drain()

    phone = call(script)
    assert phone.events[-1].reason == "drained"


def test_a_farewell_that_nobody_takes_ends_at_its_deadline():
    async def script(phone: Phone) -> None:
        await phone.wait(100)
        phone._clock.cancel()  # the leg takes no more frames
        before = phone.now
        await phone.session.drain("Bye.")
        assert phone.now - before == pytest.approx(5.5, abs=0.51)

    phone = call(script)
    assert phone.call.hung_up[0][0] == "drained"


def test_the_loudness_of_the_fake_caller_is_what_the_fake_vad_hears():
    assert len(loud(20)) == 320
