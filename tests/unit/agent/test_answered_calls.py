"""Who has answered, and what a person hears; the other verdicts; corrections."""

from __future__ import annotations

import asyncio

import pytest
from answered_calls import (
    GREETING,
    Answered,
    Caller,
    Counting,
    heard,
    left,
    may_begin,
    place,
    reason,
    said,
    told,
    verdict,
    words,
)

from agent import Answering, AnsweringAction, RunContext, function_tool
from agent.answering import BadAnswering
from agent.events import SilencePrompted, WhoAnsweredTold
from agent.providers.base import ToolCall
from agent.providers.fakes import FakeLLM, FakeSTT, FakeTTS, Heard, ModelTurn
from telephony.media.answering.model import AnsweredBy, Verdict

# --- a person --------------------------------------------------------------------------------------------------------


def test_a_person_is_greeted_at_once_and_the_hello_counts_as_answered():
    async def script(phone: Answered) -> None:
        await phone.speak(500, 3500)
        await phone.speak(600, 2000)

    llm = FakeLLM("I call about your appointment.")
    phone = place(script, verdict(1.0, "human"), llm=llm, stt=FakeSTT("Hello?", "What is it?"))

    assert heard(phone)[0] == (1.0, 2.0)  # the frame that follows the verdict
    assert said(phone) == [GREETING, ("reply", "I call about your appointment.")]
    assert [(m.role, m.text) for m in llm.requests[0].messages[-3:]] == [
        ("user", "Hello?"),
        ("assistant", "Hello, this is Sunrise Clinic."),
        ("user", "What is it?"),
    ]
    assert len(llm.requests) == 1
    assert told(phone) == [("human", "talk", "")]
    assert len(phone.session.persona.entered) == 1


def test_words_that_arrive_after_the_greeting_has_begun_stand_before_it():
    async def script(phone: Answered) -> None:
        await phone.speak(500, 4000)

    phone = place(script, verdict(0.9, "human"), stt=FakeSTT(Heard("Hello?", after_ms=900)))

    assert [(m.role, m.text) for m in phone.session.history] == [
        ("user", "Hello?"),
        ("assistant", "Hello, this is Sunrise Clinic."),
    ]


def test_somebody_who_goes_on_talking_is_not_talked_over():
    async def script(phone: Answered) -> None:
        await phone.speak(3000, 4000)

    phone = place(script, verdict(1.0, "human"))

    assert heard(phone)[0][0] == pytest.approx(3.55, abs=0.03)  # the end of the turn, after 550 ms of silence
    assert said(phone) == [GREETING]


def test_noise_that_never_ends_does_not_keep_the_agent_mute():
    async def script(phone: Answered) -> None:
        await phone.speak(12_000)

    phone = place(script, verdict(1.0, "human"), stt=FakeSTT(default=""))

    assert phone.room.output.played_ms > 0
    assert heard(phone)[0][0] == pytest.approx(9.0, abs=0.05)


def test_without_a_verdict_whoever_it_is_is_a_person_at_the_limit():
    async def script(phone: Answered) -> None:
        await phone.wait(8000)

    phone = place(script, answering=Answering(limit_s=5.0))

    assert heard(phone) == [(5.0, 6.0)]
    (event,) = phone.of(WhoAnsweredTold)
    assert (event.answered_by, event.action, event.reasons) == ("human", "talk", ("no verdict in time",))


def test_a_person_who_only_breathes_is_greeted_at_the_limit_and_asked_later():
    async def script(phone: Answered) -> None:
        for _ in range(20):
            await phone.speak(200, 600)
        await phone.wait(20_000)

    llm = FakeLLM()
    phone = place(script, answering=Answering(limit_s=5.0), llm=llm, stt=FakeSTT(default=""))

    assert said(phone)[0] == GREETING
    assert not [event for event in phone.of(SilencePrompted) if event.at < phone.began_at + 6.0]
    assert llm.requests == []


def test_a_persona_without_a_greeting_answers_what_was_said():
    async def script(phone: Answered) -> None:
        await phone.speak(500, 4000)

    llm = FakeLLM("Hello Ada, it's about Tuesday.")
    phone = place(script, verdict(2.0, "human"), agent=Caller(greeting=""), llm=llm, stt=FakeSTT("Ada speaking."))

    assert said(phone) == [("reply", "Hello Ada, it's about Tuesday.")]
    assert [message.text for message in llm.requests[0].messages if message.role == "user"] == ["Ada speaking."]


