"""Which patterns of words are in a text that a recogniser has more or less understood."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from telephony.media.answering.likeness import Vocabulary

__all__ = ["Expression", "Phrase", "Phrases", "Strength", "WordingMatch", "expression", "spoken_words"]

_GAP = r"(?: \S+){0,5}?"
_NOT_A_WORD = re.compile(r"[^\w]+|_")
_ELEMENT = re.compile(r"(?:\.\.\.|(?:\{[a-z_]+\}|[^\W_]+\*?)(?:\|(?:\{[a-z_]+\}|[^\W_]+\*?))*\??)")


class Strength(StrEnum):
    SURE = "sure"  # hardly anybody else says this
    LIKELY = "likely"
    HINT = "hint"


@dataclass(frozen=True, slots=True)
class WordingMatch:
    """`of`: a value of `AnsweredBy`, or "beep" (a beep is announced). `concept`: what is said; patterns that say the
    same count once. `pattern`: as the file has it."""

    of: str
    strength: Strength
    concept: str
    pattern: str
    language: str


@dataclass(frozen=True, slots=True)
class Expression:
    """`anchors`: one of these words has to be there. `words`: all that it is made of."""

    regex: str
    anchors: frozenset[str]
    words: frozenset[str]


@dataclass(frozen=True, slots=True)
class Phrase:
    """Expressions are compiled when they are needed first: most never are."""

    match: WordingMatch
    expression: Expression
    never_with: tuple[Expression, ...]
    whole: bool  # the turn is this and nothing more, and is over
    most_words: int  # of the turn; 0: any number


def spoken_words(text: str) -> str:
    """As patterns are compared: lower case, without accents and punctuation, one space before each word."""
    folded = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(letter for letter in folded if not unicodedata.combining(letter))
    words = _NOT_A_WORD.sub(" ", plain).split()
    return "".join(f" {word}" for word in words)


class Phrases:
    """Those of one file. `small`: words that may be missing or too many anywhere. Phrases that need a certain word are
    only looked for where it occurs."""

    def __init__(self, phrases: Iterable[Phrase], small: Iterable[str]) -> None:
        self.phrases = tuple(phrases)
        self._small = frozenset(small)
        self._anywhere: list[Phrase] = []
        self._by_word: dict[str, list[Phrase]] = {}
        words: set[str] = set(self._small)
        for phrase in self.phrases:
            words.update(phrase.expression.words, *(never.words for never in phrase.never_with))
            if not phrase.expression.anchors:
                self._anywhere.append(phrase)
            for word in phrase.expression.anchors:
                self._by_word.setdefault(word, []).append(phrase)
        self._vocabulary = Vocabulary(words)

    def matches(self, words: Sequence[str], *, over: bool) -> Iterable[WordingMatch]:
        """Of the words of one turn, as `spoken_words` has them."""
        words = [word for word in self._vocabulary.corrected(words) if word not in self._small]
        said = "".join(f" {word}" for word in words)
        looked_at: dict[int, None] = {}
        for phrase in (*self._anywhere, *(p for word in dict.fromkeys(words) for p in self._by_word.get(word, ()))):
            if id(phrase) in looked_at:
                continue
            looked_at[id(phrase)] = None
            if (phrase.whole and not over) or 0 < phrase.most_words < len(words):
                continue
            regex = _regex(phrase.expression.regex)
            hit = regex.fullmatch(said) if phrase.whole else regex.search(said)
            if hit and not any(_regex(never.regex).search(said) for never in phrase.never_with):
                yield phrase.match


def expression(text: str, sets: Mapping[str, Sequence[str]], small: frozenset[str]) -> Expression:
    """Of a pattern. Its anchors are the words of its rarest looking element. Raises ValueError."""
    parts: list[str] = []
    anchors, words, wanted = frozenset[str](), set[str](), False
    for element in text.split():
        if not _ELEMENT.fullmatch(element):
            raise ValueError(f"{element!r} is neither words joined by |, {{set}} nor ...")
        if element == "...":
            parts.append(_GAP)
            continue
        whole = _choices(element.removesuffix("?"), sets)
        choices = list(dict.fromkeys(filter(None, (_without(choice, small) for choice in whole))))
        if not choices:
            continue
        words.update(word for choice in choices for word in choice.split() if not word.endswith("*"))
        optional = element.endswith("?") or not all(_without(choice, small) for choice in whole)
        parts.append(f"(?:{'|'.join(map(_word, choices))}){'?' if optional else ''}")
        wanted = wanted or not optional
        lasts = frozenset(choice.split()[-1] for choice in choices)
        if not optional and "*" not in "".join(choices) and _weight(lasts) > _weight(anchors):
            anchors = lasts
    if not wanted:
        raise ValueError("it has no words that must be there")
    return Expression("".join(parts) + r"(?!\S)", anchors, frozenset(words))


def _without(choice: str, small: frozenset[str]) -> str:
    return " ".join(word for word in choice.split() if word not in small)


@cache
def _regex(regex: str) -> re.Pattern[str]:
    return re.compile(regex)


def _choices(element: str, sets: Mapping[str, Sequence[str]]) -> list[str]:
    choices = []
    for choice in element.split("|"):
        if not choice.startswith("{"):
            choices.append(spoken_words(choice.removesuffix("*")).strip() + ("*" if choice.endswith("*") else ""))
        elif choice[1:-1] in sets:
            choices += [spoken_words(words).strip() for words in sets[choice[1:-1]]]
        else:
            raise ValueError(f"there is no set {choice}")
    return choices


def _word(choice: str) -> str:
    """Of one or more words; with `*` the beginning of one."""
    return " " + (re.escape(choice[:-1]) + r"\S*" if choice.endswith("*") else re.escape(choice).replace(r"\ ", " "))


def _weight(words: frozenset[str]) -> float:
    """How seldom these words are looked for in vain: long ones are rarer, and few rarer than many."""
    return sum(len(word) for word in words) / len(words) - 0.3 * len(words) if words else -99.0
