"""The pure machines, without a loop."""

import pytest

from agent.turns.backchannel import is_backchannel
from agent.turns.dead_air import DeadAir
from agent.turns.digits import DigitCollector, DigitEntry
from agent.turns.endpointing import Endpointing, EndpointingSettings, FlushSpeech, TurnDecided
from agent.turns.interruption import Interrupt, Interruption, InterruptionSettings, PauseOutput, ResumeOutput, Situation
from agent.turns.limits import FailureCount, LengthLimit
from agent.turns.signals import Digit, EndOfTurn, Final, Interim, SpeechEnded, SpeechStarted, TurnResumed
from agent.turns.silence import SilenceLadder
from agent.turns.voice import VoiceActivity


def endpointing() -> Endpointing:
    return Endpointing(EndpointingSettings(max_turn_ms=10_000))


def test_the_turn_is_decided_550_ms_after_speech_ended_in_the_audio():
    machine = endpointing()
    assert machine.heard(SpeechStarted(1.0, 1.05)) == ()
    assert machine.heard(SpeechEnded(2.0, 2.12)) == ()
    assert machine.deadline == pytest.approx(2.16)
    assert machine.tick(2.16) == (FlushSpeech(),)
    assert machine.deadline == pytest.approx(2.55)
    assert machine.tick(2.55) == (TurnDecided(2.55, 1.0, 2.0, "silence", "550 ms of silence"),)
    assert machine.deadline is None


def test_an_end_that_is_noticed_late_is_flushed_at_once_but_still_counted_from_the_audio():
    machine = endpointing()
    machine.heard(SpeechStarted(1.0, 1.05))
    assert machine.heard(SpeechEnded(2.0, 2.3)) == (FlushSpeech(),)
    assert machine.deadline == pytest.approx(2.55)


def test_speech_that_goes_on_after_a_flush_is_the_same_turn():
    machine = endpointing()
    machine.heard(SpeechStarted(1.0, 1.05))
    machine.heard(SpeechEnded(2.0, 2.1))
    machine.tick(2.16)
    machine.heard(SpeechStarted(2.4, 2.45))
    machine.heard(SpeechEnded(3.0, 3.1))
    assert machine.tick(3.16) == (FlushSpeech(),)
    assert machine.tick(3.55) == (TurnDecided(3.55, 1.0, 3.0, "silence", "550 ms of silence"),)


def test_endless_talk_is_cut_into_turns():
    machine = endpointing()
    machine.heard(SpeechStarted(1.0, 1.05))
    assert machine.deadline == pytest.approx(11.0)
    assert machine.tick(11.0) == (FlushSpeech(), TurnDecided(11.0, 1.0, 11.0, "forced", "10 s of talk"))
    assert machine.deadline == pytest.approx(21.0)


def test_a_likelihood_chooses_between_the_least_and_the_longest_delay():
    def decided(p: float, at: float) -> TurnDecided:
        machine = endpointing()
        machine.heard(SpeechStarted(1.0, 1.05))
        machine.heard(SpeechEnded(2.0, 2.12))
        actions = machine.heard(EndOfTurn(p, at, eager=True))
        while not any(isinstance(action, TurnDecided) for action in actions):
            assert machine.deadline is not None
            actions = machine.tick(machine.deadline)
        [turn] = [action for action in actions if isinstance(action, TurnDecided)]
        return turn

    assert decided(0.9, 2.2) == TurnDecided(
        2.3, 1.0, 2.0, "silence", "300 ms of silence, likely to have finished (0.90)"
    )
    assert decided(0.9, 2.45).at == 2.45  # it came late: never decided in the past
    unlikely = decided(0.2, 2.2)
    assert unlikely.at == pytest.approx(5.0)
    assert unlikely.why == "3000 ms of silence, unlikely to have finished (0.20)"


def test_a_likelihood_is_forgotten_when_the_caller_goes_on():
    machine = endpointing()
    machine.heard(SpeechStarted(1.0, 1.05))
    machine.heard(SpeechEnded(2.0, 2.12))
    machine.heard(EndOfTurn(0.1, 2.2, eager=True))
    machine.heard(TurnResumed(2.3))
    assert machine.deadline == pytest.approx(2.55)
    machine.heard(EndOfTurn(0.1, 2.35, eager=True))
    machine.heard(SpeechStarted(2.4, 2.45))
    machine.heard(SpeechEnded(2.8, 2.9))
    machine.tick(2.96)
    assert machine.deadline == pytest.approx(3.35)


