"""Normalises a free recogniser's text for comparison with rules: without fillers and stutters, figures as words, and
near misses replaced by the rules' words. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from agent.providers.phrases import Choice, Node, PhraseError, Word, number_words, parse_phrase, words
from agent.rules import Rules

__all__ = ["compared", "corrected_part", "heard", "stem"]

_FILLERS = frozenset({"um", "umm", "uh", "uhm", "er", "erm", "hm", "hmm", "mm", "ah", "eh"})
_SPOKEN = {
    "gonna": ("going", "to"),
    "wanna": ("want", "to"),
    "gotta": ("got", "to"),
    "lemme": ("let", "me"),
    "gimme": ("give", "me"),
    "cannot": ("can", "not"),
    "dont": ("do", "not"),
    "doesnt": ("does", "not"),
    "cant": ("can", "not"),
    "im": ("i", "am"),
    "ive": ("i", "have"),
    "whats": ("what", "is"),
    "wheres": ("where", "is"),
    "whens": ("when", "is"),
    "thats": ("that", "is"),
}
_SAME = {"yeah": "yes", "yep": "yes", "yup": "yes", "yes": "yes", "nope": "no", "nah": "no", "ok": "okay"}
_MERIDIEM = re.compile(r"(?<=[\d ])([ap])\.?\s?m\b\.?", re.IGNORECASE)
_GLUED = re.compile(r"(\d)(?=[ap]m\b)", re.IGNORECASE)
_ORDINALS = {"1st": "first", "2nd": "second", "3rd": "third", "4th": "fourth", "5th": "fifth", "6th": "sixth"}
_ORDINALS |= {"7th": "seventh", "8th": "eighth", "9th": "ninth", "10th": "tenth", "11th": "eleventh", "12th": "twelfth"}
# fmt: off
_NUMBERS = frozenset({
    "zero", "oh", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty", "thirty", "forty",
    "fifty", "sixty", "seventy", "eighty", "ninety", "double", "triple",
})
# Everyday words that are one letter away from others, and never taken for them.
_COMMON = frozenset({
    "about", "above", "after", "again", "where", "there", "these", "their", "think", "thing", "place", "plane",
    "please", "price", "first", "order", "other", "under", "older", "early", "later", "night", "right", "light",
    "might", "sight", "could", "would", "should", "house", "horse", "hours", "years", "money", "month", "mouth",
    "morning", "evening", "opening", "often", "close", "closed", "clothes", "today", "friday", "sunday", "monday",
    "tuesday", "thursday", "saturday", "track", "truck", "check", "speak", "spend", "sound", "found", "round",
    "ground", "billing", "filling", "building",
})
# fmt: on
_ONE_SLIP, _TWO_SLIPS = 5, 9  # word lengths from which one or two letters may be wrong
_ANOTHER_CLAUSE = frozenset(
    {"i", "but", "just", "can", "could", "what", "when", "where", "how", "rather", "instead", "please"}
)
# What people say before they correct themselves.
_CORRECTIONS = (
    ("no", "wait"),
    ("wait", "no"),
    ("no", "sorry"),
    ("sorry", "no"),
    ("no", "actually"),
    ("sorry", "i", "mean"),
    ("no", "i", "mean"),
    ("i", "mean"),
    ("i", "meant"),
    ("or", "rather"),
    ("make", "that"),
    ("make", "it"),
    ("scratch", "that"),
)


def compared(text: str) -> list[str]:
    """Words of a text or of a phrase, with figures as people say them: "4 p.m." -> "four", "pm"."""
    tokens: list[str] = []
    for token in words(_GLUED.sub(r"\1 ", _MERIDIEM.sub(r"\1m", text))):
        if token.isascii() and token.isdecimal():
            tokens += number_words(token)
        elif token in _SPOKEN:
            tokens += _SPOKEN[token]
        else:
            tokens.append(_ORDINALS.get(token, token))
    return tokens


def heard(rules: Rules, text: str) -> list[str]:
    """The utterance's words, mapped to similar-sounding words of the rules."""
    known = _vocabulary(
        tuple(phrase for intent in rules.intents for phrase in intent.phrases),
        tuple(said for slot in rules.slots.values() for said in slot.values),
    )
    answers = {*rules.yes, *rules.no}
    tokens = _wanted([token for token in compared(text) if token not in _FILLERS or token in known])
    found: list[str] = []
    at = 0
    while at < len(tokens):
        token, following = tokens[at], tokens[at + 1 : at + 2]
        joined = token + following[0] if following else ""
        if len(joined) >= _ONE_SLIP and joined in known and not {token, following[0]} <= known.keys():
            token = joined
            at += 1
        if token not in answers or _SAME.get(token) in answers:
            token = _nearest(token, known)
        if not found or token != found[-1] or token in _NUMBERS:
            found.append(token)  # "i i want": once; "five five": twice
        at += 1
    return found


