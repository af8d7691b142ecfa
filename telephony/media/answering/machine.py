"""Who has answered: joins cadence, tones, words and a model's opinion. A person is recognised as soon as evidence
allows, a limit ends in a person, and a verdict that turns out wrong is corrected.

    hear -> tones --+
    voice -> cadence+--> weighing (log-odds) --> verdicts
    words -> wording+                      +---> message_time (of a voicemail)
"""

from __future__ import annotations

from telephony.media.answering.cadence import Cadence, Stretch
from telephony.media.answering.hearing_tones import Tone, Tones, beep_finding
from telephony.media.answering.hearing_words import HeardWords
from telephony.media.answering.loudness import Loudness
from telephony.media.answering.message_time import MessageTime
from telephony.media.answering.model import AnsweredBy, AnsweringEvent, Verdict
from telephony.media.answering.settings import AnsweringSettings
from telephony.media.answering.tones import ToneListener
from telephony.media.answering.weighing import OPINION, PRIOR, Weighing
from telephony.media.answering.wording import Wording, load_wording

__all__ = ["AnsweringMachine", "Tone", "Tones"]

_LONG_SPEECH_S, _VERY_LONG_SPEECH_S = 5.0, 8.0  # without a pause to speak of
_MUCH_SPEECH_S = 7.0  # in several stretches
_WAITS_S, _WAITS_LONG_S = 1.5, 3.0
_GOES_ON_PAUSE_S = 0.9
_GOES_ON_S = 1.2
_SHORT_TURN_S = 1.5
_NO_WORDS_S = 0.3  # more of a pause after a sentence that nobody has understood yet
_TALKS_OVER_S, _LISTENS_S = 4.5, 4.0  # of speech over our greeting, and how soon after "human" it has to begin
_OF_CADENCE = ("opening", "waits", "goes_on", "much_speech")  # where there are words, these don't make a machine
_SPEECH_GOES_ON_S = 2.0
_TURN_ENDS_S, _IN_MID_TURN = 0.3, 0.9995  # how sure of a machine, before a pause as long
_SURELY = 0.97  # a person, by words: nothing is waited for
_SURE_MUSIC = 0.95  # some voices sing
_SPEECH = 0.5  # probability, from which on its loudness is a voice's
_TURN_PAUSE_S = 0.5
_PICKS_UP = 0.75  # probability of a person after a machine
_COMES = 0.65  # after a screener, for which one waits
_OTHER_MACHINE = 0.9  # of another machine than was said
_SAID = 2.5  # what a verdict weighs in what follows
_CLEAR = 0.6  # probability of one kind of machine
_UNLIKELY = 0.12  # probability of a person at which a limit ends in a machine
_UNLIKELY_WORDS = 0.17  # the same where there is a recogniser, which would have heard a machine's words
_UNLIKELY_LONG = 0.3  # the same after an opening as long as
_GREETING_S = 10.5
_MACHINES = (
    AnsweredBy.VOICEMAIL,
    AnsweredBy.MAILBOX_FULL,
    AnsweredBy.SCREENER,
    AnsweredBy.IVR,
    AnsweredBy.FAX,
)


