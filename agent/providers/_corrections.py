"""Corrects a free recogniser's text towards the persona's expectations: names and products that no model knows.

Only words that the recogniser was unsure of are replaced: by an expected value that sounds alike, or by any of the
persona's words or short phrases if the recogniser itself finds it likely, too ("could buy" -> "goodbye"). Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from functools import lru_cache
from typing import Protocol

from agent.providers.base import Expectations
from agent.providers.phrases import DIGIT_WORDS, PhraseError, SlotRef, Word, parse_phrase, sounds, variants

__all__ = ["SureWord", "alternatives", "corrected"]

_UNSURE = 0.8
_LIKE = 0.72  # of letters in common (difflib)
_LIKE_FIRST = 0.6  # for those with the same first letter
_LIKE_AT_ALL = 0.5  # for the recogniser to be asked
_AS_LONG = 0.6  # the shorter of the two, as a share of the longer
_LEAST_LETTERS = 5  # short words sound like too many others
_MOST = 6  # alternatives per utterance: each costs about 4 ms
_RUN = 3  # words that may stand for another
_SHORT = 4  # longest phrase, in words, that is taken whole
_BARE = re.compile(r"[^\w']+")
_SOUNDS = (("ph", "f"), ("ck", "k"), ("c", "k"), ("qu", "kw"), ("x", "ks"), ("z", "s"), ("y", "i"), ("ee", "i"))


class SureWord(Protocol):
    @property
    def text(self) -> str: ...

    @property
    def confidence(self) -> float: ...


def corrected(words: Sequence[SureWord], expectations: Expectations) -> str:
    """The words' text, with unsure runs of words replaced by slot values that sound like them."""
    texts = [word.text for word in words]
    values = list(_values(expectations))
    expected = _words_of(expectations)
    at = 0
    while at < len(words):
        for value in values:
            length = len(value.split())
            run = words[at : at + length]
            if len(run) < length or all(_bare(word.text) in expected for word in run):
                continue  # "morning" is expected too: it is not taken for "Monday"
            if min(word.confidence for word in run) < _UNSURE and _alike(run, value):
                tail = re.search(r"[.,!?;:]*$", run[-1].text)
                texts[at : at + length] = [value + (tail[0] if tail else ""), *[""] * (length - 1)]
                at += length - 1
                break
        at += 1
    return " ".join(text for text in texts if text)


def alternatives(words: Sequence[SureWord], expectations: Expectations) -> list[str]:
    """Texts that may have been said instead: a run of words that are not all certain and expected is one of the
    persona's terms. Those with only expected words come first, then the most similar."""
    terms, expected = _terms(expectations.phrases, tuple(_values(expectations)))
    found: dict[str, float] = {}
    for length in range(1, min(_RUN, len(words)) + 1):
        for at in range(len(words) - length + 1):
            run = words[at : at + length]
            if min(word.confidence for word in run) >= _UNSURE or all(_bare(word.text) in expected for word in run):
                continue
            if any(_bare(word.text) in DIGIT_WORDS for word in run):
                continue
            sound = _sound(_bare("".join(word.text for word in run)))
            for term, term_sound in terms:
                like = _likeness(sound, term_sound)
                for text in _with(words, at, length, term) if like >= _LIKE_AT_ALL else ():
                    found[text] = max(like, found.get(text, 0.0))
    return sorted(found, key=lambda text: (not _is_expected(text, expected), -found[text], text))[:_MOST]


def _is_expected(text: str, expected: frozenset[str]) -> bool:
    """Whether all words are the persona's."""
    return all(_bare(word) in expected for word in text.split())


def _likeness(one: str, other: str) -> float:
    if not one or min(len(one), len(other)) < max(len(one), len(other)) * _AS_LONG:
        return 0.0
    return SequenceMatcher(None, one, other, autojunk=False).ratio()


def _with(words: Sequence[SureWord], at: int, length: int, term: str) -> list[str]:
    """The text with the term in place of a run of words, with the run's case and ending; and with a comma before it,
    without which the recogniser finds a farewell or a name unlikely. Empty: no change."""
    first, last = words[at].text, words[at + length - 1].text
    if first[:1].isupper():
        term = term[:1].upper() + term[1:]
    tail = re.search(r"[.,!?;:]*$", last)
    texts = [word.text for word in words]
    rest = [term + (tail[0] if tail else ""), *texts[at + length :]]
    new = " ".join([*texts[:at], *rest])
    if _BARE.sub(" ", new.lower()) == _BARE.sub(" ", " ".join(texts).lower()):
        return []
    if at and texts[at - 1][-1:].isalnum():
        return [new, " ".join([*texts[: at - 1], f"{texts[at - 1]},", *rest])]
    return [new]


@lru_cache(maxsize=64)
def _terms(phrases: tuple[str, ...], values: tuple[str, ...]) -> tuple[list[tuple[str, str]], frozenset[str]]:
    """A persona's expectations, as words and short phrases with their sounds; and the bare words."""
    terms: dict[str, None] = dict.fromkeys(values)
    for phrase in phrases:
        try:
            said = list(variants(parse_phrase(phrase, sounds), limit=32))
        except PhraseError:
            continue
        for variant in said:
            texts = [part.text for part in variant if isinstance(part, Word)]
            terms.update(dict.fromkeys(texts))
            if len(texts) <= _SHORT and not any(isinstance(part, SlotRef) for part in variant):
                terms[" ".join(texts)] = None
    expected = frozenset(_bare(word) for term in terms for word in term.split())
    return [(term, _sound(_bare(term))) for term in terms if len(_bare(term)) >= _LEAST_LETTERS], expected


def _words_of(expectations: Expectations) -> set[str]:
    texts = [*expectations.phrases, *(value for values in expectations.slots.values() for value in values)]
    return {_bare(word) for text in texts for word in re.findall(r"[\w']+", text)}


def _values(expectations: Expectations) -> Iterator[str]:
    """Longest first."""
    found = {value for values in expectations.slots.values() for value in values}
    yield from sorted(found, key=lambda value: (-len(value.split()), value))


def _alike(run: Sequence[SureWord], value: str) -> bool:
    heard, wanted = _bare(" ".join(word.text for word in run)), _bare(value)
    if heard == wanted or not heard or len(wanted) < 3:
        return False  # as it should be, or too short to tell
    ratio = SequenceMatcher(None, _sound(heard), _sound(wanted), autojunk=False).ratio()
    return ratio >= (_LIKE_FIRST if heard[0] == wanted[0] else _LIKE)


def _bare(text: str) -> str:
    return _BARE.sub("", text.lower())


def _sound(text: str) -> str:
    for letters, sound in _SOUNDS:
        text = text.replace(letters, sound)
    return re.sub(r"(.)\1", r"\1", text)