def test_a_persona_without_a_greeting_answers_a_turn_that_is_not_over_yet():
    async def script(phone: Answered) -> None:
        await phone.speak(500, 4000)

    llm = FakeLLM("Hello Ada.")
    phone = place(script, verdict(0.8, "human"), agent=Caller(greeting=""), llm=llm, stt=FakeSTT("Ada speaking."))

    assert said(phone) == [("reply", "Hello Ada.")]
    assert len(llm.requests) == 1


def test_until_the_verdict_nothing_is_answered_asked_or_said_but_all_is_heard():
    class Hasty(Caller):
        async def on_digit(self, ctx: RunContext, digit: str) -> None:
            ctx.session.say("You pressed a key.")

    async def script(phone: Answered) -> None:
        await phone.speak(700, 1500)
        phone.session.on_digit("5", phone.now)
        await phone.speak(900, 14_000)

    llm = FakeLLM()
    phone = place(script, agent=Hasty(), llm=llm, stt=FakeSTT("One", "two"), answering=Answering(limit_s=60.0))

    assert (heard(phone), llm.requests, said(phone)) == ([], [], [])
    assert not phone.of(SilencePrompted)
    assert words(phone) == ["One", "two"]
    assert [message.text for message in phone.session.history] == ["One", "two"]


def test_without_detection_whoever_answers_is_greeted_at_once():
    async def script(phone: Answered) -> None:
        await phone.wait(2000)

    phone = place(script, verdict(1.0, "fax"), answering=Answering(detect=False))

    assert heard(phone) == [(0.0, 1.0)]
    assert told(phone) == []


def test_the_greeting_is_ready_though_the_synthesis_is_slow():
    async def script(phone: Answered) -> None:
        await phone.wait(5000)

    prepared = place(script, verdict(1.0, "human"), tts=FakeTTS(first_ms=700))
    unprepared = place(script, verdict(1.0, "human"), tts=FakeTTS(first_ms=700), prepared=False)
    tts = FakeTTS(first_ms=700)
    place(script, verdict(1.0, "human"), tts=tts, background=True)
    hasty = place(script, verdict(0.3, "human"), tts=FakeTTS(first_ms=700), prepared=False)

    assert heard(prepared)[0][0] == 1.0
    assert heard(unprepared)[0][0] == 1.0  # made while it was found out who answered
    assert heard(hasty)[0][0] == pytest.approx(1.0, abs=0.03)
    assert len(tts.spoken) == len(set(tts.spoken))  # nothing twice, though it was still being made at the answer


# --- corrections -----------------------------------------------------------------------------------------------------


def test_a_hello_that_was_a_greeting_s_start_is_put_right():
    async def script(phone: Answered) -> None:
        await phone.speak(500, 1200)
        await phone.closed()

    events = verdict(0.9, "human"), verdict(1.7, "voicemail", "human"), may_begin(4.2)
    phone = place(script, *events, stt=FakeSTT("Hello, you have reached"))

    assert heard(phone) == [(0.9, 1.68), (4.2, 5.0)]  # in mid-word
    assert said(phone) == [("greeting", "Hello, this is"), ("message", "Please call us back.")]
    assert phone.session.history[1].text == "Hello, this is"
    assert told(phone) == [("human", "talk", ""), ("voicemail", "message", "human")]
    assert (left(phone), reason(phone)) == ([(True, "beep")], "voicemail")


def test_a_correction_stops_a_reply_with_its_functions():
    class Looking(Caller):
        @function_tool
        async def look(self) -> str:
            """Look."""
            await asyncio.sleep(1.0)
            return "found"

    async def script(phone: Answered) -> None:
        await phone.speak(500, 2500)
        await phone.speak(2000, 700)
        await phone.wait(4000)

    llm = FakeLLM(ModelTurn((ToolCall("1", "look", "{}"),)), "Here is what I found, in many words and more words.")
    events = verdict(0.9, "human"), verdict(6.0, "voicemail", "human")
    phone = place(script, *events, agent=Looking(), llm=llm, stt=FakeSTT("Hello", "please leave a message"))

    assert [kind for kind, _ in said(phone)] == ["greeting"]
    assert len(heard(phone)) == 1
    assert left(phone) == [(False, "hung_up")]


def test_after_the_window_nothing_listens_for_machines_any_more():
    async def script(phone: Answered) -> None:
        await phone.wait(12_000)
        fed = len(phone.who.frames)
        await phone.wait(3000)
        assert len(phone.who.frames) == fed

    who = Counting(1.0)
    phone = place(script, who=who, answering=Answering(correct_for_s=10.0))

    assert said(phone)[0] == GREETING
    assert 10.9 < phone.since(who.frames[-1]) < 11.1


