"""Properties of the turn machines, whatever the caller, the VAD and the recogniser do, in any order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.turns.digits import DigitCollector, DigitEntry
from agent.turns.endpointing import EndpointAction, Endpointing, EndpointingSettings, FlushSpeech, TurnDecided
from agent.turns.expected import Expected
from agent.turns.interruption import Interrupt, Interruption, InterruptionSettings, PauseOutput, ResumeOutput, Situation
from agent.turns.signals import Digit, EndOfTurn, Final, Interim, Signal, SpeechEnded, SpeechStarted, TurnResumed
from agent.turns.speaking import Speaking

TOLD = ("vad began", "vad ended", "stt began", "words", "final", "guess", "end", "resumed", "lost", "well", "cut")
ASKED = ("commit", "hold", "back", "discard", "text")
GAPS = st.sampled_from([0.0, 0.02, 0.1, 0.3, 0.54, 0.6, 1.5, 3.1, 9.0])
LONG_AFTER_S = 100.0


@dataclass
class Hearing:
    """`Speaking` and `Endpointing` connected as in the listener, on their own clock."""

    detection: str
    dynamic: bool = False
    expected: Expected | None = None
    now: float = 10.0
    speaking: Speaking = field(default_factory=Speaking)
    begun: list[SpeechStarted] = field(default_factory=list)
    decided: list[TurnDecided] = field(default_factory=list)
    flushed: list[float] = field(default_factory=list)
    dropped: int = 0
    voice: bool = False
    held: bool = False

    def __post_init__(self) -> None:
        self.endpointing = Endpointing(
            EndpointingSettings(detection=self.detection, max_turn_ms=20_000, dynamic=self.dynamic)
        )
        self.endpointing.expect(self.expected, "en")

    def wait(self, seconds: float) -> None:
        until = self.now + seconds
        while True:
            due = [at for at in (self.speaking.deadline, self.endpointing.deadline) if at is not None]
            if not due or min(due) > until:
                break
            assert min(due) > self.now - 1e-9, "a deadline lies in the past"
            self.now = max(self.now, min(due))
            self.take(self.speaking.tick(self.now))
            self.perform(self.endpointing.tick(self.now))
        self.now = until

    def take(self, signals: tuple[Signal, ...]) -> None:
        for signal in signals:
            if isinstance(signal, SpeechStarted):
                self.begun.append(signal)
            self.perform(self.endpointing.heard(signal))

    def perform(self, actions: tuple[EndpointAction, ...]) -> None:
        for action in actions:
            if isinstance(action, FlushSpeech):
                self.flushed.append(self.now)
                continue
            assert action.at >= self.now - 1e-9, "decided in the past"
            assert action.started_at <= action.at + 1e-9
            assert action.speech_ended_at <= action.at + 1e-9
            assert action.why
            self.decided.append(action)

    def step(self, what: str, p: float) -> None:
        now = self.now
        if self.held and what not in ("back", "lost", "well"):
            return  # nobody is heard
        match what:
            case "vad began" if not self.voice:
                self.voice = True
                self.take(self.speaking.voice(SpeechStarted(now - 0.06, now)))
            case "vad ended" if self.voice:
                self.voice = False
                self.take(
                    self.speaking.voice(SpeechEnded(max(now - 0.12, self.begun[-1].at if self.begun else 0), now))
                )
            case "cut":
                self.voice = False
                self.take(self.speaking.cut(now))
            case "lost":
                self.take(self.speaking.lost(now))
                self.perform(self.endpointing.lost(now))
            case "well":
                self.endpointing.recovered()
            case "commit":
                self.perform(self.endpointing.commit(now))
            case "hold":
                self.step("cut", p)
                self.held = True
                self.perform(self.endpointing.hold())
            case "back" if self.held:
                self.held = False
                self.perform(self.endpointing.resume(now))
            case "text":
                self.perform(self.endpointing.heard(Final(("yes", "yes but", "well", "")[int(p * 3)], now)))
            case "discard":
                self.dropped += self.endpointing.state == "silence"
                self.endpointing.discard()
            case _:
                told = {
                    "stt began": SpeechStarted(now, now),
                    "words": Interim(f"words {p}", now),
                    "final": Final("words", now),
                    "guess": EndOfTurn(p, now, eager=True),
                    "end": EndOfTurn(p, now),
                    "resumed": TurnResumed(now),
                }
                if what in told:
                    self.take(self.speaking.recogniser(told[what]))


def hearing(detection: str, steps: list[tuple[str, float, float]], **more: Any) -> Hearing:
    """Afterwards everybody is silent for long, and the application commits the rest."""
    heard = Hearing(detection, **more)
    for what, gap, p in steps:
        heard.step(what, p)
        heard.wait(gap)
        deadline = heard.endpointing.deadline
        assert deadline is None or deadline > heard.now - 1e-9
    heard.step("back", 0)
    heard.step("cut", 0)
    heard.wait(LONG_AFTER_S)
    heard.step("commit", 0)
    return heard


STEPS = st.lists(
    st.tuples(st.sampled_from(TOLD + ASKED), GAPS, st.sampled_from([0.0, 0.3, 0.5, 0.9, 1.0])), max_size=40
)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(["vad", "stt", "manual"]), STEPS, st.booleans(), st.sampled_from([None, Expected("yes_no")]))
def test_no_turn_is_lost_or_decided_twice_or_in_the_past(detection, steps, dynamic, expected):
    heard = hearing(detection, steps, dynamic=dynamic, expected=expected)
    assert heard.endpointing.state == "idle"
    assert heard.endpointing.deadline is None
    times = [turn.at for turn in heard.decided]
    assert times == sorted(times)
    # Starts and ends alternate, so each decision has its own speech: started, or continued after a cut.
    cuts = sum(turn.reason in ("forced", "committed") for turn in heard.decided)
    assert len(heard.decided) <= len(heard.begun) + cuts
    if heard.begun and not heard.dropped:
        assert heard.decided
        assert heard.decided[-1].at >= heard.begun[-1].noticed_at - 1e-9


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["vad began", "vad ended"]), GAPS, st.just(0.0)), max_size=30))
def test_without_a_likelihood_a_turn_ends_550_ms_after_its_last_sound(steps):
    for turn in hearing("vad", steps).decided:
        if turn.reason == "silence":
            assert abs(turn.at - turn.speech_ended_at - 0.55) < 1e-6


@settings(max_examples=200, deadline=None)
@given(STEPS)
def test_by_hand_nothing_but_a_commit_decides(steps):
    assert {turn.reason for turn in hearing("manual", steps).decided} <= {"committed"}


@settings(max_examples=200, deadline=None)
@given(STEPS)
def test_speech_begins_and_ends_in_turn(steps):
    speaking, told = Hearing("stt"), []
    take = speaking.take
    speaking.take = lambda signals: (told.extend(signals), take(signals))[1]  # type: ignore[method-assign]
    for what, gap, p in steps:
        speaking.step(what, p)
        speaking.wait(gap)
    edges = [signal for signal in told if isinstance(signal, SpeechStarted | SpeechEnded)]
    assert all(isinstance(edge, SpeechStarted) is (index % 2 == 0) for index, edge in enumerate(edges))


@settings(max_examples=300, deadline=None)
@given(
    st.booleans(),
    st.lists(
        st.tuples(
            st.sampled_from(["began", "ended", "okay", "stop it", "", "interim", "agent", "done"]), GAPS, st.booleans()
        ),
        max_size=30,
    ),
)
def test_each_pause_has_one_verdict(has_transcripts, steps):
    machine, now, speaking = Interruption(InterruptionSettings(has_transcripts=has_transcripts)), 10.0, False
    actions: list[object] = []

    def wait(until: float) -> None:
        while machine.deadline is not None and machine.deadline <= until:
            actions.extend(machine.tick(machine.deadline))

    for what, gap, yes in steps:
        situation = Situation(interruptible=yes, words_only=yes and gap > 1, answer_expected=gap == 0.3)
        match what:
            case "began" if not speaking:
                speaking = True
                actions += machine.heard(SpeechStarted(now, now), situation)
            case "ended" if speaking:
                speaking = False
                actions += machine.heard(SpeechEnded(now, now), situation)
            case "agent":
                actions += machine.agent_started(now, situation)
            case "done":
                if machine.state == "judging":
                    actions.append(ResumeOutput())  # the session lets it go on by itself
                machine.agent_done()
            case "okay" | "stop it" | "":
                actions += machine.heard(Final(what, now), situation)
            case "interim":
                actions += machine.heard(Interim("all", now), situation)
        wait(now + gap)
        now += gap
    if speaking:
        actions += machine.heard(SpeechEnded(now, now), Situation())
    wait(now + LONG_AFTER_S)
    paused = False
    for action in actions:
        assert isinstance(action, PauseOutput) is not paused
        paused = isinstance(action, PauseOutput)
        assert paused or isinstance(action, Interrupt | ResumeOutput)
    assert not paused


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("0123456789*#"), GAPS), max_size=30), st.sampled_from([None, 1, 4]))
def test_no_key_is_lost_or_taken_twice(keys, length):
    collector, now, entered = DigitCollector(DigitEntry(length=length)), 10.0, []
    for key, gap in keys:
        entered += collector.heard(Digit(key, now))
        now += gap
        entered += collector.tick(now)
    entered += collector.tick(now + LONG_AFTER_S)
    assert "".join(entry.text for entry in entered) == "".join(key for key, _ in keys if key != "#")
    assert not collector.collecting
