"""With the real model: level, band, ends, and refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from agent.providers import hibari
from agent.providers._kept_sentences import KeptSentences
from agent.providers.base import ProviderBadRequest
from agent.providers.hibari import HibariTTS
from agent.providers.registry import ProviderSettings, build_tts, voice_problem
from agent.testing.virtual_clock import VirtualOffload, run_virtual

SENTENCE = "We have a table at eight, shall I book it for you?"


def speak(text: str, *, voice: str = "", language: str = "en") -> bytes:
    async def run() -> bytes:
        spoken = HibariTTS(VirtualOffload()).synthesize(text, voice=voice, language=language)
        return b"".join([piece.pcm async for piece in spoken])

    return run_virtual(run())


def samples(pcm: bytes) -> npt.NDArray[np.float64]:
    return np.frombuffer(pcm, "<i2") / 32768


def test_it_is_as_loud_as_telephones_want_and_never_clips() -> None:
    spoken = samples(speak(SENTENCE))
    loud = spoken[np.abs(spoken) > 0.01]
    assert -19 < 20 * np.log10(np.sqrt((loud**2).mean())) < -11
    assert np.abs(spoken).max() < 0.98


def test_nothing_is_folded_into_the_band_and_its_ends_do_not_click() -> None:
    spoken = samples(speak(SENTENCE))
    spectrum = np.abs(np.fft.rfft(spoken * np.hanning(len(spoken)))) ** 2
    hertz = np.fft.rfftfreq(len(spoken), 1 / 8000)
    above = spectrum[hertz > 3900].sum() / spectrum.sum()
    assert above < 1e-3
    assert abs(spoken[0]) < 0.001 and abs(spoken[-1]) < 0.001


def test_the_same_text_sounds_the_same_each_time_and_comes_in_pieces_of_100_ms() -> None:
    async def run() -> list[int]:
        return [len(p.pcm) async for p in HibariTTS(VirtualOffload()).synthesize(SENTENCE, voice="", language="en")]

    assert speak(SENTENCE) == speak(SENTENCE)
    sizes = run_virtual(run())
    assert set(sizes[:-1]) == {1600} and len(sizes) > 20


def test_nothing_to_say_is_no_audio() -> None:
    assert speak(" \n") == b""


def test_a_language_tag_as_voice_is_the_default_voice() -> None:
    assert speak("Hello.", voice="en-us") == speak("Hello.")


def test_other_languages_and_unknown_voices_are_refused() -> None:
    with pytest.raises(ProviderBadRequest, match="English only, not 'de'"):
        speak("Guten Tag", language="de")
    with pytest.raises(ProviderBadRequest, match="no voice 'nobody'; available: heart"):
        speak("Hello.", voice="nobody")
    with pytest.raises(ProviderBadRequest, match="no voice 'en-gb\\+f3'"):  # espeak's, which is asked next
        speak("Hello.", voice="en-gb+f3")
    assert "no voice 'nobody'" in voice_problem("hibari/nobody", "", "en")
    assert "English only" in voice_problem("hibari", "", "fr")
    assert voice_problem("hibari", "", "en-gb") == voice_problem("hibari", "heart", "") == ""


def test_a_voice_that_would_be_fetched_is_refused_and_one_that_lies_there_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HIBARI_HOME", str(tmp_path))
    with pytest.raises(ProviderBadRequest, match="nothing is fetched while calls run"):
        speak("Hello.", voice="emma")
    from hibari.voices import VOICES

    (tmp_path / VOICES["emma"]["file"]).touch()
    assert hibari.voice_problem("emma", "en") == ""


def test_by_name() -> None:
    assert build_tts("hibari", ProviderSettings(), VirtualOffload()).name == "hibari"
    assert build_tts("hibari/heart", ProviderSettings(), VirtualOffload()).name == "hibari"


def test_a_caller_waits_for_no_silence_before_the_first_word() -> None:
    for text in ("You are booked for tomorrow.", "I am not sure that I understood you."):
        loud = np.flatnonzero(np.abs(np.frombuffer(speak(text), np.int16)) > 330)  # -40 dB full scale
        samples = len(speak(text)) // 2
        assert loud[0] < 8 * 100 and samples - loud[-1] < 8 * 300


def test_a_sentence_that_was_spoken_before_is_not_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hibari, "_kept", KeptSentences(200_000, 60_000))
    hibari.prepare(["Good morning.", "Good evening."])
    made, model = [], hibari.load("heart")
    monkeypatch.setattr(hibari, "load", lambda voice: lambda text, seed: made.append(text) or model(text, seed=seed))
    assert speak("Good morning.") == speak("Good morning.", voice="en-us") != b""
    assert made == []
    assert speak("Not yet.") == speak("Not yet.") != b""
    assert made == ["Not yet."]


def test_of_sentences_spoken_later_the_latest_are_kept() -> None:
    kept = KeptSentences(10, 10)
    assert kept.keep_for_all("v", "always", b"12345678")
    assert not kept.keep_for_all("v", "no room", b"123")
    for text in ("one", "two"):
        kept.keep("v", text, b"1234")
    assert kept.get("v", "one") == b"1234"
    kept.keep("v", "three", b"1234")
    assert [kept.get("v", text) is not None for text in ("always", "one", "two", "three")] == [True, True, False, True]
    kept.keep("v", "too long", b"12345678901")
    assert kept.get("v", "too long") is None and kept.get("v", "always") == b"12345678"
