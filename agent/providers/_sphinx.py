"""PocketSphinx decoders and their confidence measure.

A `Recogniser` runs two decoders side by side: one follows the grammar (or a language model), the other any sequence of
phones. How much worse, per frame, the grammar explains the sound than free phones do separates speech within the
grammar from other speech, which a grammar alone would take for its nearest phrase.

The settings come from `bench/grammar_hearing.py`; docs/speech-offline.md has the figures.
"""

from __future__ import annotations

import logging
import math
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pocketsphinx
import soxr

from agent.providers.base import Expectations
from agent.providers.g2p import pronounce
from agent.providers.grammar import FILLERS, Grammar, compile_grammar
from telephony.media.frames import SAMPLE_RATE

__all__ = ["Heard", "Recogniser", "borrow", "give_back", "pooled", "prepare"]

_log = logging.getLogger(__name__)

_MODEL_RATE = 16000  # Hz
_LANGUAGE_WEIGHT = 6.5
# The model's own settings, except for `remove_noise`, which costs accuracy on telephone speech.
_FEATURES = Path(__file__).with_name("pocketsphinx.params")
_COMMON: dict[str, Any] = {"featparams": str(_FEATURES), "bestpath": False, "loglevel": "FATAL"}
# A word costs something (wip), or loops of short words explain anything; beams are wide, since grammars are small.
_GRAMMAR = {"lm": None, "wip": 0.05, "beam": 1e-60, "wbeam": 1e-40, "pbeam": 1e-60}
# It listens for no words, so it needs none of the dictionary's 24 MiB.
_PHONES = {"lm": None, "dict": None, "lw": 2.0, "beam": 1e-20, "pbeam": 1e-20}
_DICTATION = {"fwdflat": False, "bestpath": True, "maxhmmpf": 10000, "ds": 2}
# The mean cepstrum of telephone speech, from which each call's own is learned.
_TELEPHONE_CMN = "50,22,-47,42,-26,3,8,-30,17,-19,2,2,-13"

# Score difference a frame: over the words; and over all speech, where what the grammar passed over as silence counts
# and short utterances get the benefit of the doubt. `_MIDDLE` is where the mean of both says neither yes nor no.
_BENEFIT_FRAMES = 80
_MIDDLE = -28.5
_SLOPE = 3.0
_LOG_BASE = math.log(1.0001)  # of the decoder's scores
_FILLER_PROBABILITY = 0.03  # "please" and the like are short, and would be heard in any noise around a phrase
_GRAMMARS_KEPT = 16  # per recogniser; a persona rarely has more


@dataclass(frozen=True, slots=True)
class Heard:
    """The grammar's result for an utterance. `confidence` below 0.5: it was probably something else."""

    text: str
    confidence: float


_Segment = tuple[str, int, int, float]  # word or phone, first frame, last frame, log score


class _Searching:
    """One decoder in one utterance after another."""

    def __init__(self, decoder: Any) -> None:
        self.decoder = decoder

    def start(self, cmn: str) -> None:
        self.decoder.set_cmn(cmn)
        self.decoder.start_utt()

    def segments(self) -> list[_Segment]:
        return [
            (segment.word, segment.start_frame, segment.end_frame, math.log(max(segment.ascore, 1e-300)) / _LOG_BASE)
            for segment in self.decoder.seg() or ()
        ]


@cache
def _phone_model() -> str:
    return str(pocketsphinx.get_model_path("en-us/en-us-phone.lm.bin"))


