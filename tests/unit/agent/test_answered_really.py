"""Who has answered, by the real detector and other recognisers."""

from __future__ import annotations

from answered_calls import (
    GREETING,
    Answered,
    heard,
    left,
    place,
    reason,
    said,
    told,
    verdict,
)

from agent.providers.fake_flux import EndOfTurn, FakeFlux, StartOfTurn, Update
from agent.providers.fakes import FakeLLM, FakeSTT
from telephony.media.answering.machine import AnsweringMachine


def real() -> AnsweringMachine:
    return AnsweringMachine(1000.0)  # the virtual clock begins there


def test_a_short_hello_is_greeted_within_its_second_by_the_real_detector():
    async def script(phone: Answered) -> None:
        await phone.wait(700)
        await phone.speak(500, 4000)

    phone = place(script, who=real(), stt=FakeSTT("Hello?"))

    assert told(phone) == [("human", "talk", "")]
    assert heard(phone)[0][0] <= 1.9  # the word begins at 0.7 s


def test_a_voicemail_gets_its_message_after_its_greeting_by_the_real_detector():
    async def script(phone: Answered) -> None:
        await phone.wait(700)
        await phone.speak(4000, 400)
        await phone.speak(3000)
        await phone.closed()

    stt = FakeSTT("You have reached Ada, I can't take your call right now.", "Please leave a message after the tone.")
    phone = place(script, who=real(), stt=stt)

    assert (told(phone), left(phone)) == ([("voicemail", "message", "")], [(True, "greeting_end")])
    assert heard(phone)[0][0] > 8.1


def test_a_hello_that_turns_out_to_be_a_greeting_is_put_right_by_the_real_detector():
    async def script(phone: Answered) -> None:
        await phone.wait(500)
        await phone.speak(600, 900)
        await phone.speak(4000)
        await phone.closed()

    stt = FakeSTT("Hello", "You've reached Ada, please leave a message after the beep.")
    phone = place(script, who=real(), stt=stt)

    assert told(phone) == [("human", "talk", ""), ("voicemail", "message", "human")]
    assert (said(phone)[-1], left(phone)) == (("message", "Please call us back."), [(True, "greeting_end")])


def test_a_line_without_a_word_is_silence_by_the_real_detector():
    async def script(phone: Answered) -> None:
        await phone.closed()

    phone = place(script, who=real())

    assert (heard(phone), reason(phone)) == ([], "silence")


def test_a_recogniser_that_ends_turns_itself_works_the_same():
    async def script(phone: Answered) -> None:
        await phone.speak(500, 3500)
        await phone.speak(600, 2000)

    stt = FakeFlux(
        *((200, StartOfTurn()), (300, Update("Hello")), (900, EndOfTurn("Hello?"))),
        *((4200, StartOfTurn()), (4800, EndOfTurn("What is it?"))),
    )
    phone = place(script, verdict(1.6, "human"), stt=stt, llm=FakeLLM("It's about Tuesday."), turn_detection="stt")

    assert said(phone) == [GREETING, ("reply", "It's about Tuesday.")]
    assert [message.text for message in phone.session.history][:2] == ["Hello?", "Hello, this is Sunrise Clinic."]
