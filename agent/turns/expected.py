"""The expected answer, and whether the words so far complete it: ten digits are incomplete after four, "yes" is
complete at once. Pure.

Numbers in words are understood in English, numbers in figures in every language.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from agent.providers.phrases import spoken_digits
from agent.turns.backchannel import normalized_words
from agent.turns.yes_or_no import yes_or_no
from agent.words import base_language

__all__ = ["AnswerKind", "Completeness", "Expected", "completeness"]

AnswerKind = Literal["digits", "phone", "date", "yes_no", "name", "choice", "free"]
Completeness = Literal["complete", "incomplete", "open"]
"""`open`: the words do not tell."""

# A turn that ends with one of these is most likely incomplete, by language.
_UNFINISHED: dict[str, frozenset[str]] = {
    "en": frozenset(
        {
            *("and", "or", "but", "so", "because", "if", "the", "a", "an", "my", "your", "our", "to", "of", "with"),
            *("is", "are", "um", "uh", "er", "erm", "hmm", "like", "from", "double", "triple", "plus", "i", "we"),
        }
    ),
    "de": frozenset(
        {"und", "oder", "aber", "weil", "der", "die", "das", "ein", "eine", "mein", "meine", "ist", "äh", "ähm", "von"}
    ),
    "es": frozenset({"y", "o", "pero", "porque", "el", "la", "los", "un", "una", "mi", "de", "es", "eh", "em", "con"}),
    "fr": frozenset({"et", "ou", "mais", "parce", "le", "la", "les", "un", "une", "mon", "ma", "de", "est", "euh"}),
}
_NAME_LEADS = frozenset(
    {"my", "name", "is", "it", "s", "this", "i", "m", "am", "the", "yes", "hello", "hi", "um", "uh"}
)
_DAYS = frozenset(
    {
        *("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"),
        *("today", "tomorrow", "tonight", "yesterday", "montag", "dienstag", "mittwoch", "donnerstag", "freitag"),
        *("samstag", "sonntag", "heute", "morgen", "lunes", "martes", "miércoles", "jueves", "viernes", "sábado"),
        *("domingo", "hoy", "mañana", "lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche"),
        *("demain", "aujourd"),
    }
)
_MONTHS = frozenset(
    {
        *("january", "february", "march", "april", "may", "june", "july", "august", "september", "october"),
        *("november", "december", "januar", "februar", "märz", "mai", "juni", "juli", "oktober", "dezember"),
        *("enero", "febrero", "marzo", "abril", "mayo", "junio", "julio", "agosto", "septiembre", "octubre"),
        *("noviembre", "diciembre", "janvier", "février", "mars", "avril", "juin", "juillet", "août", "septembre"),
        *("octobre", "novembre", "décembre"),
    }
)
_ORDINALS = frozenset(
    {
        *("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh"),
        *("twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth", "eighteenth"),
        *("nineteenth", "twentieth", "thirtieth"),
    }
)
_LEAST_PHONE = 7  # digits


@dataclass(frozen=True, slots=True)
class Expected:
    """`least`, `most`: how many digits (of `digits`). `choices`: what may be chosen, as callers say it (of
    `choice`)."""

    kind: AnswerKind
    least: int = 1
    most: int = 32
    choices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in get_args(AnswerKind):
            raise ValueError(f"an answer is one of {', '.join(get_args(AnswerKind))}, not {self.kind!r}")
        if not 1 <= self.least <= self.most:
            raise ValueError(f"digits from {self.least} to {self.most} cannot be expected")
        if (self.kind == "choice") != bool(self.choices):
            raise ValueError("choices are given for a choice, and only then")


def completeness(expected: Expected, text: str, language: str) -> Completeness:
    """Of a turn's words so far."""
    words = normalized_words(text)
    if not words:
        return "open"
    match expected.kind:
        case "digits":
            found = _of_digits(_digits(words), expected.least, expected.most)
        case "phone":
            found = _of_phone(_digits(words), language)
        case "date":
            found = _of_date(words, text)
        case "yes_no":
            found = "complete" if yes_or_no(text, language) is not None else "open"
        case "choice":
            found = "complete" if any(_within(normalized_words(one), words) for one in expected.choices) else "open"
        case "name":
            found = _of_name(words)
        case _:
            found = "open"
    if found == "open" or expected.kind not in ("digits", "phone"):
        return "incomplete" if _unfinished(words, text, language) else found
    return found


def _digits(words: list[str]) -> str:
    return "".join(spoken_digits(words))


def _of_digits(digits: str, least: int, most: int) -> Completeness:
    if len(digits) >= most:
        return "complete"
    return "incomplete" if 0 < len(digits) < least else "open"


def _of_phone(digits: str, language: str) -> Completeness:
    """The number of digits is known for North America and the United Kingdom."""
    if base_language(language) == "en" and digits:
        most = 11 if digits[0] in "01" else 10
        return "complete" if len(digits) >= most else "incomplete"
    return "incomplete" if 0 < len(digits) < _LEAST_PHONE else "open"


def _of_date(words: list[str], text: str) -> Completeness:
    said = set(words)
    day = any(word.rstrip("stndrh").isdecimal() for word in words) or bool(said & _ORDINALS) or bool(_digits(words))
    if said & _DAYS or (said & _MONTHS and day):
        return "complete"
    if any(mark in text for mark in "/-.") and sum(word.isdecimal() for word in words) >= 2:
        return "complete"
    return "incomplete" if said & _MONTHS else "open"


def _of_name(words: list[str]) -> Completeness:
    said = [word for word in words if word not in _NAME_LEADS]
    return "complete" if len(said) >= 2 else "open" if said else "incomplete"


def _within(wanted: list[str], words: list[str]) -> bool:
    size = len(wanted)
    return size > 0 and any(words[at : at + size] == wanted for at in range(len(words) - size + 1))


def _unfinished(words: list[str], text: str, language: str) -> bool:
    endings = _UNFINISHED.get(base_language(language), frozenset())
    return words[-1] in endings and not text.rstrip().endswith(("?", "!"))