def by_recogniser() -> Endpointing:
    return Endpointing(EndpointingSettings(detection="stt"))


def test_the_recogniser_ends_the_turn_and_silence_only_when_it_does_not():
    machine = by_recogniser()
    machine.heard(SpeechStarted(1.0, 1.05))
    machine.heard(SpeechEnded(2.0, 2.1))
    assert machine.heard(EndOfTurn(0.4, 2.2, eager=True)) == ()
    assert machine.deadline == pytest.approx(5.0)
    why = "the recogniser ended the turn (0.81)"
    assert machine.heard(EndOfTurn(0.81, 2.4)) == (TurnDecided(2.4, 1.0, 2.0, "end_of_turn", why),)
    machine.heard(SpeechStarted(6.0, 6.05))
    machine.heard(SpeechEnded(7.0, 7.1))
    flush, decided = machine.tick(10.0)
    assert flush == FlushSpeech()
    assert isinstance(decided, TurnDecided)
    assert decided.why == "3000 ms of silence, the recogniser did not end the turn"


def test_a_lost_recogniser_leaves_the_end_to_silence():
    machine = by_recogniser()
    machine.heard(SpeechStarted(1.0, 1.05))
    machine.heard(SpeechEnded(2.0, 2.1))
    assert machine.lost(2.2) == ()
    [_, decided] = machine.tick(2.55)
    assert isinstance(decided, TurnDecided)
    assert decided.why == "550 ms of silence, the recogniser was lost"
    machine.recovered()
    machine.heard(SpeechStarted(3.0, 3.05))
    machine.heard(SpeechEnded(4.0, 4.1))
    assert machine.deadline == pytest.approx(7.0)


def test_by_hand_only_a_commit_decides():
    machine = Endpointing(EndpointingSettings(detection="manual"))
    assert machine.commit(0.5) == ()
    machine.heard(SpeechStarted(1.0, 1.05))
    machine.heard(SpeechEnded(2.0, 2.1))
    assert machine.tick(2.16) == (FlushSpeech(),)
    assert machine.deadline is None
    assert machine.tick(900.0) == ()
    assert machine.commit(901.0) == (TurnDecided(901.0, 1.0, 2.0, "committed", "committed by the application"),)
    assert machine.state == "idle"


def test_a_commit_amid_speech_cuts_it_in_two():
    machine = Endpointing(EndpointingSettings(detection="manual"))
    machine.heard(SpeechStarted(1.0, 1.05))
    flush, decided = machine.commit(2.0)
    assert (flush, decided) == (FlushSpeech(), TurnDecided(2.0, 1.0, 2.0, "committed", "committed by the application"))
    machine.heard(SpeechEnded(3.0, 3.1))
    [flush, decided] = machine.commit(3.12)
    assert isinstance(decided, TurnDecided)
    assert (decided.started_at, decided.speech_ended_at) == (2.0, 3.0)


def test_a_likelihood_is_between_nought_and_one():
    with pytest.raises(ValueError, match=r"0\.\.1"):
        EndOfTurn(1.2, 1.0)


def test_an_event_out_of_order_names_the_state():
    with pytest.raises(ValueError, match="idle"):
        endpointing().heard(SpeechEnded(1.0, 1.1))


def judge(duration: float, text: str | None, *, question: bool = False, transcripts: bool = True):
    """Speech of `duration` s over the agent; its words are known 60 ms after its end is noticed."""
    machine = Interruption(InterruptionSettings(has_transcripts=transcripts))
    actions = list(machine.heard(SpeechStarted(10.0, 10.05), Situation(interruptible=True)))
    end = 10.0 + duration
    if machine.deadline is not None and machine.deadline <= end:
        actions += machine.tick(machine.deadline)
    actions += machine.heard(SpeechEnded(end, end + 0.1), Situation())
    if text is not None:
        actions += machine.heard(Final(text, end + 0.16), Situation(answer_expected=question))
    elif machine.deadline is not None:
        actions += machine.tick(machine.deadline)
    assert actions[0] == PauseOutput()
    assert len(actions) == 2, actions
    return actions[1]


