"""Moonshine tiny (English) in onnxruntime: 16 kHz audio in, words with confidences out. Blocking; see moonshine.py.

The model is in the package moonshine-voice (MIT); only its three files are used. It hears a whole utterance at once:
the encoder's time goes with the audio, the decoder's with the words. It repeats itself on trailing silence, so the
number of tokens a second is capped, and a tail that says the same again and again is cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import exp, log
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.providers._onnx import check_machine, files_of, open_model
from agent.providers.base import ProviderUnavailable

__all__ = ["NAME", "SAMPLE_RATE", "Heard", "Moonshine", "Word", "load"]

NAME = "moonshine"
SAMPLE_RATE = 16_000
LEAST_SAMPLES = 2_400  # the encoder's convolutions need some; nothing shorter is a word
_HASHES = {  # of moonshine-voice 0.0.73
    "encoder_model.ort": "94e90a4654fc45cdfedb77c4c08e1739f48862998e58fada384b25118134f221",
    "decoder_model_merged.ort": "cf524c4862d36e9e5ab032eddc73637efd822d70e868ac575cf1a46e1e4708a0",
    "tokenizer.bin": "6884b35fd6377d4c4d32336a0bc152f36b64d1e45b6503683cdc238250a8472d",
}
_NEEDS_MIB = 120
_LAYERS, _HEADS, _WIDTH = 6, 8, 36
_BEGIN, _END = 1, 2
_TOKENS_A_SECOND = 6.5
_SPACE = "\u2581".encode()

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Word:
    """As it was written, with its punctuation. `confidence`: 0 to 1, of its least sure part."""

    text: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Heard:
    """`confidence`: the geometric mean of the tokens', 0 to 1."""

    words: tuple[Word, ...]
    confidence: float

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)


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
    model = Moonshine(
        open_model(NAME, files["encoder_model.ort"]),
        open_model(NAME, files["decoder_model_merged.ort"]),
        read_tokens(files["tokenizer.bin"]),
    )
    model.hear(np.zeros(SAMPLE_RATE, np.float32))  # what the first use loads is shared too
    return model


def read_tokens(path: Path) -> list[bytes]:
    """The vocabulary: a length of one byte, or two from 128 on, and the token's bytes."""
    data, tokens, at = path.read_bytes(), [], 0
    while at < len(data):
        length = data[at]
        at += 1
        if length >= 128:
            length += data[at] * 128 - 128
            at += 1
        tokens.append(data[at : at + length])
        at += length
    return tokens


class Moonshine:
    """Sessions are shared by all calls of the process; they may be used by several threads at once."""

    def __init__(self, encoder: Any, decoder: Any, tokens: list[bytes]) -> None:
        self._encoder = encoder
        self._decoder = decoder
        self._tokens = tokens
        self._outputs = [output.name for output in decoder.get_outputs()]

    def hear(self, samples: npt.NDArray[np.float32]) -> Heard:
        """`samples`: 16 kHz, -1 to 1. Raises ProviderUnavailable."""
        if len(samples) < LEAST_SAMPLES:
            return Heard((), 1.0)
        try:
            ids, sure = self._decode(self._encode(samples), len(samples))
        except Exception as error:  # as above: no common base
            raise ProviderUnavailable(NAME, f"the model failed: {error}") from error
        kept = without_repeats(ids)
        counted = sure[: len(ids)]  # not how sure it is that nothing follows
        mean = exp(sum(map(log, counted)) / len(counted)) if counted else 1.0
        return Heard(self._words(ids[:kept], sure), mean)

    def _encode(self, samples: npt.NDArray[np.float32]) -> Array:
        mask = np.ones((1, len(samples)), np.int64)
        states: Array = self._encoder.run(None, {"input_values": samples[None], "attention_mask": mask})[0]
        return states

    def _decode(self, states: Array, samples: int) -> tuple[list[int], list[float]]:
        """Greedy. Token ids without begin and end, and the probability of each, the end's included. The mask is one of
        samples: the model thins it out itself."""
        fixed = {"encoder_hidden_states": states, "encoder_attention_mask": np.ones((1, samples), np.int64)}
        past = _empty_past(states.shape[1])
        ids: list[int] = []
        sure: list[float] = []
        last, cached = _BEGIN, False
        for _ in range(int(samples / SAMPLE_RATE * _TOKENS_A_SECOND) + 4):
            given = {"input_ids": np.array([[last]], np.int64), "use_cache_branch": np.array([cached]), **fixed, **past}
            out = dict(zip(self._outputs, self._decoder.run(None, given), strict=True))
            last, probability = _best(out["logits"][0, -1])
            sure.append(probability)
            if last == _END:
                break
            ids.append(last)
            for name in past:
                if "decoder" in name or not cached:  # what the encoder's keys are is computed once
                    past[name] = out[name.replace("past_key_values", "present")]
            cached = True
        return ids, sure

    def _words(self, ids: list[int], sure: list[float]) -> tuple[Word, ...]:
        words: list[tuple[bytes, float]] = []
        for token_id, probability in zip(ids, sure, strict=False):
            piece = self._tokens[token_id] if token_id < len(self._tokens) else b""
            if piece.startswith(_SPACE) or not words:
                words.append((piece.removeprefix(_SPACE), probability))
            else:
                text, least = words[-1]
                words[-1] = (text + piece, min(least, probability))
        readable = ((text.decode("utf-8", "ignore").replace("\u2581", " ").strip(), least) for text, least in words)
        return tuple(Word(text, round(least, 3)) for text, least in readable if text)


def _empty_past(length: int) -> dict[str, Array]:
    past: dict[str, Array] = {}
    for layer in range(_LAYERS):
        for kind in ("key", "value"):
            past[f"past_key_values.{layer}.decoder.{kind}"] = np.zeros((1, _HEADS, 0, _WIDTH), np.float32)
            past[f"past_key_values.{layer}.encoder.{kind}"] = np.zeros((1, _HEADS, length, _WIDTH), np.float32)
    return past


def _best(logits: Array) -> tuple[int, float]:
    best = int(logits.argmax())
    return best, max(1e-6, 1.0 / float(np.exp(logits - logits[best]).sum()))


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
