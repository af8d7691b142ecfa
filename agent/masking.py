"""Finds secret digits in texts and masks each with `•`. Pure.

A run is a sequence of digits as written or read out: "4929 1234", "4 9 2 9", "four nine two nine", "vier neun zwei".
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Collection, Mapping
from itertools import pairwise
from typing import Any

__all__ = [
    "CARD_DIGITS",
    "MASK",
    "digit_runs",
    "mask_digits",
    "mask_digits_in",
    "mask_digits_in_json",
    "mask_json",
    "mask_runs",
    "mask_text",
    "mask_value",
    "mask_words",
]

MASK = "•"
CARD_DIGITS = 12  # length of the shortest card numbers; no PIN and few phone numbers are as long
_LEAST_SECRET = 3  # shorter ones occur in every text
_LEAST_PART = 5  # of a secret, read out in part before the caller interrupted
_NAMES = {  # in English, German, Spanish, French, Italian and Portuguese
    "0": "zero oh null cero zéro", "1": "one eins ein eine uno una un une um uma",
    "2": "two zwei zwo dos deux due dois duas",
    "3": "three drei tres trois tre três", "4": "four vier cuatro quatre quattro quatro",
    "5": "five fünf cinco cinq cinque", "6": "six sechs seis sei meia", "7": "seven sieben siete sept sette sete",
    "8": "eight acht ocho huit otto oito", "9": "nine neun nueve neuf nove",
}  # fmt: skip
_WORDS = {name: digit for digit, names in _NAMES.items() for name in names.split()}
_ONE = rf"(?:\d|\b(?:{'|'.join(sorted(_WORDS, key=len, reverse=True))})\b)"
_RUN = re.compile(rf"{_ONE}(?:[ \t\u00a0.,/()-]{{0,3}}{_ONE})+", re.IGNORECASE)
_DIGIT = re.compile(_ONE, re.IGNORECASE)
_WORD = re.compile(r"\S+")
_LONG_TEXT = 4_000  # characters, 2 ms; beyond that only contiguous digits are searched
_PLAIN_CARD = re.compile(rf"(?<![\w+])\d{{{CARD_DIGITS},}}(?![^\W\d])")


def mask_text(text: str, secrets: Collection[str], *, cards: bool) -> str:
    """`secrets`: known runs of digits; they are found whatever is between their digits, also partially. `cards`: also
    hide possible card numbers: twelve digits or more, not after a `+`."""
    if not secrets and not cards:
        return text
    if len(text) > _LONG_TEXT:
        return _masked_long(text, secrets, cards)
    return _RUN.sub(lambda found: _masked_run(found, secrets, cards), text)


def mask_digits(text: str) -> str:
    """Mask each digit, even a single one."""
    return _DIGIT.sub(MASK, text)


def mask_runs(text: str) -> str:
    """Mask each run of two digits or more."""
    return _RUN.sub(lambda run: _DIGIT.sub(MASK, run.group()), text)


def mask_words(text: str) -> str:
    """Mask each word, as recognisers write digits in many ways ("for", "forty-two", "4711")."""
    return _WORD.sub(MASK, text)


def mask_digits_in(value: Any) -> Any:
    """Mask each digit in a JSON value; a number becomes text."""
    match value:
        case str():
            return mask_digits(value)
        case bool() | None:
            return value
        case int() | float():
            return mask_digits(str(value))
        case Mapping():
            return {key: mask_digits_in(item) for key, item in value.items()}
        case list() | tuple():
            return [mask_digits_in(item) for item in value]
        case _:
            return value


def mask_digits_in_json(text: str) -> str:
    """Mask each digit in a text that may be JSON, keeping it valid."""
    try:
        value = json.loads(text)
    except ValueError:
        return mask_digits(text)
    return json.dumps(mask_digits_in(value), ensure_ascii=False)


def digit_runs(text: str) -> list[str]:
    """The runs of digits in a text, each as digits."""
    return [
        "".join(_digit_of(place.group()) for place in _DIGIT.finditer(run.group()))
        for run in _RUN.finditer(text[:_LONG_TEXT])
    ]


def mask_value(value: Any, secrets: Collection[str], *, cards: bool) -> Any:
    """The same for JSON values; a hidden number becomes text."""
    match value:
        case str():
            return mask_text(value, secrets, cards=cards)
        case bool() | None:
            return value
        case int():
            masked = mask_text(str(value), secrets, cards=cards)
            return masked if MASK in masked else value
        case Mapping():
            return {key: mask_value(item, secrets, cards=cards) for key, item in value.items()}
        case list() | tuple():
            return [mask_value(item, secrets, cards=cards) for item in value]
        case _:
            return value


def mask_json(text: str, secrets: Collection[str], *, cards: bool) -> str:
    """The same in a text that may be JSON, keeping it valid."""
    try:
        value = json.loads(text)
    except ValueError:
        return mask_text(text, secrets, cards=cards)
    masked = mask_value(value, secrets, cards=cards)
    return text if masked == value else json.dumps(masked, ensure_ascii=False)


def _masked_long(text: str, secrets: Collection[str], cards: bool) -> str:
    for secret in secrets:
        if len(secret) >= _LEAST_SECRET:
            text = text.replace(secret, MASK * len(secret))
    return _PLAIN_CARD.sub(lambda found: MASK * len(found.group()), text) if cards else text


def _masked_run(found: re.Match[str], secrets: Collection[str], cards: bool) -> str:
    text = found.group()
    places = list(_DIGIT.finditer(text))
    digits = "".join(_digit_of(place.group()) for place in places)
    if cards and _may_be_card(found, places):
        return _DIGIT.sub(MASK, text)
    hidden = _hidden(digits, secrets)
    if not hidden:
        return text
    counted = iter(range(len(places)))
    return _DIGIT.sub(lambda place: MASK if next(counted) in hidden else place.group(), text)


def _hidden(digits: str, secrets: Collection[str]) -> set[int]:
    """Which of a run's digits belong to a secret."""
    hidden: set[int] = set()
    for secret in secrets:
        if len(secret) < _LEAST_SECRET:
            continue
        at = digits.find(secret)
        while at >= 0:
            hidden.update(range(at, at + len(secret)))
            at = digits.find(secret, at + 1)
        if len(digits) >= _LEAST_PART and digits in secret:
            hidden.update(range(len(digits)))
    return hidden


def _may_be_card(found: re.Match[str], places: list[re.Match[str]]) -> bool:
    """Contiguous, one by one, or in groups of three or more: not a list of times or amounts, not a phone number in
    E.164, not part of a longer name."""
    if len(places) < CARD_DIGITS:
        return False
    before, after = found.string[: found.start()][-1:], found.string[found.end() :][:1]
    if before == "+" or before.isalpha() or before == "_" or after.isalpha() or after == "_":
        return False
    groups = [1]
    for left, right in pairwise(places):
        if left.end() == right.start():
            groups[-1] += 1
        else:
            groups.append(1)
    return len(groups) == 1 or max(groups) == 1 or min(groups) >= _LEAST_SECRET


def _digit_of(text: str) -> str:
    return _WORDS.get(text.lower()) or str(unicodedata.digit(text, 0))
