"""Call screeners are told who calls, and then waited for."""

from __future__ import annotations

import pytest
from answered_calls import (
    GREETING,
    Answered,
    heard,
    left,
    may_begin,
    place,
    reason,
    said,
    verdict,
)

from agent import Answering
from agent.providers.fakes import FakeLLM, FakeSTT

SCREENED = Answering(screener="Sunrise Clinic about your appointment.")


def test_a_screener_is_told_who_calls_when_it_has_asked_and_then_waited_for():
    async def script(phone: Answered) -> None:
        await phone.speak(2000, 3000)
        await phone.speak(800, 3000)
        await phone.wait(3000)

    stt = FakeSTT("Record your name and reason for calling.", "Please stay on the line.")
    llm = FakeLLM()
    events = verdict(1.0, "screener"), verdict(10.0, "human", "screener")
    phone = place(script, *events, answering=SCREENED, stt=stt, llm=llm)

    assert said(phone) == [("say", "Sunrise Clinic about your appointment."), GREETING]
    assert heard(phone) == [(pytest.approx(2.55, abs=0.03), pytest.approx(3.55, abs=0.03)), (10.0, 11.0)]
    assert llm.requests == []


def test_a_screener_s_further_question_is_answered_once_more():
    async def script(phone: Answered) -> None:
        for _ in range(5):
            await phone.speak(1000, 3000)

    stt = FakeSTT("Who is calling?", "What is it about?", "What is it about?", "Is it urgent?", "Still nobody there")
    phone = place(script, verdict(0.5, "screener"), answering=SCREENED, stt=stt)

    assert [kind for kind, _ in said(phone)] == ["say"] * 3


def test_nobody_behind_a_screener_ends_the_call():
    async def script(phone: Answered) -> None:
        await phone.closed()

    phone = place(script, verdict(1.0, "screener"), answering=Answering(screener="It's us.", screener_limit_s=15.0))

    assert reason(phone) == "screener"
    assert [phone.since(at) for _, at in phone.call.hung_up] == [pytest.approx(16.0, abs=0.1)]


def test_a_voicemail_behind_a_screener_gets_the_message():
    async def script(phone: Answered) -> None:
        await phone.closed()

    events = verdict(1.0, "screener"), verdict(6.0, "voicemail", "screener"), may_begin(8.0)
    phone = place(script, *events)

    assert said(phone) == [("say", "Hello, this is Sunrise Clinic."), ("message", "Please call us back.")]
    assert left(phone) == [(True, "beep")]
