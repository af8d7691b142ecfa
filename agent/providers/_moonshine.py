"""Moonshine tiny (English) in onnxruntime: 16 kHz audio in, words with confidences out. Blocking; see moonshine.py.

The model is in the package moonshine-voice (MIT); only its three files are used. It hears a whole utterance at once:
the encoder's time goes with the audio, the decoder's with the words. It repeats itself on trailing silence, so the
number of tokens a second is capped, and a tail that says the same again and again is cut.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from math import exp, log
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.providers._moonshine_decoder import Decoder, Sound
from agent.providers._moonshine_graphs import decoder_models
from agent.providers._moonshine_tokens import Vocabulary, read_tokens
from agent.providers._onnx import check_machine, files_of, open_model, worked
from agent.providers.base import ProviderUnavailable

__all__ = ["NAME", "SAMPLE_RATE", "Alternatives", "Heard", "Moonshine", "Word", "load"]

NAME = "moonshine"
SAMPLE_RATE = 16_000
LEAST_SAMPLES = 2_400  # the encoder's convolutions need some; nothing shorter is a word
_HASHES = {  # of moonshine-voice 0.0.73
    "encoder_model.ort": "94e90a4654fc45cdfedb77c4c08e1739f48862998e58fada384b25118134f221",
    "decoder_model_merged.ort": "cf524c4862d36e9e5ab032eddc73637efd822d70e868ac575cf1a46e1e4708a0",
    "tokenizer.bin": "6884b35fd6377d4c4d32336a0bc152f36b64d1e45b6503683cdc238250a8472d",
}
_NEEDS_MIB = 120
_TOKENS_A_SECOND = 6.5
_EXPECTED_NATS = 4.0  # by so much an expected text may be less likely than what was heard: e^4 times
_UNSURE = 0.5  # of its least sure word: then it hears again
_QUIET_SAMPLES = SAMPLE_RATE // 5  # before what it hears again: it begins some sentences better so

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Word:
    """As it was written, with its punctuation. `confidence`: 0 to 1, of its least sure part."""

    text: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Heard:
    """`confidence`: the geometric mean of the tokens', 0 to 1. `tokens`: as the decoder gave them."""

    words: tuple[Word, ...]
    confidence: float
    tokens: tuple[int, ...] = ()

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)

    @property
    def least(self) -> float:
        """Confidence of its least sure word."""
        return min((word.confidence for word in self.words), default=1.0)


Alternatives = Callable[[Sequence[Word]], Sequence[str]]


def load() -> Moonshine:
    """The process' model; forks share what is loaded before them. Raises ProviderUnavailable: the same again, without
    reading 43 MB for it."""
    found = _loaded()
    if isinstance(found, ProviderUnavailable):
        raise found.with_traceback(None)
    return found


@cache
def _loaded() -> Moonshine | ProviderUnavailable:
    try:
        return _load()
    except ProviderUnavailable as error:
        return error


def _load() -> Moonshine:
    check_machine(NAME, _NEEDS_MIB)
    files = files_of(NAME, "moonshine_voice", "assets/tiny-en", _HASHES, "trunkline[speech]")
    try:
        of_sound, of_tokens = decoder_models(files["decoder_model_merged.ort"].read_bytes())
    except Exception as error:  # onnxruntime's reader of its own format may change
        raise ProviderUnavailable(NAME, f"its decoder cannot be read: {type(error).__name__}: {error}") from error
    model = Moonshine(
        open_model(NAME, files["encoder_model.ort"]),
        Decoder(open_model(NAME, of_sound), open_model(NAME, of_tokens)),
        Vocabulary(read_tokens(files["tokenizer.bin"])),
    )
    model.hear(np.zeros(SAMPLE_RATE, np.float32))  # what the first use loads is shared too
    return model