class AnsweringMachine:
    """Implements `WhoAnswered`. `answered_at`: of the 200 OK, loop clock. `wording`, `tones`: None: the
    package's."""

    def __init__(
        self,
        answered_at: float,
        settings: AnsweringSettings | None = None,
        *,
        wording: Wording | None = None,
        tones: Tones | None = None,
    ) -> None:
        self._answered_at = answered_at
        self._settings = settings or AnsweringSettings()
        self._tones: Tones = tones if tones is not None else ToneListener()
        self._cadence = Cadence()
        self._loudness = Loudness()
        self._words = HeardWords(wording if wording is not None else load_wording())
        self._weighing = Weighing()
        self._message = MessageTime(answered_at, self._settings)
        self._said: AnsweredBy | None = None
        self._said_at = answered_at
        self._nobody_since = answered_at
        self._we_speak = False
        self._we_spoke_until: float | None = None
        self._beep_ended: float | None = None
        self._watching = True

    # --- what is told ---

    def hear(self, pcm: bytes, at: float) -> tuple[AnsweringEvent, ...]:
        if not self._watching:
            return ()
        self._loudness.frame(pcm)
        found = self._tones.hear(pcm, at)
        self._message.tone(self._tones.sounding, at)
        for tone in found:
            self._tone(tone)
        return self._decided(at) if found else ()

    def voice(self, probability: float, at: float) -> tuple[AnsweringEvent, ...]:
        if not self._watching:
            return ()
        if self._we_speak:
            probability = 0.0 if self._loudness.is_echo else probability
        elif probability >= _SPEECH:
            if self._loudness.speech() and self._said is None:
                self._cadence = Cadence()
                for place in _OF_CADENCE:
                    self._weighing.drop(place)
            probability = 0.0 if self._loudness.is_background else probability
        self._cadence.window(probability, at)
        if self._cadence.last is not None:
            self._message.speech(self._cadence.last.began if self._cadence.talking else None, at)
            self._speech(at)
        return self._decided(at)

    def words(self, text: str, at: float, *, final: bool) -> tuple[AnsweringEvent, ...]:
        if not self._watching or not self._words.hear(text, at, final=final):
            return ()
        weights = self._words.weights(this_turn=self._said in _MACHINES)
        for answered_by in PRIOR:
            place = f"words {answered_by}"
            if answered_by in weights:
                self._weighing.add(place, f"{answered_by.replace('_', ' ')} words", {answered_by: weights[answered_by]})
            else:
                self._weighing.drop(place)
        if self._words.beep_announced:
            self._message.announced()
        return self._decided(at)

    def opinion(self, answered_by: AnsweredBy, at: float) -> tuple[AnsweringEvent, ...]:
        if not self._watching or answered_by not in PRIOR:
            return ()
        self._weighing.add("opinion", "the language model's opinion", {answered_by: OPINION})
        return self._decided(at)

    def we_speak(self, speaking: bool, at: float) -> None:
        self._we_speak = speaking
        if not speaking:
            self._we_spoke_until = at

    def due(self) -> float | None:
        if not self._watching:
            return None
        if self._said in (None, AnsweredBy.SILENCE):
            return self._next_limit()
        return self._message.due()

    def tick(self, now: float) -> tuple[AnsweringEvent, ...]:
        return self._decided(now) if self._watching else ()

    # --- what it finds ---

    def _tone(self, tone: Tone) -> None:
        spoken = self._cadence.last is not None
        match tone.what:
            case "beep":
                self._beep_ended = tone.ended
                self._message.beep(tone.ended)
                if self._said not in _MACHINES:
                    self._weighing.put_stronger(
                        "beep", beep_finding(tone, spoken, self._cadence.talking), AnsweredBy.VOICEMAIL
                    )
            case "ringback":
                self._nobody_since = tone.ended
                self._weighing.find("ringback")
            case "music":
                self._nobody_since = tone.ended
                if tone.sure >= _SURE_MUSIC and not self._loudness.is_quiet_lately:
                    self._weighing.put("music", "music")
                elif not spoken:
                    self._weighing.put("music", "music_alone")
            case "sit" | "busy" | "fax" | "dial tone":
                self._weighing.find("busy" if tone.what == "dial tone" else tone.what)

    def _speech(self, now: float) -> None:
        cadence, silence = self._cadence, self._cadence.silence_s(now)
        if self._said not in (None, AnsweredBy.SILENCE):
            self._turn(silence)
            return
        key = self._opening(silence)
        if key:
            self._weighing.put("opening", key)
        if cadence.count > 1 and not self._words.ever and cadence.speech_s > _MUCH_SPEECH_S:
            self._weighing.find("much_speech")
        if self._opening_s > _LONG_SPEECH_S:
            self._weighing.drop("waits")  # a greeting is followed by silence, too
        elif silence >= _WAITS_LONG_S:
            self._weighing.put("waits", "waits_long")
        elif silence >= _WAITS_S:
            self._weighing.put("waits", "waits")
        if cadence.talking:
            self._weighing.drop("waits")
            if cadence.last_pause_s >= _GOES_ON_PAUSE_S and cadence.last and cadence.last.length_s >= _GOES_ON_S:
                self._weighing.find("goes_on")

    def _opening(self, silence: float) -> str:
        """What the first words, until we answer, say by their length."""
        settings, length = self._settings, self._opening_s
        if self._words.ever and length > _LONG_SPEECH_S:
            return "long_speech_words"
        if length > _VERY_LONG_SPEECH_S:
            return "very_long_speech"
        if length > _LONG_SPEECH_S:
            return "long_speech"
        if length > settings.middling_first_s:
            return "long_first" if silence >= settings.long_pause_s else ""
        if length > settings.short_first_s:
            return "middling_first" if silence >= settings.middling_pause_s else ""
        return "short_first" if silence >= settings.short_pause_s else ""

    @property
    def _opening_s(self) -> float:
        first, last = self._cadence.first, self._cadence.last
        return last.ended - first.began if first and last else 0.0

    def _turn(self, silence: float) -> None:
        """After a verdict: a short stretch of its own may be a person who has picked up, or answers us."""
        last = self._cadence.last
        if last is not None and self._said is AnsweredBy.HUMAN:
            if self._talks_over(last):
                self._weighing.find("talks_over_us")
            if last.began > self._said_at - _TURN_ENDS_S and last.length_s > _SPEECH_GOES_ON_S:
                self._weighing.drop("opening")  # it was no "hello?", or not only
        if last is None or last.began <= self._said_at or last.length_s > _SHORT_TURN_S:
            self._weighing.drop("turn")
            self._weighing.drop("after beep")
            return
        if silence < _TURN_PAUSE_S:
            return
        if self._said is AnsweredBy.HUMAN:
            if self._we_spoke_until is not None and last.began > self._we_spoke_until - 0.3:
                self._weighing.find("answers_us")
            return
        if self._we_speak:
            return
        if self._said is AnsweredBy.SCREENER and self._we_spoke_until is not None and last.began > self._we_spoke_until:
            self._weighing.put("after beep", "answers_us")
        self._weighing.put("turn", "short_turn")
        if self._message.begun == "beep" and self._beep_ended is not None and last.began > self._beep_ended + 0.3:
            self._weighing.put("after beep", "speaks_after_beep")

    def _talks_over(self, last: Stretch) -> bool:
        """Whoever has been taken for a person talks on, and does not listen to us. Where there are words, they tell."""
        soon = last.began < self._said_at + _LISTENS_S
        return not self._words.ever and soon and last.ended - max(last.began, self._said_at) > _TALKS_OVER_S

    # --- what it says ---

    def _decided(self, now: float) -> tuple[AnsweringEvent, ...]:
        events: list[AnsweringEvent] = []
        if self._said is None or (self._said is AnsweredBy.SILENCE and self._cadence.last is not None):
            verdict = self._first_verdict(now)
        elif self._said is AnsweredBy.SILENCE:
            verdict = None
        elif self._said is AnsweredBy.HUMAN:
            verdict = self._correction(now)
        else:
            verdict = self._after_machine(now)
        if verdict is not None:
            events.append(verdict)
            self._take(verdict)
        if message := self._message.tick(now):
            events.append(message)
        return tuple(events)

    def _take(self, verdict: Verdict) -> None:
        before = self._said
        self._said, self._said_at = verdict.answered_by, verdict.at
        if verdict.answered_by is AnsweredBy.VOICEMAIL:
            self._message.voicemail(verdict.at)
        else:
            self._message.over()
        if verdict.answered_by in _MACHINES or before in _MACHINES:
            self._weighing = Weighing({**dict.fromkeys(PRIOR, 0.0), verdict.answered_by: _SAID})
            self._words.start_anew()

    def _first_verdict(self, now: float) -> Verdict | None:
        settings, cadence = self._settings, self._cadence
        human = self._weighing.probability(AnsweredBy.HUMAN)
        silence = cadence.silence_s(now)
        if 1 - human >= self._wanted(settings.machine_probability, silence):
            machine, probability = self._weighing.best()
            clear = probability >= _CLEAR or silence >= settings.long_pause_s
            if clear and not (self._words.ever and self._weighing.only(machine, _OF_CADENCE)):
                return self._verdict(now, machine)
        if self._said is None and now >= self._answered_at + settings.decide_s:
            return self._at_limit(now, "the limit has come")
        if cadence.last is None:
            return self._nobody(now) if now >= self._nobody_since + settings.nobody_s else None
        if silence >= settings.give_up_silence_s:
            return self._at_limit(now, "waits in silence")
        asks = self._words.person and human >= _SURELY and cadence.talking
        if asks or (human >= settings.human_probability and silence >= self._pause_wanted()):
            return self._verdict(now, AnsweredBy.HUMAN)
        return None

    def _wanted(self, probability: float, silence: float) -> float:
        """While somebody speaks, the end of what they say can still turn it into what a person says."""
        told = silence >= _TURN_ENDS_S or self._beeped or (not self._cadence.talking and self._told)
        return probability if told or not self._words.ever else max(probability, _IN_MID_TURN)

    @property
    def _beeped(self) -> bool:
        """A beep has come since the last stretch of speech began: that is over, whatever the VAD takes the beep for."""
        last, ended = self._cadence.last, self._beep_ended
        return ended is not None and (last is None or last.began < ended)

    @property
    def _told(self) -> bool:
        """A recogniser has told the words of all that was said."""
        last, final_at = self._cadence.last, self._words.final_at
        return final_at is not None and last is not None and final_at >= last.ended

    def _pause_wanted(self) -> float:
        settings, length = self._settings, self._opening_s
        if length <= settings.short_first_s:
            return settings.short_pause_s
        if self._words.person:
            return settings.short_pause_s if self._told else settings.middling_pause_s
        pause = settings.middling_pause_s if length <= settings.middling_first_s else settings.long_pause_s
        if not self._words.ever:
            return pause + _NO_WORDS_S
        return pause if self._told else pause + settings.words_wait_s

    def _at_limit(self, now: float, reason: str) -> Verdict:
        machine = self._weighing.best_machine()
        unlikely = _UNLIKELY
        if self._words.ever:
            unlikely = _UNLIKELY_WORDS if self._opening_s < _GREETING_S else _UNLIKELY_LONG
        nothing = self._words.ever and self._weighing.only(machine, _OF_CADENCE)
        if not nothing and self._weighing.probability(AnsweredBy.HUMAN) < unlikely:
            return self._verdict(now, machine)
        return self._verdict(now, AnsweredBy.HUMAN, reason)

    def _nobody(self, now: float) -> Verdict:
        if self._settings.silence_is_human:
            return self._verdict(now, AnsweredBy.HUMAN, "nobody says anything")
        return Verdict(now, AnsweredBy.SILENCE, 0.9, ("nobody says anything",), self._said)

    def _correction(self, now: float) -> Verdict | None:
        """After "human"."""
        if now > self._said_at + self._settings.watch_s:
            self._watching = False
            return None
        wanted = self._wanted(self._settings.correction_probability, self._cadence.silence_s(now))
        if 1 - self._weighing.probability(AnsweredBy.HUMAN) < wanted:
            return None
        return self._verdict(now, self._weighing.best_machine())

    def _after_machine(self, now: float) -> Verdict | None:
        human = self._weighing.probability(AnsweredBy.HUMAN)
        wanted = _COMES if self._said is AnsweredBy.SCREENER else _PICKS_UP
        if human >= wanted and self._speaks_anew and self._turn_over(now):
            return self._verdict(now, AnsweredBy.HUMAN)
        machine, probability = self._weighing.best()
        if machine is not self._said and machine in _MACHINES and probability >= _OTHER_MACHINE:
            return self._verdict(now, machine)
        return None

    @property
    def _speaks_anew(self) -> bool:
        """Since the verdict, and not just somebody in the room."""
        last = self._cadence.last
        return last is None or last.began > self._said_at

    def _turn_over(self, now: float) -> bool:
        """Whoever spoke last has finished, and a recogniser has told its words or is not going to."""
        if self._cadence.last is None or self._cadence.talking:
            return self._cadence.last is None
        return not self._words.ever or self._told or self._cadence.silence_s(now) >= _TURN_PAUSE_S + 0.8

    def _verdict(self, now: float, answered_by: AnsweredBy, reason: str = "") -> Verdict:
        probability = round(self._weighing.probability(answered_by), 3)
        reasons = self._weighing.reasons(answered_by)
        return Verdict(now, answered_by, probability, (reason, *reasons) if reason else reasons, self._said)

    def _next_limit(self) -> float | None:
        settings, last = self._settings, self._cadence.last
        if self._said is AnsweredBy.SILENCE:
            return last.ended + settings.give_up_silence_s if last and not self._cadence.talking else None
        limit = self._answered_at + settings.decide_s
        if last is None:
            return min(limit, self._nobody_since + settings.nobody_s)
        return limit if self._cadence.talking else min(limit, last.ended + settings.give_up_silence_s)