@pytest.mark.parametrize(
    ("duration", "text", "verdict"),
    [
        (0.2, "no", Interrupt()),  # under 400 ms: only words count
        (0.2, "okay", ResumeOutput()),
        (0.2, "", ResumeOutput()),
        (0.2, None, ResumeOutput(keep_turn=True)),  # nobody answered for 2 s
        (0.6, "wait a moment", Interrupt()),
        (0.6, "uh-huh, okay", ResumeOutput()),
        (0.6, "", Interrupt()),  # long enough to mean something
        (1.5, "okay", Interrupt()),  # too long for a backchannel
    ],
)
def test_verdicts(duration, text, verdict):
    assert judge(duration, text) == verdict


def test_short_speech_that_was_hardly_understood_is_no_interruption():
    def verdict(confidence: float) -> object:
        machine = Interruption()
        machine.heard(SpeechStarted(10.0, 10.05), Situation(interruptible=True))
        machine.heard(SpeechEnded(10.3, 10.4), Situation())
        [action] = machine.heard(Final("no", 10.5, confidence), Situation())
        return action

    assert verdict(0.8) == ResumeOutput()
    assert verdict(0.95) == Interrupt()


def test_yes_is_an_answer_after_a_question():
    assert judge(0.3, "yes", question=True) == Interrupt()
    assert judge(0.3, "yes", question=False) == ResumeOutput()


def test_without_recognition_length_alone_decides():
    assert judge(0.6, None, transcripts=False) == Interrupt()
    assert judge(0.2, None, transcripts=False) == ResumeOutput()


def test_an_interim_text_interrupts_while_the_caller_still_speaks():
    machine = Interruption()
    machine.heard(SpeechStarted(10.0, 10.05), Situation(interruptible=True))
    assert machine.heard(Interim("all", 10.2), Situation()) == ()  # may become "all right"
    assert machine.heard(Interim("all my money", 10.3), Situation()) == (Interrupt(),)


def test_what_may_not_be_interrupted_is_not_paused():
    machine = Interruption()
    assert machine.heard(SpeechStarted(10.0, 10.05), Situation(interruptible=False)) == ()
    assert machine.deadline is None


def test_a_pause_never_lasts_for_ever():
    machine = Interruption()
    machine.heard(SpeechStarted(10.0, 10.05), Situation(interruptible=True))
    machine.heard(SpeechEnded(10.2, 10.3), Situation())
    assert machine.deadline == pytest.approx(12.2)
    assert machine.tick(12.2) == (ResumeOutput(keep_turn=True),)


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("Uh-huh.", "en-us", True),
        ("Okay, got it", "en", True),
        ("okay but no", "en", False),
        ("", "en", False),
        ("genau", "de", True),
        ("yes", "xx", True),
    ],
)
def test_backchannels(text, language, expected):
    assert is_backchannel(text, language) is expected


def test_silence_ladder():
    ladder = SilenceLadder(away_ms=7000)
    ladder.idle(0.0)
    ladder.idle(3.0)  # a repeat changes nothing
    assert ladder.tick(6.9) == ()
    assert [(r.rung, r.canned, r.last) for r in ladder.tick(7.0)] == [(1, "still_there", False)]
    assert ladder.deadline is None  # the prompt is being said
    ladder.idle(9.0)
    assert [r.canned for r in ladder.tick(16.0)] == ["still_there_again"]
    ladder.idle(18.0)
    ladder.heard(19.0)
    assert [r.rung for r in ladder.tick(26.0)] == [1]
    ladder.idle(26.0)
    ladder.tick(33.0)
    ladder.idle(33.0)
    assert [(r.canned, r.last) for r in ladder.tick(40.0)] == [("goodbye_silence", True)]


def test_digits():
    collector = DigitCollector(DigitEntry(length=4))
    assert [collector.heard(Digit(key, index)) for index, key in enumerate("123")] == [(), (), ()]
    assert [(e.text, e.reason) for e in collector.heard(Digit("4", 3.0))] == [("1234", "length")]
    collector.heard(Digit("7", 10.0))
    assert [(e.text, e.reason) for e in collector.heard(Digit("#", 11.0))] == [("7", "terminator")]
    collector.heard(Digit("9", 20.0))
    assert collector.deadline == pytest.approx(23.0)
    assert [(e.text, e.reason, e.ended_at) for e in collector.tick(23.0)] == [("9", "timeout", 20.0)]
    assert collector.heard(Digit("#", 30.0)) == ()  # nothing was keyed before it