class Moonshine:
    """Sessions are shared by all calls of the process. One is heard after the other: what an utterance takes while it
    is heard is the most of a worker's own memory, and there are not more cores than workers."""

    def __init__(self, encoder: Any, decoder: Decoder, vocabulary: Vocabulary) -> None:
        self._encoder = encoder
        self._decoder = decoder
        self._vocabulary = vocabulary
        self._turn = Lock()

    def hear(
        self,
        samples: npt.NDArray[np.float32],
        alternatives: Alternatives | None = None,
        *,
        final: bool = True,
        guess: Sequence[int] = (),
    ) -> Heard:
        """`samples`: 16 kHz, -1 to 1. `alternatives` names other texts, of which the likeliest is taken if the sound
        explains it nearly as well as what was heard. Not `final`: it is heard once only. `guess`: the tokens that were
        heard in its beginning, which saves time as far as they are right. Raises ProviderUnavailable."""
        if len(samples) < LEAST_SAMPLES:
            return Heard((), 1.0)
        try:
            with self._turn:
                heard = self._hear(samples, alternatives, final, guess)
                worked()
                return heard
        except Exception as error:  # onnxruntime's errors have no common base
            raise ProviderUnavailable(NAME, f"the model failed: {error}") from error

    def _hear(
        self,
        samples: npt.NDArray[np.float32],
        alternatives: Alternatives | None,
        final: bool,
        guess: Sequence[int],
    ) -> Heard:
        heard, sound = self._heard(samples, guess)
        if final and heard.least < _UNSURE and heard.words:
            samples = np.concatenate([np.zeros(_QUIET_SAMPLES, np.float32), samples])
            again, its_sound = self._heard(samples)
            if again.confidence > heard.confidence:
                heard, sound = again, its_sound
        return heard if alternatives is None else self._likeliest(heard, alternatives(heard.words), sound)

    def _heard(self, samples: npt.NDArray[np.float32], guess: Sequence[int] = ()) -> tuple[Heard, Sound]:
        sound = self._decoder.sound(self._encode(samples))
        most = int(len(samples) / SAMPLE_RATE * _TOKENS_A_SECOND) + 4
        ids, sure = self._decoder.likeliest(sound, most, guess)
        kept = without_repeats(ids)
        counted = sure[: len(ids)]  # not how sure it is that nothing follows
        mean = exp(sum(map(log, counted)) / len(counted)) if counted else 1.0
        words = tuple(Word(text, round(least, 3)) for text, least in self._vocabulary.words(ids[:kept], sure))
        return Heard(words, mean, tuple(ids)), sound

    def _likeliest(self, heard: Heard, texts: Sequence[str], sound: Sound) -> Heard:
        """Each text is given to the decoder as if it had written it."""
        if not texts:
            return heard
        best, best_score = heard, self._score(heard.text, sound) - _EXPECTED_NATS
        for text in texts:
            score = self._score(text, sound)
            if score > best_score:
                known = {word.text: word.confidence for word in heard.words}
                words = tuple(Word(word, known.get(word, 1.0)) for word in text.split())
                sure = max(heard.confidence, exp(score / (len(words) + 1)))
                best, best_score = Heard(words, sure, heard.tokens), score
        return best

    def _score(self, text: str, sound: Sound) -> float:
        """The logarithm of the probability of a text, given the sound."""
        return self._decoder.score(self._vocabulary.ids(text), sound)

    def _encode(self, samples: npt.NDArray[np.float32]) -> Array:
        mask = np.ones((1, len(samples)), np.int64)
        states: Array = self._encoder.run(None, {"input_values": samples[None], "attention_mask": mask})[0]
        return states


def without_repeats(ids: list[int]) -> int:
    """How many of the tokens count: a run that stands there three times and more in a row at the end counts once."""
    for size in range(1, 9):
        run = ids[len(ids) - size :]
        times = 1
        while ids[len(ids) - size * (times + 1) : len(ids) - size * times] == run and size * (times + 1) <= len(ids):
            times += 1
        if times >= 3:
            return len(ids) - size * (times - 1)
    return len(ids)