def test_the_detector_is_told_all_that_is_heard_and_when_we_speak():
    async def script(phone: Answered) -> None:
        await phone.speak(400, 1200)
        await phone.wait(3000)

    who = Counting(2.0)
    place(script, who=who, stt=FakeSTT(Heard("Hello?", interim=((200, "Hel"),))))

    assert len(who.frames) > 200
    assert len(who.voices) == pytest.approx(len(who.frames) * 20 / 32, abs=2)
    assert max(who.voices) > 0.9
    assert who.said == [("Hel", False), ("Hello?", True)]
    assert who.spoke == [True, False]


# --- the others ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["fax", "silence", "mailbox_full"])
def test_nobody_to_talk_to_ends_the_call_with_who_it_was(who: str):
    async def script(phone: Answered) -> None:
        await phone.closed()

    phone = place(script, verdict(1.5, who))

    assert (heard(phone), told(phone), reason(phone)) == ([], [(who, "hang_up", "")], who)
    assert [(why, phone.since(at)) for why, at in phone.call.hung_up] == [(who, pytest.approx(1.5, abs=0.05))]


def test_an_order_says_what_to_do_for_each_verdict():
    async def script(phone: Answered) -> None:
        await phone.closed()

    actions = {AnsweredBy.HUMAN: AnsweringAction.HANG_UP}
    phone = place(script, verdict(1.0, "human"), answering=Answering(actions=actions))

    assert (heard(phone), reason(phone)) == ([], "human")


def test_a_persona_s_hook_overrides_the_action():
    class Own(Caller):
        async def on_answered_by(self, ctx: RunContext, verdict: Verdict) -> AnsweringAction | None:
            return AnsweringAction.TALK if verdict.answered_by is AnsweredBy.SILENCE else None

    async def script(phone: Answered) -> None:
        await phone.wait(4000)

    phone = place(script, verdict(1.0, "silence"), agent=Own())

    assert said(phone) == [GREETING]
    assert told(phone) == [("silence", "talk", "")]


def test_a_persona_says_itself_what_to_do_where_no_order_does():
    class Own(Caller):
        answering = Answering(actions={AnsweredBy.HUMAN: AnsweringAction.HANG_UP})

    async def script(phone: Answered) -> None:
        await phone.closed()

    assert reason(place(script, verdict(1.0, "human"), agent=Own(), ordered=False)) == "human"


def test_a_persona_s_text_with_a_variable_is_refused_without_an_order():
    class Own(Caller):
        answering = Answering(message="Hello {name}")

    async def script(phone: Answered) -> None:
        raise AssertionError("it has begun")

    with pytest.raises(BadAnswering, match="message: the call has no variable 'name'"):
        place(script, verdict(1.0, "human"), agent=Own(), ordered=False)


@pytest.mark.parametrize("way", ["raises", "hangs"])
def test_a_hook_that_fails_changes_nothing(way: str):
    class Own(Caller):
        async def on_answered_by(self, ctx: RunContext, verdict: Verdict) -> AnsweringAction | None:
            if way == "raises":
                raise RuntimeError("broken")
            await asyncio.sleep(60)
            return None

    async def script(phone: Answered) -> None:
        await phone.wait(5000)

    phone = place(script, verdict(1.0, "human"), agent=Own())

    assert said(phone) == [GREETING]
    assert heard(phone)[0][0] == pytest.approx(1.0 if way == "raises" else 3.0, abs=0.05)


@pytest.mark.parametrize(("who", "at"), [("voicemail", 2.5), ("screener", 2.5), ("human", 1.4), ("ivr", 2.0)])
def test_who_hangs_up_in_any_state_ends_the_session_at_once(who: str, at: float):
    async def script(phone: Answered) -> None:
        await phone.wait(at * 1000)
        phone.session.leg_ended()
        await phone.closed()

    phone = place(script, verdict(1.0, who))

    assert reason(phone) == "leg_ended"
    assert left(phone) == ([(False, "hung_up")] if who == "voicemail" else [])


def test_who_hangs_up_before_the_verdict_is_nobody():
    async def script(phone: Answered) -> None:
        await phone.wait(500)
        phone.session.leg_ended()
        await phone.closed()

    phone = place(script, verdict(1.0, "human"))

    assert (heard(phone), told(phone), reason(phone)) == ([], [], "leg_ended")
