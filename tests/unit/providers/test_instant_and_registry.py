from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import pytest

from agent.providers.base import ChatMessage, Expectations, TextDelta, Transcript
from agent.providers.instant import InstantLLM, InstantSTT, InstantTTS, tone
from agent.providers.registry import ProviderSettings, build_llm, build_stt, build_tts, build_vad, preload
from agent.testing.virtual_clock import VirtualOffload
from agent.turns.signals import EndOfTurn, SpeechStarted
from telephony.media.frames import SILENCE, AudioFrame

SETTINGS = ProviderSettings()


async def test_instant_hears_its_sentence_at_each_flush() -> None:
    stream = InstantSTT("Hello there.").stream(language="en", expectations=Expectations())
    stream.push(AudioFrame(SILENCE, 0.0))
    stream.flush()
    stream.flush()
    await stream.aclose()
    assert [(heard.text, heard.final) async for heard in stream] == [("Hello there.", True)] * 2


async def test_instant_detects_turns_by_level() -> None:
    stt = build_stt("instant/turns", SETTINGS, VirtualOffload())
    stream = stt.stream(language="en", expectations=Expectations())
    loud = bytes(memoryview(tone().pcm)[:320])
    for index, pcm in enumerate([SILENCE] * 10 + [loud] * 20 + [SILENCE] * 30, 1):
        stream.push(AudioFrame(pcm, index * 0.02))
    await stream.aclose()
    assert [item async for item in stream] == [
        SpeechStarted(pytest.approx(0.2), 0.28),
        Transcript("This is what the caller said.", final=True),
        EndOfTurn(1.0, 1.1, speech_ended_at=0.6),
    ]


async def test_instant_answers() -> None:
    events = [event async for event in InstantLLM("Yes.").chat([ChatMessage("user", "?")], [])]
    assert events == [TextDelta("Yes.")]


async def test_instant_speaks_five_seconds_of_440_hz_shared() -> None:
    (audio,) = [piece async for piece in InstantTTS().synthesize("anything", voice="", language="")]
    assert audio is tone()
    samples = memoryview(audio.pcm).cast("h")
    assert len(samples) == 40_000
    rising = sum(1 for a, b in pairwise(samples) if a < 0 <= b)
    assert rising == pytest.approx(440 * 5, abs=1)
    assert math.isclose(max(samples), -min(samples), abs_tol=2)


@pytest.mark.parametrize("spec", ["pocketsphinx", "pocketsphinx/dictation", "pocketsphinx/grammar", "instant"])
def test_stt_names(spec: str) -> None:
    assert build_stt(spec, SETTINGS, VirtualOffload()).name == spec.partition("/")[0]


@pytest.mark.parametrize("spec", ["espeak", "espeak/en-gb+f3", "instant"])
def test_tts_names(spec: str) -> None:
    assert build_tts(spec, SETTINGS, VirtualOffload()).name == spec.partition("/")[0]


@pytest.mark.parametrize("spec", ["rules", "instant"])
def test_llm_names(spec: str) -> None:
    assert build_llm(spec, SETTINGS, VirtualOffload()).name == spec


def test_vad_name() -> None:
    assert build_vad("silero").stream().window_samples == 256


@pytest.mark.parametrize("spec", ["", "nobody", "pocketsphinx/shouting", "openai", "openai/"])
def test_an_unknown_name_is_refused_and_the_known_are_listed(spec: str) -> None:
    with pytest.raises(ValueError, match="pocketsphinx/grammar"):
        build_stt(spec, SETTINGS, VirtualOffload())
    with pytest.raises(ValueError, match="espeak"):
        build_tts(spec, SETTINGS, VirtualOffload())
    with pytest.raises(ValueError, match="openai/MODEL"):
        build_llm(spec, SETTINGS, VirtualOffload())
    with pytest.raises(ValueError, match="silero"):
        build_vad(spec)


def test_the_key_comes_from_a_file_or_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ValueError, match="OPENAI_API_KEY"):
        build_llm("openai/gpt-4o-mini", SETTINGS, VirtualOffload())
    file = tmp_path / "key"
    with pytest.raises(ValueError, match="cannot be read"):
        build_llm("openai/gpt-4o-mini", ProviderSettings(key_file=file), VirtualOffload())
    file.write_text("sk-secret-one\n")
    assert ProviderSettings(key_file=file).api_key("OPENAI_API_KEY") == "sk-secret-one"
    monkeypatch.setenv("MY_KEY", "sk-secret-two")
    assert ProviderSettings(key_env="MY_KEY").api_key("OPENAI_API_KEY") == "sk-secret-two"
    with pytest.raises(ValueError, match="OTHER_KEY"):
        ProviderSettings(key_env="OTHER_KEY").api_key("OPENAI_API_KEY")
    llm = build_llm("openai/gpt-4o-mini", ProviderSettings(key_file=file), VirtualOffload())
    assert llm.name == "openai/gpt-4o-mini"


def test_a_server_of_one_s_own_needs_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-for-that-server")
    settings = ProviderSettings(base_url="http://127.0.0.1:1/v1")
    assert "sk-not" not in repr(vars(build_llm("openai/local", settings, VirtualOffload())))


def test_preload_leaves_unknown_names_to_those_who_build() -> None:
    preload(["instant", "rules", "espeak", "nobody/knows"])
