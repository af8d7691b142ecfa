"""The last step: numbers, signs and abbreviations in spoken form, by language.

A language is a module here with `rules(language)` and a line in `_LANGUAGES`. Telephone numbers are handled for every
language; the rest is left to its synthesis.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from agent.speech.normal import digits, english
from agent.speech.normal.rewriting import Rewriting, Rule

__all__ = ["spoken_form"]

_TIDY = (
    Rule(re.compile(r" +(?=[,.;:!?](?!\w))(?! *\.{2})"), lambda _: [], " "),
    Rule(re.compile(r"(?<=\s)\s+"), lambda _: [], " "),
    Rule(re.compile(r"\t"), lambda _: " ", "\t"),
)
_LANGUAGES: dict[str, Callable[[str], Sequence[Rule]]] = {"en": english.rules}


def spoken_form(text: str, language: str) -> Rewriting:
    """One piece of text in the form spoken in `language` (a tag such as "en" or "en-gb")."""
    rewriting = Rewriting(text)
    tag = language.lower().replace("_", "-")
    rules = _LANGUAGES.get(tag.partition("-")[0] or "en")
    for rule in rules(tag) if rules is not None else digits.RULES:
        rewriting.apply(rule)
    for rule in _TIDY:
        rewriting.apply(rule)
    return rewriting