@pytest.mark.parametrize("wrong", [{"length": 0}, {"terminator": "#x"}, {"inter_digit_timeout_ms": 0}])
def test_contradictory_digit_entries_are_refused(wrong):
    with pytest.raises(ValueError, match="must be"):
        DigitEntry(**wrong)


def test_limits():
    limit = LengthLimit(max_call_ms=1000, started_at=5.0)
    assert limit.tick(5.9) == ()
    assert len(limit.tick(6.0)) == 1
    assert limit.tick(7.0) == ()
    count = FailureCount(max_in_a_row=2)
    assert not count.failed()
    count.succeeded()
    assert not count.failed()
    assert count.failed()


class Audio:
    """Levels and probabilities from a lagging detector, 20 ms and 32 ms apart."""

    def __init__(self) -> None:
        self.activity = VoiceActivity()
        self.events: list[SpeechStarted | SpeechEnded] = []
        self.frame = 0

    def play(self, ms: int, level_db: float, probability: float) -> None:
        for _ in range(ms // 20):
            self.frame += 1
            before, now = (self.frame - 1) * 20, self.frame * 20
            self.activity.frame(level_db, now / 1000)
            for edge in range(32, now + 1, 32):
                if before < edge <= now:
                    self.events += self.activity.window(probability, edge / 1000)


def test_speech_is_dated_by_its_level_not_by_when_it_was_noticed():
    audio = Audio()
    audio.play(1000, -62, 0.05)
    audio.play(40, -20, 0.2)  # the onset: not sure yet
    audio.play(960, -20, 0.95)
    audio.play(100, -60, 0.9)  # over, but the probability lags
    audio.play(300, -60, 0.1)
    started, ended = audio.events
    assert isinstance(started, SpeechStarted)
    assert isinstance(ended, SpeechEnded)
    assert started.at == pytest.approx(1.0)
    assert 1.04 < started.noticed_at <= 1.09
    assert ended.at == pytest.approx(2.0)
    assert ended.noticed_at > 2.15


def test_one_strong_window_begins_speech_and_a_weak_one_does_not():
    audio = Audio()
    audio.play(640, -60, 0.05)
    audio.play(20, -30, 0.6)
    audio.play(100, -60, 0.05)
    assert audio.events == []
    machine = VoiceActivity()
    assert machine.window(0.85, 0.032) == (SpeechStarted(0.0, 0.032),)


def test_hysteresis_keeps_doubtful_windows_in_the_speech():
    machine = VoiceActivity()
    machine.window(0.9, 0.032)
    assert all(machine.window(0.4, 0.032 * n) == () for n in range(2, 30))
    assert machine.speaking


def test_an_answer_of_which_nothing_was_heard_is_interrupted_by_words_alone():
    def judge(text: str, ms: float) -> list[str]:
        machine = Interruption()
        machine.heard(SpeechStarted(1.0, 1.0), Situation(interruptible=True, words_only=True))
        assert machine.deadline is None  # however long it is
        machine.heard(SpeechEnded(1.0 + ms / 1000, 1.0 + ms / 1000), Situation())
        actions = machine.heard(Final(text, 9.0), Situation())
        return [type(action).__name__ for action in actions]

    assert judge("", 300) == judge("", 3000) == judge("okay", 500) == judge("okay yeah", 3000) == ["ResumeOutput"]
    assert judge("for five please", 700) == ["Interrupt"]


def test_dead_air_is_bridged_from_the_last_sound_on_and_more_rarely_for_who_waits_long():
    air = DeadAir(first_ms=3000)
    air.waits(10.0)
    assert air.tick(12.9) == ()
    assert [filler.canned for filler in air.tick(13.0)] == ["one_moment"]
    assert air.deadline is None
    for since, due in ((14.0, 18.5), (20.0, 24.5), (26.0, 35.0), (40.0, 49.0)):
        air.waits(since)
        assert air.deadline == due
        assert [filler.canned for filler in air.tick(due)] == ["still_working"]
    air.answered()
    air.waits(60.0)
    assert air.deadline == 63.0
    air.attended()
    assert air.deadline is None


def test_what_is_keyed_for_one_persona_goes_with_it():
    collector = DigitCollector(DigitEntry(length=4))
    assert collector.takes("5")
    assert not collector.takes("#")
    collector.heard(Digit("5", 1.0))
    assert collector.takes("#")
    collector.begin(None)
    assert not collector.collecting
    assert not collector.takes("5")
    assert collector.deadline is None