def _wanted(tokens: list[str]) -> list[str]:
    """Drops what the speaker says they do not want: "I don't want an appointment, I want my money"."""
    for at in range(len(tokens) - 1):
        if tokens[at] == "not" or tokens[at : at + 2] == ["no", "longer"]:
            verb = at + 1 + (tokens[at] == "no")
            if tokens[verb : verb + 1] in (["want"], ["need"]):
                rest = next((to for to in range(verb + 1, len(tokens)) if tokens[to] in _ANOTHER_CLAUSE), len(tokens))
                return [*tokens[: verb + 1], *_wanted(tokens[rest:])]
    return tokens


def corrected_part(tokens: Sequence[str]) -> Sequence[str]:
    """The part after a self-correction: "Monday, no, wait, Tuesday"; empty: there was none."""
    last = 0
    for at in range(1, len(tokens)):
        for words_of_it in _CORRECTIONS:
            if tuple(tokens[at : at + len(words_of_it)]) == words_of_it:
                last = max(last, at + len(words_of_it))
    return tokens[last:] if last else ()


def stem(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


class _Known(dict[str, None]):
    """The rules' words. Compared by identity: there is one for each set of rules."""

    __hash__ = object.__hash__  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return self is other


@lru_cache(maxsize=256)
def _vocabulary(phrases: tuple[str, ...], values: tuple[str, ...]) -> _Known:
    known = _Known()
    for phrase in phrases:
        try:
            _collect(parse_phrase(phrase, compared), known)
        except PhraseError:
            continue  # is told where the phrase is used
    for text in values:
        known.update(dict.fromkeys(compared(text)))
    return known


def _collect(nodes: Sequence[Node], known: dict[str, None]) -> None:
    for node in nodes:
        if isinstance(node, Word):
            known[node.text] = None
        elif isinstance(node, Choice):
            for option in node.options:
                _collect(option, known)


@lru_cache(maxsize=8192)
def _nearest(token: str, known: _Known) -> str:
    """The token itself if it is one of the rules' words, is short, or has no or several nearest ones among them."""
    if token in known or stem(token) in known or token + "s" in known:
        return token
    if token in _SAME:
        return _SAME[token] if _SAME[token] in known else token
    if len(token) < _ONE_SLIP or token in _NUMBERS or token in _COMMON:
        return token
    best: list[str] = []
    least = 3
    for word in known:
        if word[0] != token[0] or min(len(word), len(token)) < _ONE_SLIP or abs(len(word) - len(token)) > 2:
            continue
        slips = _slips(token, word)
        if slips <= (2 if max(len(word), len(token)) >= _TWO_SLIPS else 1) and slips <= least:
            best = [*best, word] if slips == least else [word]
            least = slips
    return best[0] if len(best) == 1 else token


def _slips(one: str, other: str) -> int:
    """How many letters to add, remove, change, or swap with their neighbours (Damerau, Levenshtein)."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        before, last, row = row, before, [i] + [0] * len(other)
        for j, wanted in enumerate(other, 1):
            row[j] = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != wanted))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == wanted:
                row[j] = min(row[j], last[j - 2] + 1)
    return row[-1]
