"""The bench for who answered: a corpus that is always the same, its split, and what is counted."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agent.providers.base import Expectations, Transcript
from agent.testing.virtual_clock import run_virtual
from gateway.bench.answering.beeps import beep_of, beeps_of
from gateway.bench.answering.calls import answered_call, kind_of, stage_for
from gateway.bench.answering.cases import KINDS, AnsweredCall, Line
from gateway.bench.answering.driving import drive
from gateway.bench.answering.hearing import Heard, Hearing, recogniser_for
from gateway.bench.answering.lines import through
from gateway.bench.answering.packages import Programs
from gateway.bench.answering.scenes import levelled
from gateway.bench.answering.script import ScriptSTT
from gateway.bench.answering.voices import base_voice, draw_voice, voices_of
from gateway.bench.answering.wording import LANGUAGES, half, wordings
from telephony.media.answering.fakes import ScriptedAnswer
from telephony.media.answering.model import AnsweredBy, GreetingGoesOn, MessageMayBegin, Verdict
from telephony.media.frames import AudioFrame
from telephony.media.level import dbfs
from telephony.media.tones import silence, tone

_WORDED = (
    "hello", "name", "business", "business_long", "hold_on", "reply", "chatter", "personal", "short_machine",
    "pause_machine", "carrier", "full", "screener", "ivr", "queue", "announcement",
)  # fmt: skip


def test_no_wording_voice_or_beep_is_in_two_parts() -> None:
    for language in LANGUAGES:
        for kind in _WORDED:
            tuning, seen = wordings(kind, language, "tuning"), wordings(kind, language, "seen")
            assert tuning and seen and not set(tuning) & set(seen), (language, kind)
            assert sorted((*tuning, *seen)) == sorted(wordings(kind, language))
    assert not set(voices_of("tuning")) & set(voices_of("seen"))
    assert not set(beeps_of("tuning")) & set(beeps_of("seen"))


def test_what_is_reported_was_tuned_on_nowhere() -> None:
    for language in LANGUAGES:
        for kind in _WORDED:
            reported = wordings(kind, language, "reported")
            assert len(set(reported)) == len(reported) >= 4
            known = set(reported) & set(wordings(kind, language))
            assert len(known) <= (4 if kind in ("hello", "reply") else 0), known  # "Hello?" has no other wording
    others = {*beeps_of("tuning"), *beeps_of("seen")}
    assert not set(beeps_of("reported")) & others and len(beeps_of("reported")) == len(others)
    draws = random.Random(7)
    everything = Programs(Path("flite"), Path("festival"))
    voices = {draw_voice(draws, "reported", language, everything) for language in LANGUAGES for _ in range(300)}
    elsewhere = {*voices_of("tuning"), *voices_of("seen")}
    assert {base_voice(voice) for voice in voices} == set(voices_of("reported"))
    shared = {voice for voice in voices if base_voice(voice) in elsewhere}
    assert shared and not {voice.partition("^")[2] for voice in shared} & {"", "0.88", "0.94", "1.08", "1.22"}
    assert not any(voice.startswith(("flite", "festival")) for voice in _without_programs(draws))


def _without_programs(draws: random.Random) -> set[str]:
    return {draw_voice(draws, "reported", language, Programs()) for language in ("en", "it") for _ in range(50)}


def test_the_split_never_depends_on_the_order() -> None:
    names = [f"wording {number}" for number in range(9)]
    assert half(names, "tuning") == half(names[::-1], "tuning")
    assert half(["Hello?", "Yes?", "Hi.", "Speaking."], "tuning") == ("Hello?", "Hi.")  # fixed for good


def test_a_call_is_the_same_each_time_and_its_times_are_where_its_sounds_are(tmp_path: Path) -> None:
    stage = stage_for("seen", tmp_path)
    calls = [answered_call(stage, number) for number in range(24)]
    assert answered_call(stage_for("seen", tmp_path / "again"), 3) == calls[3]
    assert {call.truth for call in calls} == {"human", "machine"}
    for call in calls:
        voice = base_voice(call.voice)
        assert not call.voice or voice in voices_of("seen") or voice.startswith("people:"), call.voice
        if call.words_at is not None:
            before, after = call.pcm[: round(call.words_at * 50) * 320], call.pcm[round(call.words_at * 50) * 320 :]
            assert dbfs(before[-3200:]) < dbfs(after[:6400]), call.name
            assert call.words_at < call.greeting_end < call.seconds


def test_every_kind_has_its_share_in_a_small_corpus_too() -> None:
    for first in (0, 350, 4000):
        kinds = [kind_of(number) for number in range(first, first + 250)]
        assert set(kinds) == set(KINDS)
        assert 0.55 < sum(KINDS[kind].truth == "human" for kind in kinds) / 250 < 0.6


def test_a_line_has_its_level_and_its_noise() -> None:
    speech = levelled(tone(440, 3000))
    clean = through(speech, np.zeros(0), Line(level_db=-30.0), random.Random(1))
    assert dbfs(clean) == pytest.approx(-30, abs=0.6)
    quiet = np.concatenate([np.zeros(8000), speech])
    noisy = through(quiet, np.zeros(0), Line(law="A-law", level_db=-20.0, snr_db=10.0), random.Random(1))
    assert dbfs(noisy[:16000]) == pytest.approx(-30, abs=1)
    lossy = through(speech, np.zeros(0), Line(lost=0.5), random.Random(1))
    assert dbfs(lossy) < dbfs(through(speech, np.zeros(0), Line(), random.Random(1))) - 1


def test_beeps_are_single_double_or_rising() -> None:
    assert len(beep_of("880:400", -12)) == 400 * 16
    assert len(beep_of("double 880:150", -12)) == (150 + 180 + 150) * 16
    assert len(beep_of("rising 660:120/880:120", -12)) == 240 * 16
    assert dbfs(beep_of("1000:300", -12)) == pytest.approx(-12, abs=0.5)


def test_what_was_heard_is_kept_and_not_heard_again(tmp_path: Path) -> None:
    call = answered_call(stage_for("tuning", tmp_path), 0)
    heard = Hearing(tmp_path / "heard", "none").of(call)
    speech = [at for probability, at in heard.voice if probability > 0.5]
    assert call.words_at is not None and call.words_at < speech[0] < call.words_at + 0.3
    (kept,) = (tmp_path / "heard").iterdir()
    kept.write_text('[[[0.5, 0.032]], [["hello", 1.0, true]]]')
    assert Hearing(tmp_path / "heard", "none").of(call) == Heard(((0.5, 0.032),), (("hello", 1.0, True),))


def test_which_recogniser_hears_a_language() -> None:
    english = AnsweredCall("", "tuning", "hello", "en", "espeak:en-us+f3", Line(), b"", "", 0.0, 0.0)
    german = replace(english, language="de")
    assert recogniser_for(english, "auto") == "moonshine" and recogniser_for(german, "auto") == "script"
    assert recogniser_for(replace(german, voice="people:menardi"), "auto") == "whisper"
    assert recogniser_for(german, "whisper") == "whisper" and recogniser_for(german, "moonshine") == ""
    assert recogniser_for(english, "none") == ""


def test_the_script_is_heard_as_late_as_a_recogniser_and_not_whole() -> None:
    words = "Bitte hinterlassen Sie nach dem Signalton eine kurze Nachricht für uns alle"
    sound = tone(300, 2000, -20.0)
    frames = [AudioFrame(sound[at : at + 320], 10 + (at // 320 + 1) * 0.02) for at in range(0, len(sound), 320)]

    async def heard() -> list[tuple[str, float]]:
        stream = ScriptSTT(((10.0, 12.0, words), (14.0, 15.0, "later"))).stream(
            language="de", expectations=Expectations()
        )
        texts = []
        for some in (frames[:50], frames):
            for frame in some:
                stream.push(frame)
            began = asyncio.get_running_loop().time()
            stream.flush()
            text = await anext(aiter(stream))
            assert isinstance(text, Transcript) and text.final
            texts.append((text.text, asyncio.get_running_loop().time() - began))
        await stream.aclose()
        return texts

    (half_of_it, late), (all_of_it, _) = run_virtual(heard())
    assert late == pytest.approx(0.9) and "alle" not in half_of_it and "later" not in all_of_it
    assert all_of_it.startswith(half_of_it) and set(all_of_it.split()) < set(words.split())


def test_a_machine_is_told_all_in_order_and_our_voice_as_an_agent_has_it(tmp_path: Path) -> None:
    call = answered_call(stage_for("tuning", tmp_path), 0)
    made: list[ScriptedAnswer] = []
    human = Verdict(101.0, AnsweredBy.HUMAN, 0.7, ())
    machine = Verdict(102.0, AnsweredBy.VOICEMAIL, 0.9, (), corrects=AnsweredBy.HUMAN)
    late = MessageMayBegin(140.0, "limit")
    events = (
        human,
        machine,
        MessageMayBegin(103.0, "beep"),
        GreetingGoesOn(104.0),
        MessageMayBegin(105.0, "beep"),
        late,
    )

    def make(answered_at: float) -> ScriptedAnswer:
        assert answered_at == 100.0
        made.append(ScriptedAnswer(events))
        return made[0]

    outcome = drive(make, call, Heard(((0.9, 0.5),), (("hello", 2.5, False), ("hello?", 2.6, True))))
    assert [verdict.answered_by for verdict in outcome.verdicts] == [AnsweredBy.HUMAN, AnsweredBy.VOICEMAIL]
    assert outcome.first is not None and outcome.first.at == 1.0
    assert made[0].heard_words == ["hello?"]
    assert [speaking for speaking, _ in made[0].spoke] == [True, False, True, False, True, True]
    assert [round(at, 2) for _, at in made[0].spoke] == [101.0, 102.0, 103.0, 104.0, 105.0, 140.0]
    assert outcome.message_at == pytest.approx(40.0) and outcome.standing is AnsweredBy.VOICEMAIL
    made.clear()
    assert drive(make, call, Heard((), (("hello?", 2.6, True),)), words=False).verdicts
    assert made[0].heard_words == [] and silence(0) == b""
