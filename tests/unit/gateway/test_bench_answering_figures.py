"""What the bench for who answered counts, and the rules that it compares with."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.bench.answering.amd import AmdVerdict, amd
from gateway.bench.answering.by_length import ByLength
from gateway.bench.answering.cases import AnsweredCall, Line
from gateway.bench.answering.command import measure
from gateway.bench.answering.counting import Rate, percentile, score
from gateway.bench.answering.cpu import cpu_share
from gateway.bench.answering.driving import Outcome
from gateway.bench.answering.hearing import Heard
from gateway.bench.answering.report import Figures, answering_table
from gateway.bench.answering.running import Run
from telephony.media.answering.fakes import ScriptedAnswer
from telephony.media.answering.model import AnsweredBy, AnsweringEvent, GreetingGoesOn, MessageMayBegin, Verdict
from telephony.media.tones import silence, tone


def cadence(*ms: int) -> bytes:
    """Silence, sound, silence, sound, and so on."""
    return b"".join(tone(300, length, -20.0) if index % 2 else silence(length) for index, length in enumerate(ms))


@pytest.mark.parametrize(
    ("sounds", "status", "cause", "at"),
    [
        ((300, 400, 1500), "HUMAN", "HUMAN", 1.5),  # hello?
        ((300, 300, 200, 500, 1500), "HUMAN", "HUMAN", 2.1),  # two words
        ((2600, 400), "MACHINE", "INITIALSILENCE", 2.5),
        ((300, 200, 100, 200, 100, 200, 1500), "MACHINE", "MAXWORDS", 1.0),  # the third word, 100 ms old
        ((300, 900, 60, 900), "MACHINE", "LONGGREETING", 1.86),  # 1.5 s of sound
        ((300, 60, 200, 60, 200, 60, 1500), "NOTSURE", "HANGUP", 2.38),  # too short for words
        ((100, *(60, 60) * 60), "NOTSURE", "TOOLONG", 5.0),
    ],
)
def test_app_amd(sounds: tuple[int, ...], status: str, cause: str, at: float) -> None:
    verdict = amd(cadence(*sounds))
    assert (verdict.status, verdict.cause) == (status, cause)
    assert verdict.at == pytest.approx(at, abs=0.041)


def test_app_amd_takes_what_is_quieter_than_its_threshold_for_silence() -> None:
    assert amd(tone(300, 3000, -45.0)) == AmdVerdict("MACHINE", "INITIALSILENCE", 2.5)


def call(
    kind: str, *, words_at: float | None = 1.0, beep_end: float | None = None, language: str = "en"
) -> AnsweredCall:
    return AnsweredCall(
        "reported/0001", "reported", kind, language, "", Line(), bytes(320), "", words_at, 2.0, beep_end
    )


def said(kind: str, *events: AnsweringEvent, beep_end: float | None = None) -> Outcome:
    return Outcome(call(kind, beep_end=beep_end), events)


def verdict(at: float, answered_by: AnsweredBy) -> Verdict:
    return Verdict(at, answered_by, 0.9, ())


def test_people_machines_and_late_corrections_are_counted() -> None:
    figures = score(
        [
            said("hello", verdict(1.8, AnsweredBy.HUMAN)),
            said("name", verdict(2.4, AnsweredBy.VOICEMAIL), verdict(4.0, AnsweredBy.HUMAN)),  # hung up on, perhaps
            said("business", verdict(21.0, AnsweredBy.UNKNOWN)),  # is talked to
            said("personal", verdict(2.0, AnsweredBy.HUMAN), verdict(4.0, AnsweredBy.VOICEMAIL)),
            said("short", verdict(2.5, AnsweredBy.HUMAN)),
            said("screener", verdict(3.5, AnsweredBy.VOICEMAIL)),
            said("busy", verdict(3.0, AnsweredBy.SILENCE)),
            said("silence", verdict(9.0, AnsweredBy.SILENCE)),
        ]
    )
    assert (figures.people_for_machines.count, figures.people_for_machines.of) == (1, 3)
    assert (figures.missed.count, figures.greeted.count, figures.missed.of) == (1, 2, 4)
    assert figures.exact.count == 2 and figures.corrected == 2
    assert figures.people_s == pytest.approx((0.8, 1.4, 20.0))
    assert figures.matrix["screener"] == {"voicemail": 1} and figures.matrix["silence"] == {"silence": 1}


def test_a_message_counts_from_the_last_beep_and_only_if_it_was_not_broken_off() -> None:
    mail = verdict(3.0, AnsweredBy.VOICEMAIL)
    beeps = score(
        [
            said("personal", mail, MessageMayBegin(5.2, "beep"), beep_end=5.0),
            said("personal", mail, MessageMayBegin(4.0, "greeting_end"), beep_end=5.0),
            said(
                "carrier",
                mail,
                MessageMayBegin(4.0, "greeting_end"),
                GreetingGoesOn(4.5),
                MessageMayBegin(5.1, "beep"),
                beep_end=5.0,
            ),
            said("short", mail, MessageMayBegin(4.0, "greeting_end"), GreetingGoesOn(4.5), beep_end=5.0),
            said("short", verdict(3.0, AnsweredBy.HUMAN), beep_end=5.0),  # is missed, and counted there
            said("screener", verdict(3.0, AnsweredBy.SCREENER), beep_end=5.0),
        ]
    ).beeps
    assert (beeps.voicemails, beeps.early, beeps.never) == (4, 1, 1)
    assert beeps.delays == pytest.approx((0.1, 0.2)) and math.isinf(beeps.p98)


def test_rates_have_intervals() -> None:
    assert Rate(1000, 0).interval == pytest.approx((0.0, 0.00383), abs=1e-5)
    low, high = Rate(400, 12).interval
    assert low < 0.03 < high and Rate(0, 0).share == 0
    assert percentile([3, 1, 2], 0.5) == 2 and percentile([], 0.5) == math.inf


def test_the_length_of_speech_alone_decides() -> None:
    def windows(machine: ByLength, *pieces: tuple[float, float]) -> list[AnsweringEvent]:
        events: list[AnsweringEvent] = []
        for step in range(500):
            at = step * 0.032
            spoken = any(start <= at < end for start, end in pieces)
            events.extend(machine.voice(0.9 if spoken else 0.1, at))
        return events

    (person,) = windows(ByLength(0.0), (0.5, 1.5))
    assert isinstance(person, Verdict) and person.answered_by is AnsweredBy.HUMAN
    greeting, message = windows(ByLength(0.0), (0.5, 5.0))
    assert isinstance(greeting, Verdict) and greeting.answered_by is AnsweredBy.VOICEMAIL
    assert isinstance(message, MessageMayBegin) and message.at == pytest.approx(6.5, abs=0.05)
    (nobody,) = windows(ByLength(0.0))
    assert isinstance(nobody, Verdict) and nobody.answered_by is AnsweredBy.SILENCE


def test_a_small_run_without_a_recogniser_or_packages(tmp_path: Path) -> None:
    figures = measure(Run("tuning", 6, tmp_path, "none", offline=True), words=False)
    assert [len(outcomes) for outcomes in figures.outcomes.values()] == [6] * len(figures.outcomes)
    table = answering_table(figures)
    assert "without words" in table and "app_amd" in table and "NOT KEPT" in table
    assert figures.to_dict()["calls"][0]["name"] == "tuning/0000" and not figures.good


def test_without_calls_that_beep_nothing_is_claimed_of_beeps() -> None:
    figures = Figures("reported", True, {"ours": [said("hello", verdict(1.8, AnsweredBy.HUMAN))]})
    assert math.isinf(figures.measured["beep to message, p98 s"]) and not figures.good


def test_the_cpu_of_a_machine_is_a_share_of_the_calls_length() -> None:
    class Busy(ScriptedAnswer):
        def hear(self, pcm: bytes, at: float) -> tuple[AnsweringEvent, ...]:
            until = time.thread_time() + 0.002
            while time.thread_time() < until:
                pass
            return super().hear(pcm, at)

    minute = replace(call("hello"), pcm=bytes(320) * 50)
    assert cpu_share(lambda at: Busy(()), [(minute, Heard((), ()))]) == pytest.approx(0.1, rel=0.2)  # 2 of 20 ms
    assert cpu_share(lambda at: ScriptedAnswer(()), [(minute, Heard((), ()))]) < 0.003
    assert cpu_share(lambda at: ScriptedAnswer(()), []) == 0.0