class Recogniser:
    """Used by one utterance at a time: `start`, `feed` …, `finish`. Blocking, for a worker thread."""

    def __init__(self) -> None:
        pocketsphinx.set_loglevel("FATAL")
        self._words = _Searching(pocketsphinx.Decoder(**{**_COMMON, **_GRAMMAR}))
        self._phones = _Searching(pocketsphinx.Decoder(**{**_COMMON, **_PHONES}, allphone=_phone_model()))
        self._grammars: OrderedDict[str, Grammar] = OrderedDict()
        self._names: dict[str, str] = {}
        self._dictation: _Searching | None = None
        self._active: _Searching = self._words
        self._grammar: Grammar | None = None
        self._resampler = soxr.ResampleStream(SAMPLE_RATE, _MODEL_RATE, 1, dtype="float32")

    def load_dictation(self) -> None:
        """Load the language model (88 MiB, 0.4 s)."""
        if self._dictation is None:
            self._dictation = _Searching(pocketsphinx.Decoder(**{**_COMMON, **_DICTATION}))

    def add_grammar(self, expectations: Expectations) -> None:
        """Raises PhraseError."""
        key = repr(expectations)
        if key in self._names:
            self._grammars.move_to_end(key)
            return
        grammar = compile_grammar(expectations)
        decoder = self._words.decoder
        unknown = self._add_words(grammar.words)
        if len(self._grammars) >= _GRAMMARS_KEPT:
            old, _ = self._grammars.popitem(last=False)
            decoder.activate_search(self._names[next(iter(self._grammars))])
            decoder.remove_search(self._names.pop(old))
        name = f"g{len(self._names)}_{abs(hash(key))}"
        model = pocketsphinx.FsgModel(name, decoder.logmath, _LANGUAGE_WEIGHT, grammar.states + 1)
        end = grammar.states
        filler_cost = int(decoder.logmath.log(_FILLER_PROBABILITY) * _LANGUAGE_WEIGHT)
        for source, word, target in grammar.arcs:
            if word in unknown:
                continue
            number = model.word_add(word)
            cost = filler_cost if word in FILLERS else 0
            model.trans_add(source, target, cost, number)
            if target in grammar.final:
                model.trans_add(source, end, cost, number)
        model.set_start_state(0)
        model.set_final_state(end)
        decoder.add_fsg(name, model)
        self._names[key] = name
        self._grammars[key] = grammar

    def _add_words(self, words: Iterable[str]) -> set[str]:
        """Add pronunciations for words missing in the dictionary; returns words for which there is none."""
        decoder = self._words.decoder
        missing = [word for word in sorted(words) if decoder.lookup_word(word) is None]
        pronounced = {word: phones for word in missing if (phones := pronounce(word))}
        for number, (word, phones) in enumerate(pronounced.items(), 1):
            decoder.add_word(word, phones, number == len(pronounced))
        if pronounced:
            _log.info("pronounced by rule, not by dictionary: %s", ", ".join(pronounced))
        left_out = set(missing) - set(pronounced)
        if left_out:
            _log.warning("words that cannot be recognised are left out: %s", ", ".join(sorted(left_out)))
        return left_out

    def start(self, expectations: Expectations | None, cmn: str) -> None:
        """Begin an utterance. `expectations` None: free dictation. `cmn`: empty, or what this call's last `finish`
        returned."""
        self._resampler.clear()
        if expectations is None:
            self.load_dictation()
            assert self._dictation is not None
            self._active, self._grammar = self._dictation, None
        else:
            self.add_grammar(expectations)
            key = repr(expectations)
            self._active, self._grammar = self._words, self._grammars[key]
            self._words.decoder.activate_search(self._names[key])
            self._phones.start(cmn or _TELEPHONE_CMN)
        self._active.start(cmn or _TELEPHONE_CMN)

    def feed(self, pcm: bytes, *, last: bool = False) -> None:
        """8 kHz audio. Each call holds the interpreter while decoding: pass 20 ms at a time."""
        samples = np.frombuffer(pcm, np.int16).astype(np.float32)
        wide = self._resampler.resample_chunk(samples, last=last)
        data = np.clip(np.rint(wide), -32768, 32767).astype(np.int16).tobytes()
        if data:
            self._active.decoder.process_raw(data)
            if self._grammar is not None:
                self._phones.decoder.process_raw(data)

    def finish(self) -> tuple[Heard, str]:
        """The result, and the cepstral mean for the next utterance of the same call."""
        self.feed(b"", last=True)
        self._active.decoder.end_utt()
        if self._grammar is not None:
            self._phones.decoder.end_utt()
        hypothesis = self._active.decoder.hyp()
        cmn = str(self._active.decoder.get_cmn(True))
        text = hypothesis.hypstr.strip() if hypothesis is not None else ""
        if not text:
            return Heard("", 0.0), cmn
        if self._grammar is None:
            return Heard(text, min(1.0, max(0.0, float(hypothesis.prob)))), cmn
        if not self._grammar.accepts(text.split()):
            return Heard("", 0.0), cmn
        return Heard(text, _confidence(self._words.segments(), self._phones.segments())), cmn

    def abandon(self) -> None:
        """End an utterance whose result is not needed."""
        self._active.decoder.end_utt()
        if self._grammar is not None:
            self._phones.decoder.end_utt()


def _confidence(words: Sequence[_Segment], phones: Sequence[_Segment]) -> float:
    """0..1 from how much worse the words fit than free phones do."""
    frames = 1 + max((last for _, _, last, _ in (*words, *phones)), default=0)
    difference = np.zeros(frames)
    in_words = np.zeros(frames, bool)
    in_speech = np.zeros(frames, bool)
    for sign, segments in ((1, words), (-1, phones)):
        for name, first, last, score in segments:
            difference[first : last + 1] += sign * score / (last - first + 1)
            if name[0] not in "<+[" and name != "SIL":
                in_speech[first : last + 1] = True
                if sign == 1:
                    in_words[first : last + 1] = True
    if not in_words.any():
        return 0.0
    first, last = np.flatnonzero(in_speech)[[0, -1]]
    whole = difference[first : last + 1].sum() / (last + 1 - first + _BENEFIT_FRAMES)
    score = (difference[in_words].mean() + whole) / 2
    return float(1 / (1 + math.exp(min(50.0, (_MIDDLE - score) / _SLOPE))))


_free: list[Recogniser] = []  # of this process; a fork copies it and shares the memory of the models


def borrow() -> Recogniser:
    """One recogniser, for an utterance. Created (0.2 s) if none is free."""
    try:
        return _free.pop()
    except IndexError:
        return Recogniser()


def give_back(recogniser: Recogniser) -> None:
    _free.append(recogniser)


def pooled() -> int:
    return len(_free)


def prepare(count: int, *, grammars: Iterable[Expectations] = (), dictation: bool = False) -> None:
    """Fill the pool to `count`. For the warm parent, before it forks."""
    while len(_free) < count:
        _free.append(Recogniser())
    for recogniser in _free:
        if dictation:
            recogniser.load_dictation()
        for expectations in grammars:
            recogniser.add_grammar(expectations)
