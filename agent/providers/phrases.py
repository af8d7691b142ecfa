"""How a caller may say something: the phrase language of `agent.rules`, comparable words, spoken digits.

    phrase  = sequence
    sequence = { word | "{" slot "}" | "(" sequence { "|" sequence } ")" | "[" sequence { "|" sequence } "]" }

`[x]` may be left out. Pure; shared by the rules and by the grammar of the offline recogniser.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

__all__ = [
    "DIGIT_WORDS",
    "Choice",
    "Node",
    "PhraseError",
    "SlotRef",
    "Word",
    "number_words",
    "parse_phrase",
    "sounds",
    "spoken_digits",
    "variants",
    "words",
]

DIGIT_WORDS: dict[str, str] = {
    "zero": "0",
    "oh": "0",
    "one": "1",
    "two": "2",
    "three": "3",
    "four": "4",
    "five": "5",
    "six": "6",
    "seven": "7",
    "eight": "8",
    "nine": "9",
}
_DIGIT_NAMES = {digit: word for word, digit in DIGIT_WORDS.items() if word != "oh"}
# Digits only inside a run of digits; elsewhere they are other words.
_DIGIT_LIKE = {"o": "0", "nought": "0", "naught": "0", "nil": "0", "niner": "9"}
_REPEATS = {"double": 2, "triple": 3}
_TENS = {"twenty": "2", "thirty": "3", "forty": "4", "fifty": "5", "sixty": "6", "seventy": "7", "eighty": "8"}
_TENS |= {"ninety": "9"}
# fmt: off
_TEENS = {
    "ten": "10", "eleven": "11", "twelve": "12", "thirteen": "13", "fourteen": "14", "fifteen": "15", "sixteen": "16",
    "seventeen": "17", "eighteen": "18", "nineteen": "19",
}
# fmt: on
_NUMBER_NAMES = {number: word for word, number in _TEENS.items()}
_TEN_NAMES = {digit: word for word, digit in _TENS.items()}

_CONTRACTIONS = (
    (re.compile(r"\bcan't\b"), "can not"),
    (re.compile(r"\bwon't\b"), "will not"),
    (re.compile(r"n't\b"), " not"),
    (re.compile(r"'m\b"), " am"),
    (re.compile(r"'re\b"), " are"),
    (re.compile(r"'ll\b"), " will"),
    (re.compile(r"'ve\b"), " have"),
    (re.compile(r"'d\b"), " would"),
    (re.compile(r"\b(what|where|when|who|how|that|it|there|here)'s\b"), r"\1 is"),
)
_TOKEN = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_PARTS = re.compile(r"\{\s*(\w+)\s*\}|([()\[\]|])|([^\s()\[\]|{}]+)|(\S)")


class PhraseError(ValueError):
    """A phrase that does not follow the phrase language."""


@dataclass(frozen=True, slots=True)
class Word:
    text: str


@dataclass(frozen=True, slots=True)
class SlotRef:
    name: str


@dataclass(frozen=True, slots=True)
class Choice:
    """One of `options` (each a sequence), or nothing if `optional`."""

    options: tuple[tuple[Node, ...], ...]
    optional: bool


Node = Word | SlotRef | Choice
Split = Callable[[str], list[str]]


def words(text: str) -> list[str]:
    """Text in comparable form: lower case, contractions written out, no punctuation."""
    text = text.lower().replace("’", "'")
    for pattern, replacement in _CONTRACTIONS:
        text = pattern.sub(replacement, text)
    return [token.replace("'", "") for token in _TOKEN.findall(text)]


def number_words(figures: str) -> list[str]:
    """ "25" -> "twenty", "five"; three or more figures, and those with a leading zero, digit by digit."""
    if figures in _NUMBER_NAMES:
        return [_NUMBER_NAMES[figures]]
    if len(figures) != 2 or figures[0] == "0":
        return [_DIGIT_NAMES[digit] for digit in figures]
    return [_TEN_NAMES[figures[0]]] + ([_DIGIT_NAMES[figures[1]]] if figures[1] != "0" else [])


def sounds(text: str) -> list[str]:
    """Text in spoken form: lower case, contractions kept ("i'd" is not "i would"), figures digit by digit."""
    return [
        part
        for token in _TOKEN.findall(text.lower().replace("’", "'"))
        for part in ([_DIGIT_NAMES[digit] for digit in token] if token.isascii() and token.isdecimal() else [token])
    ]


@lru_cache(maxsize=4096)
def parse_phrase(phrase: str, split: Split = words) -> tuple[Node, ...]:
    """`split` produces comparable words (`words`) or spoken ones (`sounds`). Raises PhraseError, which names the phrase
    and its mistake."""
    tokens = list(_PARTS.finditer(phrase))
    nodes, at = _sequence(tokens, 0, phrase, split)
    if at < len(tokens):
        raise PhraseError(f"{tokens[at].group()!r} without its opening bracket in the phrase {phrase!r}")
    if not nodes:
        raise PhraseError(f"the phrase {phrase!r} has no words")
    return nodes


def _sequence(tokens: Sequence[re.Match[str]], at: int, phrase: str, split: Split) -> tuple[tuple[Node, ...], int]:
    nodes: list[Node] = []
    while at < len(tokens):
        slot, mark, word, stray = tokens[at].groups()
        if stray:
            raise PhraseError(f"{stray!r} is misplaced in the phrase {phrase!r}")
        if slot:
            nodes.append(SlotRef(slot))
        elif word:
            nodes.extend(Word(token) for token in split(word))
        elif mark in "([":
            choice, at = _choice(tokens, at, phrase, split)
            nodes.append(choice)
            continue
        else:
            break
        at += 1
    return tuple(nodes), at


def _choice(tokens: Sequence[re.Match[str]], at: int, phrase: str, split: Split) -> tuple[Choice, int]:
    closing = ")" if tokens[at].group() == "(" else "]"
    options = []
    while True:
        option, at = _sequence(tokens, at + 1, phrase, split)
        if not option:
            raise PhraseError(f"an empty option in the phrase {phrase!r}")
        options.append(option)
        if at >= len(tokens) or tokens[at].group() not in ("|", closing):
            raise PhraseError(f"{closing!r} is missing in the phrase {phrase!r}")
        if tokens[at].group() == closing:
            return Choice(tuple(options), optional=closing == "]"), at + 1


def variants(nodes: Sequence[Node], limit: int = 256) -> Iterator[tuple[Word | SlotRef, ...]]:
    """The ways to say a phrase, those without optional parts first; at most `limit`."""
    for count, variant in enumerate(_variants(tuple(nodes))):
        if count == limit:
            return
        yield variant


def _variants(nodes: tuple[Node, ...]) -> Iterator[tuple[Word | SlotRef, ...]]:
    if not nodes:
        yield ()
        return
    first, rest = nodes[0], nodes[1:]
    if isinstance(first, Choice):
        if first.optional:
            yield from _variants(rest)
        for option in first.options:
            yield from _variants(option + rest)
        return
    for tail in _variants(rest):
        yield (first, *tail)


def spoken_digits(tokens: Sequence[str]) -> list[str]:
    """The runs of digits in a spoken or keyed text: "order two nine double three oh" -> ["29330"].

    Digits written as a number ("29340") belong to the surrounding run, and so do two-digit numbers ("twenty nine three
    forty").
    """
    runs: list[str] = []
    run, repeat = "", 1
    for place, token in enumerate(tokens):
        digits = token if token.isdecimal() and token.isascii() else DIGIT_WORDS.get(token, "") or _TEENS.get(token, "")
        if token in _TENS:
            unit = DIGIT_WORDS.get(tokens[place + 1], "0") if place + 1 < len(tokens) else "0"
            digits = _TENS[token] + ("0" if unit == "0" else "")
        if not digits and (run or repeat > 1):
            digits = _DIGIT_LIKE.get(token, "")
        if digits:
            run += digits[0] * repeat + digits[1:]
            repeat = 1
        elif token in _REPEATS:
            repeat = _REPEATS[token]
        elif run:
            runs.append(run)
            run, repeat = "", 1
        else:
            repeat = 1
    if run:
        runs.append(run)
    return runs
