"""Who has answered, from speech, tones and words at given times."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import pytest

from telephony.media.answering.machine import AnsweringMachine
from telephony.media.answering.model import AnsweredBy, AnsweringEvent, GreetingGoesOn, MessageMayBegin, Verdict
from telephony.media.answering.settings import AnsweringSettings

ANSWERED = 50.0
WINDOW_S = 0.032


@dataclass
class Sound:
    what: str
    began_at: float
    ended: float
    detail: str = ""
    sure: float = 0.95


@dataclass
class Sounds:
    """Tones at given times after the answer."""

    tones: Sequence[Sound] = ()
    sounding: bool = False
    _told: list[Sound] = field(default_factory=list)

    def hear(self, pcm: bytes, at: float) -> list[Sound]:
        now = at - ANSWERED
        self.sounding = any(tone.began_at < now < tone.ended for tone in self.tones)
        fresh = [tone for tone in self.tones if tone.ended <= now and tone not in self._told]
        self._told += fresh
        return [Sound(tone.what, tone.began_at + ANSWERED, tone.ended + ANSWERED) for tone in fresh]


class Call:
    """Times after the answer. An agent greets a person at once, for three seconds."""

    def __init__(self, *, tones: Sequence[Sound] = (), settings: AnsweringSettings | None = None) -> None:
        self.machine = AnsweringMachine(ANSWERED, settings, tones=Sounds(tones))
        self.events: list[AnsweringEvent] = []
        self._silent_at: float | None = None

    def hear(
        self,
        speech: Iterable[tuple[float, float]],
        words: Iterable[tuple[float, str]] = (),
        *,
        until: float,
        interims: Iterable[tuple[float, str]] = (),
    ) -> list[AnsweringEvent]:
        spans = list(speech)
        texts = sorted([(at, text, True) for at, text in words] + [(at, text, False) for at, text in interims])
        for index in range(1, round(until / WINDOW_S) + 1):
            at = index * WINDOW_S
            now = ANSWERED + at
            while texts and texts[0][0] <= at:
                _, text, final = texts.pop(0)
                self.take(self.machine.words(text, now, final=final), now)
            self.take(self.machine.hear(bytes(320), now), now)
            talks = any(began < at <= ended for began, ended in spans)
            self.take(self.machine.voice(0.95 if talks else 0.02, now), now)
            if (due := self.machine.due()) is not None and due <= now:
                self.take(self.machine.tick(now), now)
            if self._silent_at is not None and now >= self._silent_at:
                self.machine.we_speak(False, now)
                self._silent_at = None
        return self.events

    def take(self, events: tuple[AnsweringEvent, ...], now: float) -> None:
        self.events += events
        for event in events:
            if isinstance(event, Verdict) and event.answered_by is AnsweredBy.HUMAN:
                self.machine.we_speak(True, now)
                self._silent_at = now + 3.0
            elif isinstance(event, Verdict | GreetingGoesOn) and self._silent_at is not None:
                self.machine.we_speak(False, now)
                self._silent_at = None

    @property
    def verdicts(self) -> list[AnsweredBy]:
        return [event.answered_by for event in self.events if isinstance(event, Verdict)]


def said_at(event: AnsweringEvent) -> float:
    return event.at - ANSWERED


def test_a_short_word_and_a_pause_is_a_person_at_once() -> None:
    first = Call().hear([(0.6, 1.1)], until=12.0)[0]
    assert isinstance(first, Verdict) and first.answered_by is AnsweredBy.HUMAN and first.corrects is None
    assert said_at(first) - 0.6 <= 1.0
    assert first.probability > 0.8 and first.reasons == ("a short first word, then a pause",)


def test_a_business_is_a_person() -> None:
    call = Call()
    call.hear([(0.4, 2.6)], [(3.2, "Sunrise Clinic, how can I help?")], until=15.0)
    assert call.verdicts == [AnsweredBy.HUMAN]


def test_without_a_recogniser_a_sentence_and_a_pause_is_a_person() -> None:
    call = Call()
    event = call.hear([(0.4, 2.6)], until=15.0)[0]
    assert call.verdicts == [AnsweredBy.HUMAN] and said_at(event) < 3.3


def test_a_greeting_is_known_by_its_words_and_the_message_begins_after_the_beep() -> None:
    call = Call(tones=[Sound("beep", 6.0, 6.4)])
    words = "Hi, you've reached Bob. Please leave a message after the tone."
    call.hear([(0.5, 5.2)], interims=[(2.0, "Hi you've reached Bob"), (3.6, words)], until=9.0)
    assert call.verdicts == [AnsweredBy.VOICEMAIL]
    begin = call.events[-1]
    assert isinstance(begin, MessageMayBegin) and begin.why == "beep" and 6.4 <= said_at(begin) <= 6.7


def test_a_greeting_without_a_beep_ends_in_silence() -> None:
    call = Call()
    call.hear([(0.5, 4.0)], interims=[(3.6, "Leave me a message and I'll call you back.")], until=9.0)
    begin = call.events[-1]
    assert isinstance(begin, MessageMayBegin) and begin.why == "greeting_end" and 6.4 <= said_at(begin) <= 6.7


def test_a_greeting_that_goes_on_takes_the_message_back() -> None:
    call = Call()
    call.hear([(0.5, 4.0), (7.5, 9.0)], interims=[(3.6, "Leave me a message and I'll call you back.")], until=12.0)
    kinds = [type(event) for event in call.events]
    assert kinds == [Verdict, MessageMayBegin, GreetingGoesOn, MessageMayBegin]


def test_a_second_beep_takes_the_message_back() -> None:
    call = Call(tones=[Sound("beep", 5.0, 5.2), Sound("beep", 5.9, 6.1)])
    call.hear([(0.5, 4.0)], interims=[(3.6, "Leave me a message and I'll call you back.")], until=8.0)
    assert [said_at(event) for event in call.events[1:]] == pytest.approx([5.37, 6.12, 6.27], abs=0.05)


def test_a_recorder_that_beeps_now_and_then_does_not_take_the_message_back() -> None:
    call = Call(tones=[Sound("beep", at, at + 0.2) for at in (5.0, 20.0, 35.0)])
    call.hear([(0.5, 4.5)], [(4.7, "Please leave a message after the beep")], until=40)
    assert [type(event) for event in call.events] == [Verdict, MessageMayBegin]


def test_at_the_limit_the_message_begins_once_though_the_greeting_goes_on() -> None:
    call = Call(settings=AnsweringSettings(message_limit_s=10.0))
    call.hear([(0.5, 30.0)], [(4.7, "Please leave a message after the beep")], until=30)
    assert [type(event) for event in call.events] == [Verdict, MessageMayBegin]
    assert isinstance(call.events[-1], MessageMayBegin) and call.events[-1].why == "limit"


def test_a_hello_that_turns_out_to_be_a_greeting_is_corrected() -> None:
    call = Call()
    words = "I'm not available right now, please leave a message after the beep."
    call.hear([(0.5, 1.0), (1.7, 5.5)], [(1.3, "Hello."), (6.0, words)], until=9.0)
    assert call.verdicts == [AnsweredBy.HUMAN, AnsweredBy.VOICEMAIL]
    assert call.events[1].corrects is AnsweredBy.HUMAN  # type: ignore[union-attr]


def test_a_beep_after_a_name_corrects_a_person() -> None:
    call = Call(tones=[Sound("beep", 3.0, 3.4)])
    call.hear([(0.5, 1.2)], until=6.0)
    assert call.verdicts == [AnsweredBy.HUMAN, AnsweredBy.VOICEMAIL]
    assert isinstance(call.events[-1], MessageMayBegin) and call.events[-1].why == "beep"


def test_a_beep_that_the_vad_takes_for_speech_corrects_a_person_at_once() -> None:
    call = Call(tones=[Sound("beep", 3.0, 3.4)])
    call.hear([(0.5, 1.0), (3.0, 3.9)], [(1.5, "Thompson")], until=8)
    assert call.verdicts == [AnsweredBy.HUMAN, AnsweredBy.VOICEMAIL]
    begin = next(event for event in call.events if isinstance(event, MessageMayBegin))
    assert begin.why == "beep" and said_at(begin) <= 3.7


@pytest.mark.parametrize("recogniser", [True, False])
def test_a_person_who_picks_up_after_the_beep_is_talked_to(recogniser: bool) -> None:
    call = Call(tones=[Sound("beep", 6.0, 6.4)])
    final = [(9.6, "Hello? Hi, I'm here.")] if recogniser else []
    call.hear([(0.5, 5.2), (8.0, 9.0)], final, interims=[(4.0, "Please leave a message.")], until=13.0)
    assert call.verdicts == [AnsweredBy.VOICEMAIL, AnsweredBy.HUMAN]
    assert call.events[-1].corrects is AnsweredBy.VOICEMAIL  # type: ignore[union-attr]


def test_a_mailbox_that_is_full_takes_no_message() -> None:
    call = Call()
    interims = [(3.0, "The person you are calling is not available"), (5.0, "not available. The mailbox is full")]
    call.hear([(0.5, 3.2), (3.9, 6.0)], interims=interims, until=12.0)
    assert call.verdicts == [AnsweredBy.VOICEMAIL, AnsweredBy.MAILBOX_FULL]
    assert not any(isinstance(event, MessageMayBegin) for event in call.events)


def test_the_person_behind_a_screener_is_noticed() -> None:
    call = Call()
    asks = "Record your name and reason for calling. I'll see if this person is available."
    texts = [(6.2, asks), (12.0, "Please stay on the line."), (20.0, "Hello?")]
    call.hear([(0.5, 5.6), (10.0, 11.5), (19.0, 19.5)], texts, until=24.0)
    assert call.verdicts == [AnsweredBy.SCREENER, AnsweredBy.HUMAN]
    assert said_at(call.events[1]) > 19.0


def test_a_person_who_asks_to_stay_on_the_line_is_a_person() -> None:
    call = Call()
    words = "please stay on the line while I grab a pen"
    call.hear([(0.5, 3.0)], [(3.6, words)], interims=[(2.0, "please stay on the line")], until=15.0)
    assert call.verdicts == [AnsweredBy.HUMAN]


def test_a_menu_and_the_person_after_the_wait() -> None:
    call = Call()
    texts = [(7.0, "For sales press one. For support press two."), (40.0, "Thank you for holding, how can I help you?")]
    call.hear([(0.5, 6.5), (37.0, 39.5)], texts, until=43.0)
    assert call.verdicts == [AnsweredBy.IVR, AnsweredBy.HUMAN]


def test_special_tones_fax_and_silence() -> None:
    for what, verdict in (("fax", AnsweredBy.FAX), ("sit", AnsweredBy.MAILBOX_FULL), ("busy", AnsweredBy.MAILBOX_FULL)):
        call = Call(tones=[Sound(what, 1.0, 2.0)])
        call.hear([], until=6.0)
        assert call.verdicts == [verdict]
    call = Call()
    call.hear([], until=9.0)
    assert call.verdicts == [AnsweredBy.SILENCE]


def test_silence_may_be_taken_for_a_person() -> None:
    call = Call(settings=AnsweringSettings(silence_is_human=True))
    call.hear([], until=9.0)
    assert call.verdicts == [AnsweredBy.HUMAN]


def test_somebody_who_speaks_after_a_long_silence_is_decided_anew() -> None:
    call = Call()
    call.hear([(11.0, 11.5)], until=13.0)
    assert call.verdicts == [AnsweredBy.SILENCE, AnsweredBy.HUMAN]
    assert call.events[1].corrects is AnsweredBy.SILENCE  # type: ignore[union-attr]


def test_a_limit_ends_in_a_person_without_any_audio() -> None:
    machine = AnsweringMachine(ANSWERED, AnsweringSettings(nobody_s=30.0))
    assert machine.due() == ANSWERED + 20.0
    (verdict,) = machine.tick(ANSWERED + 20.0)
    assert isinstance(verdict, Verdict) and verdict.answered_by is AnsweredBy.HUMAN


def test_long_speech_without_words_is_a_machine() -> None:
    call = Call()
    call.hear([(0.5, 12.0)], until=14.0)
    assert call.verdicts == [AnsweredBy.VOICEMAIL]


def test_an_opinion_decides_what_is_close() -> None:
    call = Call()
    call.hear([(0.5, 6.5)], until=6.6)
    assert call.verdicts == []
    call.take(call.machine.opinion(AnsweredBy.VOICEMAIL, ANSWERED + 6.7), ANSWERED + 6.7)
    assert call.verdicts == [AnsweredBy.VOICEMAIL]


def test_it_hears_no_more_once_a_person_was_watched_for_long_enough() -> None:
    call = Call(tones=[Sound("beep", 30.0, 30.4)])
    call.hear([(0.5, 1.0), (5.0, 6.0)], until=32.0)
    assert call.verdicts == [AnsweredBy.HUMAN]
    assert call.machine.due() is None


def test_the_echo_of_our_message_is_not_the_greeting_that_goes_on() -> None:
    call = Call()
    machine = call.machine
    loud, quiet = (b"\x00\x20" * 160), (b"\x00\x02" * 160)  # -12 and -36 dBFS

    def play(pcm: bytes, talks: bool, began: float, ended: float) -> None:
        for index in range(round(began / WINDOW_S), round(ended / WINDOW_S)):
            now = ANSWERED + index * WINDOW_S
            call.take(machine.hear(pcm, now), now)
            call.take(machine.voice(0.9 if talks else 0.0, now), now)

    play(loud, True, 0.5, 4.0)
    call.take(machine.words("Leave me a message and I'll call you back", ANSWERED + 4.0, final=True), ANSWERED + 4.0)
    play(bytes(320), False, 4.0, 7.0)
    assert isinstance(call.events[-1], MessageMayBegin)
    machine.we_speak(True, ANSWERED + 7.0)
    play(quiet, True, 7.0, 10.0)
    assert isinstance(call.events[-1], MessageMayBegin)
    play(loud, True, 10.0, 12.0)
    assert isinstance(call.events[-1], GreetingGoesOn)


def test_a_radio_in_the_room_is_not_who_has_answered() -> None:
    call = Call()
    loud, radio = (b"\x00\x20" * 160), (b"\x00\x04" * 160)  # -12 and -30 dBFS
    for index in range(round(14.0 / WINDOW_S)):
        at = index * WINDOW_S
        now = ANSWERED + at
        call.take(call.machine.hear(loud if 2.0 < at <= 2.5 else radio, now), now)
        call.take(call.machine.voice(0.95, now), now)
    assert call.verdicts == [AnsweredBy.HUMAN]


def test_where_there_is_a_recogniser_long_speech_alone_is_no_machine() -> None:
    call = Call()
    call.hear(
        [(0.5, 12.0)], interims=[(2.0, "and now the weather"), (6.0, "and now the weather for the weekend")], until=15.0
    )
    assert call.verdicts == [AnsweredBy.HUMAN]


def test_whoever_talks_on_while_we_speak_is_a_machine() -> None:
    call = Call()
    call.hear([(0.5, 1.4), (2.2, 7.2)], until=10.0)
    assert call.verdicts == [AnsweredBy.HUMAN, AnsweredBy.VOICEMAIL]
    reasons = [event.reasons[0] for event in call.events if isinstance(event, Verdict)]
    assert reasons == ["a short first word, then a pause", "talks on while we speak"]


def test_a_person_who_says_a_sentence_while_we_speak_stays_one() -> None:
    call = Call()
    call.hear([(0.5, 1.4), (2.2, 5.0), (9.0, 13.5)], until=15.0)
    assert call.verdicts == [AnsweredBy.HUMAN]


def test_between_two_sentences_of_a_greeting_that_nobody_understands_nobody_is_a_person() -> None:
    call = Call()
    call.hear([(0.3, 2.8), (3.4, 5.4), (5.8, 10.0)], until=14.0)
    assert AnsweredBy.HUMAN not in call.verdicts


def test_where_words_are_understood_talking_on_makes_no_machine() -> None:
    call = Call()
    call.hear([(0.5, 1.4), (2.2, 6.2)], [(1.9, "Hello there.")], until=10.0)
    assert call.verdicts == [AnsweredBy.HUMAN]
