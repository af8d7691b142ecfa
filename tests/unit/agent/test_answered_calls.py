"""Who has answered, and what they hear: each verdict, corrections, and everything that can fail meanwhile."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from answered_calls import (
    Answered,
    Caller,
    goes_on,
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

from agent import Agent, Answering, AnsweringAction, RunContext, function_tool
from agent.events import AgentMessage, MessageLeft, ProviderFailed, SilencePrompted, UserMessage, WhoAnsweredTold
from agent.providers.base import ProviderError, ToolCall
from agent.providers.fakes import FakeLLM, FakeSTT, FakeTTS, FakeVAD, Heard, ModelTurn, loud
from telephony.media.answering.model import AnsweredBy, Verdict
from telephony.media.wav import write_wav

MESSAGE = Answering(message="Please call us back.")  # 800 ms of speech
GREETING = ("greeting", "Hello, this is Sunrise Clinic.")  # 1 s


# --- a person ---------------------------------------------------------------------------------------------------------


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
    hasty = place(script, verdict(0.3, "human"), tts=FakeTTS(first_ms=700), prepared=False)

    assert heard(prepared)[0][0] == 1.0
    assert heard(unprepared)[0][0] == 1.0  # made while it was found out who answered
    assert heard(hasty)[0][0] == pytest.approx(1.0, abs=0.03)


# --- corrections ------------------------------------------------------------------------------------------------------


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


class Counting:
    """A person after `after_s`; counts what it is fed, and that time never goes back."""

    def __init__(self, after_s: float) -> None:
        self.after_s = after_s
        self.frames: list[float] = []
        self.voices: list[float] = []
        self.said: list[tuple[str, bool]] = []
        self.spoke: list[bool] = []
        self.opinions: list[AnsweredBy] = []
        self.last = 0.0
        self.begun: float | None = None
        self.told = False

    def _at(self, at: float) -> tuple[Verdict, ...]:
        assert at >= self.last
        self.last = at
        self.begun = self.begun or at
        if self.told or at < self.begun + self.after_s:
            return ()
        self.told = True
        return (Verdict(at, AnsweredBy.HUMAN, 0.9, ("counted",)),)

    def hear(self, pcm: bytes, at: float) -> tuple[Verdict, ...]:
        assert len(pcm) == 320
        self.frames.append(at)
        return self._at(at)

    def voice(self, probability: float, at: float) -> tuple[Verdict, ...]:
        self.voices.append(probability)
        return self._at(at)

    def words(self, text: str, at: float, *, final: bool) -> tuple[Verdict, ...]:
        self.said.append((text, final))
        return self._at(at)

    def opinion(self, answered_by: AnsweredBy, at: float) -> tuple[Verdict, ...]:
        self.opinions.append(answered_by)
        return self._at(at)

    def we_speak(self, speaking: bool, at: float) -> None:
        self.spoke.append(speaking)

    def due(self) -> float | None:
        return None

    def tick(self, now: float) -> tuple[Verdict, ...]:
        return self._at(now)


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


# --- messages ---------------------------------------------------------------------------------------------------------


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


# --- the others -------------------------------------------------------------------------------------------------------


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


# --- screeners --------------------------------------------------------------------------------------------------------


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


# --- what fails -------------------------------------------------------------------------------------------------------


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


# --- the model's second opinion ---------------------------------------------------------------------------------------


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
