"""Moonshine's decoder at work: the likeliest tokens for a sound, and how likely given ones are. Blocking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.providers._moonshine_graphs import HEADS, LAYERS, WIDTH

__all__ = ["Decoder", "Sound"]

BEGIN, END = 1, 2

Array = npt.NDArray[Any]
Sound = Mapping[str, Array]  # each layer's keys and values of the encoder's states
_NOTHING = {
    f"past.{layer}.{kind}": np.zeros((1, HEADS, 0, WIDTH), np.float32)
    for layer in range(LAYERS)
    for kind in ("key", "value")
}


class Decoder:
    """`of_sound`, `of_tokens`: sessions of the graphs."""

    def __init__(self, of_sound: Any, of_tokens: Any) -> None:
        self._of_sound = of_sound
        self._of_tokens = of_tokens
        self._kinds = [output.name for output in of_sound.get_outputs()]
        self._outputs = [output.name for output in of_tokens.get_outputs()]

    def sound(self, states: Array) -> Sound:
        return dict(zip(self._kinds, self._of_sound.run(self._kinds, {"states": states}), strict=True))

    def likeliest(self, sound: Sound, most: int, guess: Sequence[int] = ()) -> tuple[list[int], list[float]]:
        """Greedy, `most` tokens at most. Token ids without begin and end, and the probability of each, the end's
        included. `guess`: tokens that it may begin with. Several cost little more than one: as far as each is
        the likeliest after those before it, they are taken."""
        ids: list[int] = []
        sure: list[float] = []
        past: Mapping[str, Array] = _NOTHING
        given = [BEGIN, *guess[: most - 1]]
        while len(sure) < most:
            out = self._run(given, len(ids), sound, past)
            for used, row in enumerate(out.pop("logits")[0], 1):
                best, probability = _best(row)
                sure.append(probability)
                if best == END:
                    return ids, sure
                ids.append(best)
                if used < len(given) and given[used] != best:
                    out = {name: value[:, :, : len(ids)] for name, value in out.items()}  # of what was right
                    break
            past = {name.replace("present", "past"): value for name, value in out.items()}
            given = ids[-1:]
        return ids, sure

    def score(self, ids: Sequence[int], sound: Sound) -> float:
        """The logarithm of the probability of these tokens, and that nothing follows."""
        if not ids:
            return -inf
        logits = self._run([BEGIN, *ids], 0, sound, _NOTHING, ["logits"])["logits"][0].astype(np.float64)
        logits -= logits.max(axis=1, keepdims=True)
        chosen = logits[np.arange(len(ids) + 1), [*ids, END]]
        return float((chosen - np.log(np.exp(logits).sum(axis=1))).sum())

    def _run(
        self,
        tokens: Sequence[int],
        first: int,
        sound: Sound,
        past: Mapping[str, Array],
        outputs: list[str] | None = None,
    ) -> dict[str, Array]:
        """`first`: the place of the first of these tokens in the text."""
        names = outputs or self._outputs
        places = np.arange(first, first + len(tokens), dtype=np.int64)[None]
        given = {"tokens": np.array([tokens], np.int64), "places": places, **sound, **past}
        return dict(zip(names, self._of_tokens.run(names, given), strict=True))


def _best(logits: Array) -> tuple[int, float]:
    best = int(logits.argmax())
    return best, max(1e-6, 1.0 / float(np.exp(logits - logits[best]).sum()))
