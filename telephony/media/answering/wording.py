"""What machines and people say when they answer: patterns of words, from data files, and which of them are in a text.

The files `words/*.json` are part of the package; `docs/answering-wording.md` describes their format. Nothing here keeps
what was said.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["Strength", "Wording", "WordingError", "WordingMatch", "load_wording", "read_wording", "spoken_words"]

_FOLDER = Path(__file__).parent / "words"
_OF = ("human", "voicemail", "mailbox_full", "screener", "ivr", "beep")
_GAP = r"(?: \S+){0,5}?"
_FIELDS = {"of", "strength", "say", "not", "whole", "most_words"}
_NOT_A_WORD = re.compile(r"[^\w]+|_")
_ELEMENT = re.compile(r"(?:\.\.\.|(?:\{[a-z_]+\}|[^\W_]+\*?)(?:\|(?:\{[a-z_]+\}|[^\W_]+\*?))*\??)")


class WordingError(ValueError):
    """A file of wording can't be used. Names the file, and the place in it."""


class Strength(StrEnum):
    SURE = "sure"  # hardly anybody else says this
    LIKELY = "likely"
    HINT = "hint"


@dataclass(frozen=True, slots=True)
class WordingMatch:
    """`of`: a value of `AnsweredBy`, or "beep" (a beep is announced). `pattern`: as the file has it."""

    of: str
    strength: Strength
    pattern: str
    language: str


@dataclass(frozen=True, slots=True)
class _Pattern:
    """Expressions are compiled when they are needed first: most never are."""

    match: WordingMatch
    expression: str
    never_with: tuple[str, ...]
    whole: bool  # the turn is this and nothing more, and is over
    most_words: int  # of the turn; 0: any number


def spoken_words(text: str) -> str:
    """As patterns are compared: lower case, without accents and punctuation, one space before each word."""
    folded = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(letter for letter in folded if not unicodedata.combining(letter))
    words = _NOT_A_WORD.sub(" ", plain).split()
    return "".join(f" {word}" for word in words)


class Wording:
    """Patterns of any number of languages. Those that need a certain word are only looked for where it occurs."""

    def __init__(self, patterns: Iterable[tuple[_Pattern, frozenset[str]]]) -> None:
        self._anywhere: list[_Pattern] = []
        self._by_word: dict[str, list[_Pattern]] = {}
        self.patterns = tuple(patterns)
        for pattern, anchors in self.patterns:
            if not anchors:
                self._anywhere.append(pattern)
            for word in anchors:
                self._by_word.setdefault(word, []).append(pattern)

    def __len__(self) -> int:
        return len(self.patterns)

    def matches(self, text: str, *, over: bool) -> tuple[WordingMatch, ...]:
        """What is in the words of one turn. `over`: the turn has ended, so that patterns of a whole turn can match."""
        said = spoken_words(text)
        words = said.split()
        looked_at: dict[int, None] = {}
        found = []
        for pattern in (*self._anywhere, *(p for word in dict.fromkeys(words) for p in self._by_word.get(word, ()))):
            if id(pattern) in looked_at:
                continue
            looked_at[id(pattern)] = None
            if (pattern.whole and not over) or 0 < pattern.most_words < len(words):
                continue
            regex = _regex(pattern.expression)
            hit = regex.fullmatch(said) if pattern.whole else regex.search(said)
            if hit and not any(_regex(never).search(said) for never in pattern.never_with):
                found.append(pattern.match)
        return tuple(found)


def load_wording(extra: Sequence[Path] = (), *, languages: Sequence[str] = ()) -> Wording:
    """The package's files, and the user's own `extra` ones. `languages`: only those of the package (en, es); empty:
    all. Raises WordingError."""
    if not extra and not languages:
        return _all()
    known = _packaged()
    if unknown := set(languages) - set(known):
        raise WordingError(f"no wording for the language {sorted(unknown)[0]!r}: there is {', '.join(sorted(known))}")
    parts = [known[language] for language in languages or known] + [read_wording(path) for path in extra]
    return Wording(pattern for part in parts for pattern in part.patterns)


@cache
def _all() -> Wording:
    return Wording(pattern for part in _packaged().values() for pattern in part.patterns)


@cache
def _packaged() -> Mapping[str, Wording]:
    return {path.stem: read_wording(path) for path in sorted(_FOLDER.glob("*.json"))}


