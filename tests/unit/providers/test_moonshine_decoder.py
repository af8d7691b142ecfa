"""Our graph of the decoder beside the package's own, on speech of hibari."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import soxr

from agent.providers import _moonshine, hibari
from agent.providers._moonshine_decoder import BEGIN, END, Decoder, Sound
from agent.providers._moonshine_graphs import HEADS, LAYERS, WIDTH
from agent.providers._onnx import files_of, open_model

TEXTS = ["Could you tell me when you open on Monday, please?", "Two tickets.", "My order never came, what now?"]


@cache
def states(text: str) -> Any:
    narrow = np.frombuffer(hibari.speech_of(text, ""), "<i2").astype(np.float32) / 32768
    samples = soxr.resample(narrow, 8000, _moonshine.SAMPLE_RATE)
    return _moonshine.load()._encode(samples * (0.1 / float(np.sqrt((samples**2).mean()))))


def decoder() -> Decoder:
    return _moonshine.load()._decoder


def of_the_package(encoded: Any) -> tuple[list[int], list[float]]:
    """As the package's decoder is meant to be run: one token after the other, with what it has kept."""
    name = "decoder_model_merged.ort"
    files = files_of("moonshine", "moonshine_voice", "assets/tiny-en", {name: _moonshine._HASHES[name]}, "")
    model = open_model("moonshine", files[name])
    given = {"encoder_hidden_states": encoded, "encoder_attention_mask": np.ones((1, encoded.shape[1] * 384), np.int64)}
    for layer in range(LAYERS):
        for kind in ("key", "value"):
            given[f"past_key_values.{layer}.decoder.{kind}"] = np.zeros((1, HEADS, 0, WIDTH), np.float32)
            given[f"past_key_values.{layer}.encoder.{kind}"] = np.zeros((1, HEADS, encoded.shape[1], WIDTH), np.float32)
    ids, sure = [BEGIN], []
    while len(ids) < 40:
        cached = len(ids) > 1
        given |= {"input_ids": np.array([ids[-1:]], np.int64), "use_cache_branch": np.array([cached])}
        names = [each.name for each in model.get_outputs() if not cached or "encoder" not in each.name]
        out = dict(zip(names, model.run(names, given), strict=True))
        logits = out.pop("logits")[0, -1]
        ids.append(int(logits.argmax()))
        sure.append(1 / float(np.exp(logits - logits.max()).sum()))
        if ids[-1] == END:
            break
        given |= {name.replace("present", "past_key_values"): value for name, value in out.items()}
    return ids[1:-1], sure


@pytest.mark.parametrize("text", TEXTS)
def test_it_finds_the_tokens_of_the_packages_decoder_as_surely(text: str) -> None:
    ids, sure = decoder().likeliest(decoder().sound(states(text)), 40)
    expected, as_sure = of_the_package(states(text))
    assert ids == expected and len(ids) > 2
    assert sure == pytest.approx(as_sure, abs=0.01)


@pytest.mark.parametrize("right", [0, 1, 5, 100])
def test_a_guess_saves_steps_and_gives_the_same_tokens(right: int, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = decoder().sound(states(TEXTS[0]))
    ids, sure = decoder().likeliest(sound, 40)
    steps: list[int] = []
    run = Decoder._run

    def counted(self: Decoder, tokens: list[int], first: int, sound: Sound, *rest: Any) -> Any:
        steps.append(len(tokens))
        return run(self, tokens, first, sound, *rest)

    monkeypatch.setattr(Decoder, "_run", counted)
    guess = [*ids[:right], *([] if right >= len(ids) else [ids[right] + 1, 7])]
    again, as_sure = decoder().likeliest(sound, 40, guess)
    assert again == ids
    assert as_sure == pytest.approx(sure, abs=0.1)
    assert len(steps) <= len(ids) + 1 - min(right, len(ids))


def test_no_more_tokens_than_asked_for() -> None:
    sound = decoder().sound(states(TEXTS[0]))
    ids, _ = decoder().likeliest(sound, 40)
    for guess in ([], ids, ids + ids):
        assert decoder().likeliest(sound, 4, guess)[0] == ids[:4]


def test_what_was_said_scores_higher_than_what_was_not() -> None:
    vocabulary, sound = _moonshine.load()._vocabulary, decoder().sound(states(TEXTS[1]))
    said, other = (decoder().score(vocabulary.ids(text), sound) for text in ("Two tickets.", "Two ticklish."))
    assert 0 > said > other + 1
    assert decoder().score([], sound) == float("-inf")
