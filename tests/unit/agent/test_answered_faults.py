"""What may fail while it is found out who has answered; the model's second opinion."""

from __future__ import annotations

import pytest
from answered_calls import (
    GREETING,
    Answered,
    Counting,
    heard,
    left,
    may_begin,
    place,
    reason,
    said,
    verdict,
)

from agent import Agent, Answering
from agent.events import AgentMessage, ProviderFailed, UserMessage
from agent.providers.base import ProviderError
from agent.providers.fakes import FakeLLM, FakeSTT, FakeTTS, FakeVAD, Heard, ModelTurn, loud
from telephony.media.answering.model import AnsweredBy, Verdict

# --- what fails ------------------------------------------------------------------------------------------------------


class Failing(Counting):
    """Its detectors break."""

    def hear(self, pcm: bytes, at: float) -> tuple[Verdict, ...]:
        self.frames.append(at)
        if len(self.frames) > 50:
            raise RuntimeError("broken")
        return ()

    def voice(self, probability: float, at: float) -> tuple[Verdict, ...]:
        return ()


def test_a_detector_that_breaks_is_dropped_and_a_person_is_talked_to():
    async def script(phone: Answered) -> None:
        await phone.wait(3000)

    who = Failing(60.0)
    phone = place(script, who=who)

    assert heard(phone)[0][0] == pytest.approx(1.02, abs=0.03)
    assert len(who.frames) == 51


def test_a_recogniser_that_fails_does_not_delay_anything():
    async def script(phone: Answered) -> None:
        await phone.speak(600, 6000)

    phone = place(
        script, stt=FakeSTT(*[Heard(error=ProviderError("fake-stt", "down"))] * 9), answering=Answering(limit_s=4.0)
    )

    assert phone.of(ProviderFailed)
    assert heard(phone)[0][0] == pytest.approx(4.0, abs=0.03)
    assert said(phone)[0] == GREETING


def test_a_vad_that_is_lost_leads_to_a_person_who_is_told():
    async def script(phone: Answered) -> None:
        await phone.closed()

    phone = place(script, vad=FakeVAD(errors=[RuntimeError("gone")] * 3), answering=Answering(limit_s=4.0))

    assert heard(phone)[0][0] == pytest.approx(4.0, abs=0.03)
    assert [kind for kind, _ in said(phone)] == ["greeting", "farewell"]
    assert reason(phone) == "error"


def test_a_vad_that_is_lost_does_not_keep_the_message_from_being_left():
    async def script(phone: Answered) -> None:
        await phone.closed()

    vad = FakeVAD(errors=[RuntimeError("gone")] * 3)
    phone = place(script, verdict(1.0, "voicemail"), may_begin(3.0), vad=vad)

    assert (left(phone), reason(phone)) == ([(True, "beep")], "voicemail")


def test_a_greeting_whose_synthesis_fails_is_apologised_for():
    async def script(phone: Answered) -> None:
        await phone.wait(6000)

    tts = FakeTTS(faults={"Sunrise": [ProviderError("fake-tts", "broken")] * 9})
    phone = place(script, verdict(1.0, "human"), tts=tts)

    assert [kind for kind, _ in said(phone)][-1] == "canned"


# --- the model's second opinion --------------------------------------------------------------------------------------


def test_the_model_is_asked_for_its_opinion_and_delays_nothing():
    async def script(phone: Answered) -> None:
        await phone.speak(1500, 5000)

    llm = FakeLLM("voicemail")
    who = Counting(4.0)
    phone = place(script, who=who, llm=llm, stt=FakeSTT("Ada and Bob are out just now."))

    assert who.opinions == [AnsweredBy.VOICEMAIL]
    assert llm.requests[0].messages[-1].text == "Ada and Bob are out just now."
    assert llm.requests[0].tools == ()
    assert said(phone) == [GREETING]


@pytest.mark.parametrize("answer", [ModelTurn(("ivr",), first_ms=900), ModelTurn(("It may be a person.",)), "unknown"])
def test_an_opinion_that_is_late_or_none_is_not_given(answer: ModelTurn | str):
    async def script(phone: Answered) -> None:
        await phone.speak(1500, 3000)

    who = Counting(4.0)
    place(script, who=who, llm=FakeLLM(answer), stt=FakeSTT("Ada and Bob are out just now."))

    assert who.opinions == []


def test_a_model_that_fails_gives_no_opinion():
    async def script(phone: Answered) -> None:
        await phone.speak(1500, 5000)

    who = Counting(4.0)
    llm = FakeLLM(ModelTurn(error=ProviderError("fake-llm", "down")))
    phone = place(script, who=who, llm=llm, stt=FakeSTT("Ada and Bob are out just now."))

    assert (who.opinions, said(phone)) == ([], [GREETING])


def test_a_short_hello_costs_no_request():
    async def script(phone: Answered) -> None:
        await phone.speak(500, 3000)

    llm = FakeLLM()
    place(script, verdict(2.0, "human"), llm=llm, stt=FakeSTT("Hello?"))

    assert llm.requests == []


def test_the_agent_s_message_stands_in_the_events_with_its_kind():
    async def script(phone: Answered) -> None:
        await phone.closed()

    phone = place(script, verdict(1.0, "voicemail"), may_begin(2.0))

    (event,) = phone.of(AgentMessage)
    assert (event.kind, event.interrupted, event.text) == ("message", False, "Please call us back.")
    assert isinstance(phone.session.persona, Agent)
    assert not phone.of(UserMessage)


# --- before the answer ------------------------------------------------------------------------------------------------


def test_what_was_heard_while_it_rang_is_nobody_s():
    async def script(phone: Answered) -> None:
        await phone.wait(3000)

    who = Counting(1.0)
    stt = FakeSTT(default="ring ring")
    phone = place(script, who=who, stt=stt, early=loud(3000))

    assert min(who.frames) >= phone.began_at - 0.3
    assert phone.since(who.frames[-1]) > 2.9
    assert said(phone) == [GREETING]
