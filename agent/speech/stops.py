"""Full stops that do not end a sentence: abbreviations, initials, list numbers. Pure; one table for all languages."""

from __future__ import annotations

import re

__all__ = ["is_abbreviation", "is_list_number", "is_number_word", "may_end"]

_TITLES = (
    "dr dra drs jr mr mrs ms mx prof sr sra st sta ste mme mlle hr fr frau herr gen col sgt capt lt rev hon gov sen rep"
)
_PLACES = "apt ave blvd dept ext rd mt ft bldg fl ste str pl sq hwy av avda"
_MONTHS = "jan feb apr jun jul aug sep sept oct nov dec okt dez mär"
_OTHERS = "approx ca cf ee est vs resp ggf evtl inkl exkl bzw usw p.s tel mob fam geb vgl zzgl incl excl dto"
_RUSSIAN = "ул пр просп пер пл д кв корп стр им тел проф см ср т.е т.к"
_ABBREVIATIONS = frozenset(
    f"{_RUSSIAN} {_TITLES} {_PLACES} {_MONTHS} {_OTHERS} e.g i.e z.b d.h u.a o.ä s.o s.u z.t".split()
)
# These may or may not end a sentence: the following text decides.
_MAY_END = frozenset(
    (
        *("a.m", "p.m", "etc", "u.s", "u.k", "u.s.a", "e.u", "co", "corp", "inc", "ltd", "bros", "min", "mins", "hr"),
        *(
            "hrs",
            "sec",
            "std",
            "uhr",
            "ph.d",
            "m.d",
            "b.a",
            "m.a",
            "b.sc",
            "m.sc",
            "d.c",
            "uu",
            "rr",
            "hh",
            "руб",
            "коп",
            "г",
            "т.д",
            "т.п",
        ),
    )
)
_NUMBER_WORDS = frozenset(
    ("no", "nos", "nr", "nrs", "núm", "num", "vol", "pp", "ch", "sec", "fig", "art", "abs", "nº", "n°")
)
_BEFORE_A_DAY = re.compile(r"(?<!\bI )\b(?:am|vom|zum|bis|der|den|dem|des|ab|seit|beim)$", re.IGNORECASE)
_DOTTED = re.compile(r"(?:\w{1,3}\.)+\w{1,3}", re.UNICODE)


def is_abbreviation(word: str) -> bool:
    """`word` without its full stop: an abbreviation, or an initial as in "J. Smith"."""
    lower = word.lower()
    return lower in _ABBREVIATIONS or (len(word) == 1 and word.lower() != word.upper()) or _dotted(lower)


def may_end(word: str) -> bool:
    lower = word.lower()
    return lower in _MAY_END or (_dotted(lower) and lower not in _ABBREVIATIONS)


def is_number_word(word: str) -> bool:
    """As in "No. 5"."""
    return word.lower() in _NUMBER_WORDS


def is_list_number(number: int, before: str, following: str, last_number: int) -> bool:
    """Whether "1." numbers an item or a day: at the start of a line, after a comma or colon, before a lower-case
    letter, or following another item."""
    before = before.rstrip(" \t")
    if number <= 31 and _BEFORE_A_DAY.search(before):
        return True
    if not before.strip() or before[-1] in ",:;(\n–—-":
        return number < 100
    return following.islower() or 0 < last_number == number - 1


def _dotted(word: str) -> bool:
    return _DOTTED.fullmatch(word) is not None and not word.replace(".", "").isdigit()
