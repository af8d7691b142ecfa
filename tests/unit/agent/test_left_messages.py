"""Messages for voicemails: when, whole, again, interrupted, and what became of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from answered_calls import (
    GREETING,
    Answered,
    goes_on,
    heard,
    left,
    may_begin,
    place,
    reason,
    said,
    verdict,
)

from agent import Answering
from agent.events import MessageLeft
from agent.providers.base import ProviderError
from agent.providers.fakes import FakeLLM, FakeSTT, FakeTTS, loud
from telephony.media.wav import write_wav


def test_a_message_is_spoken_whole_after_the_beep_and_then_hung_up():
    async def script(phone: Answered) -> None:
        await phone.speak(3000, 0)
        await phone.closed()

    phone = place(script, verdict(1.5, "voicemail"), may_begin(4.2), stt=FakeSTT("leave a message"))

    assert heard(phone) == [(4.2, 5.0)]
    assert phone.one(MessageLeft).text == "Please call us back."
    assert (left(phone), reason(phone)) == ([(True, "beep")], "voicemail")
    assert phone.call.played_ms_at_hang_up == 800.0
    assert [(why, phone.since(at)) for why, at in phone.call.hung_up] == [("voicemail", 5.02)]
    assert phone.events.index(phone.one(MessageLeft)) < len(phone.events) - 1


def test_a_message_that_the_greeting_interrupts_starts_again_from_its_beginning():
    async def script(phone: Answered) -> None:
        await phone.closed()

    events = verdict(1.5, "voicemail"), may_begin(3.0, "greeting_end"), goes_on(3.4), may_begin(6.0)
    phone = place(script, *events)

    assert heard(phone) == [(3.0, 3.38), (6.0, 6.8)]
    assert said(phone) == [("message", "Please"), ("message", "Please call us back.")]
    assert left(phone) == [(True, "beep")]


def test_a_message_is_not_delivered_when_the_mailbox_hangs_up_in_it():
    async def script(phone: Answered) -> None:
        await phone.wait(3300)
        phone.session.leg_ended()
        await phone.closed()

    phone = place(script, verdict(1.5, "voicemail"), may_begin(3.0))

    assert left(phone) == [(False, "hung_up")]
    assert phone.types()[-1] == "session_closed"
    assert reason(phone) == "leg_ended"


def test_speech_on_the_line_does_not_interrupt_the_message():
    async def script(phone: Answered) -> None:
        await phone.wait(3100)
        await phone.speak(2000)
        await phone.closed()

    phone = place(script, verdict(1.5, "voicemail"), may_begin(3.0), answering=Answering(message="one two three " * 5))

    assert heard(phone) == [(3.0, 6.0)]
    assert left(phone) == [(True, "beep")]


def test_a_person_who_picks_up_in_the_middle_of_the_message_is_talked_to():
    async def script(phone: Answered) -> None:
        await phone.wait(3200)
        await phone.speak(500, 6000)
        await phone.speak(500, 3000)

    llm = FakeLLM("It is about Tuesday.")
    events = verdict(1.5, "voicemail"), may_begin(3.0), verdict(3.6, "human", "voicemail")
    phone = place(script, *events, llm=llm, stt=FakeSTT("Hello, I'm here!", "What is it?"))

    assert heard(phone)[0] == (3.0, 3.58)
    assert said(phone) == [
        ("message", "Please call"),
        ("canned", "Oh, hello! Sorry, I was just leaving you a message."),
        GREETING,
        ("reply", "It is about Tuesday."),
    ]
    assert left(phone) == [(False, "picked_up")]
    assert heard(phone)[1][0] == pytest.approx(4.23, abs=0.03)  # when the person is done


def test_without_a_message_a_voicemail_is_hung_up_on():
    async def script(phone: Answered) -> None:
        await phone.closed()

    phone = place(script, verdict(1.5, "voicemail"), answering=Answering())

    assert (heard(phone), left(phone), reason(phone)) == ([], [], "voicemail")
    assert [phone.since(at) for _, at in phone.call.hung_up] == [pytest.approx(1.5, abs=0.05)]


def test_a_recording_is_the_message(tmp_path: Path):
    async def script(phone: Answered) -> None:
        await phone.closed()

    file = tmp_path / "message.wav"
    write_wav(file, loud(1200, 500))
    events = verdict(1.0, "voicemail"), may_begin(2.0)
    order = Answering(message=f"file:{file}")
    for prepared in (True, False):
        phone = place(script, *events, answering=order, prepared=prepared)
        assert heard(phone) == [(1.98, 3.18)]  # with the frame in which the beep is known to be over
        assert (left(phone), phone.one(MessageLeft).text) == ([(True, "beep")], "[message.wav]")


def test_a_recording_that_is_gone_is_told_of_and_nothing_is_said():
    async def script(phone: Answered) -> None:
        await phone.closed()

    order = Answering(message="file:/nowhere/message.wav")
    phone = place(script, verdict(1.0, "voicemail"), may_begin(2.0), answering=order, prepared=False)

    assert (heard(phone), left(phone), reason(phone)) == ([], [(False, "speech_failed")], "voicemail")


def test_a_message_whose_synthesis_fails_is_not_delivered():
    async def script(phone: Answered) -> None:
        await phone.closed()

    tts = FakeTTS(faults={"call us": [ProviderError("fake-tts", "broken")] * 9})
    phone = place(script, verdict(1.0, "voicemail"), may_begin(2.0), tts=tts)

    assert (heard(phone), left(phone), reason(phone)) == ([], [(False, "speech_failed")], "voicemail")


def test_a_greeting_without_end_gets_no_message():
    async def script(phone: Answered) -> None:
        await phone.closed()

    phone = place(script, verdict(1.0, "voicemail"))

    assert (heard(phone), left(phone), reason(phone)) == ([], [(False, "never_began")], "voicemail")


def test_another_end_of_the_call_in_the_message_leaves_it_undelivered():
    async def script(phone: Answered) -> None:
        await phone.wait(2200)
        await phone.session.drain()

    order = Answering(message="One two three four five six. Seven eight nine ten.")
    phone = place(script, verdict(1.0, "voicemail"), may_begin(2.0), answering=order)

    assert (left(phone), reason(phone)) == ([(False, "hung_up")], "drained")