def read_wording(path: Path) -> Wording:
    """Raises WordingError: it can't be read, or something in it is wrong."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise WordingError(f"{path}: {error.strerror or error}") from error
    except ValueError as error:
        raise WordingError(f"{path}: not JSON: {error}") from error
    try:
        return Wording(_patterns(content))
    except WordingError as error:
        raise WordingError(f"{path}: {error}") from None


def _patterns(content: Any) -> Iterable[tuple[_Pattern, frozenset[str]]]:
    content = _table(content, "the file")
    if unknown := set(content) - {"language", "about", "sets", "patterns"}:
        raise WordingError(f"unknown field {sorted(unknown)[0]!r}")
    language = content.get("language")
    if not isinstance(language, str) or not language:
        raise WordingError("language: a code like 'en' is wanted")
    sets = {name: _texts(words, f"sets.{name}") for name, words in _table(content.get("sets", {}), "sets").items()}
    entries = content.get("patterns")
    if not isinstance(entries, list):
        raise WordingError("patterns: a list is wanted")
    for number, entry in enumerate(entries, 1):
        yield from _entry(_table(entry, f"patterns, {number}."), f"patterns, {number}.", sets, language)


def _entry(
    entry: Mapping[str, Any], place: str, sets: Mapping[str, Sequence[str]], language: str
) -> Iterable[tuple[_Pattern, frozenset[str]]]:
    if unknown := set(entry) - _FIELDS:
        raise WordingError(f"{place}: unknown field {sorted(unknown)[0]!r}")
    if entry.get("of") not in _OF:
        raise WordingError(f"{place}: of: one of {', '.join(_OF)} is wanted, not {entry.get('of')!r}")
    try:
        strength = Strength(entry.get("strength", ""))
    except ValueError:
        raise WordingError(
            f"{place}: strength: one of {', '.join(Strength)} is wanted, not {entry.get('strength')!r}"
        ) from None
    whole, most = entry.get("whole", False), entry.get("most_words", 0)
    if not isinstance(whole, bool):
        raise WordingError(f"{place}: whole: true or false is wanted")
    if not isinstance(most, int) or isinstance(most, bool) or most < 0:
        raise WordingError(f"{place}: most_words: a number is wanted")
    never = tuple(_expression(text, sets, place)[0] for text in _texts(entry.get("not", []), f"{place}: not"))
    for text in _texts(entry.get("say"), f"{place}: say"):
        regex, anchors = _expression(text, sets, place)
        yield _Pattern(WordingMatch(entry["of"], strength, text, language), regex, never, whole, most), anchors


def _expression(text: str, sets: Mapping[str, Sequence[str]], place: str) -> tuple[str, frozenset[str]]:
    """The expression, and the words one of which has to be there: those of its rarest looking element."""
    parts, anchors = [], frozenset[str]()
    elements = text.split()
    if all(element.endswith(("...", "?")) for element in elements):
        raise WordingError(f"{place}: {text!r} has no words that must be there")
    for element in elements:
        if not _ELEMENT.fullmatch(element):
            raise WordingError(f"{place}: {text!r}: {element!r} is neither words joined by |, {{set}} nor ...")
        if element == "...":
            parts.append(_GAP)
            continue
        choices = _choices(element.removesuffix("?"), sets, f"{place}: {text!r}")
        parts.append(f"(?:{'|'.join(map(_word, choices))}){'?' if element.endswith('?') else ''}")
        firsts = frozenset(choice.split()[-1] for choice in choices)
        if not element.endswith(("?", "*")) and "*" not in "".join(choices) and _weight(firsts) > _weight(anchors):
            anchors = firsts
    return "".join(parts) + r"(?!\S)", anchors


@cache
def _regex(expression: str) -> re.Pattern[str]:
    return re.compile(expression)


def _choices(element: str, sets: Mapping[str, Sequence[str]], place: str) -> list[str]:
    choices = []
    for choice in element.split("|"):
        if not choice.startswith("{"):
            choices.append(spoken_words(choice.removesuffix("*")).strip() + ("*" if choice.endswith("*") else ""))
        elif choice[1:-1] in sets:
            choices += [spoken_words(words).strip() for words in sets[choice[1:-1]]]
        else:
            raise WordingError(f"{place}: there is no set {choice}")
    return choices


def _word(choice: str) -> str:
    """Of one or more words; with `*` the beginning of one."""
    return " " + (re.escape(choice[:-1]) + r"\S*" if choice.endswith("*") else re.escape(choice).replace(r"\ ", " "))


def _weight(words: frozenset[str]) -> float:
    """How seldom these words are looked for in vain: long ones are rarer, and few rarer than many."""
    return sum(len(word) for word in words) / len(words) - 0.3 * len(words) if words else -99.0


def _table(value: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise WordingError(f"{place}: a table of fields is wanted")
    return value


def _texts(value: Any, place: str) -> list[str]:
    if not isinstance(value, list) or not value or not all(isinstance(text, str) and text.strip() for text in value):
        if value == [] and place.endswith("not"):
            return []
        raise WordingError(f"{place}: a list of texts is wanted")
    return value
