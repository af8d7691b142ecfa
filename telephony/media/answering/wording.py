"""What machines and people say when they answer: files of patterns of words, each a few ways to say one thing.

The files `words/*.json` are part of the package; `docs/answering-wording.md` describes their format. Nothing here keeps
what was said.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from telephony.media.answering.phrases import (
    Expression,
    Phrase,
    Phrases,
    Strength,
    WordingMatch,
    expression,
    spoken_words,
)

__all__ = ["Strength", "Wording", "WordingError", "WordingMatch", "load_wording", "read_wording", "spoken_words"]

_FOLDER = Path(__file__).parent / "words"
_OF = ("human", "voicemail", "mailbox_full", "screener", "ivr", "beep")
_FIELDS = {"of", "concept", "strength", "say", "not", "whole", "most_words"}


class WordingError(ValueError):
    """A file of wording can't be used. Names the file, and the place in it."""


class Wording:
    """Of any number of files."""

    def __init__(self, files: Iterable[Phrases]) -> None:
        self.files = tuple(files)

    def __len__(self) -> int:
        return sum(len(file.phrases) for file in self.files)

    def matches(self, text: str, *, over: bool) -> tuple[WordingMatch, ...]:
        """What is in the words of one turn. `over`: the turn has ended, so that patterns of a whole turn can match."""
        words = spoken_words(text).split()
        return tuple(match for file in self.files for match in file.matches(words, over=over))


def load_wording(extra: Sequence[Path] = (), *, languages: Sequence[str] = ()) -> Wording:
    """The package's files, and the user's own `extra` ones. `languages`: only those of the package (en, es); empty:
    all. Raises WordingError."""
    if not extra and not languages:
        return _all()
    known = _packaged()
    if unknown := set(languages) - set(known):
        raise WordingError(f"no wording for the language {sorted(unknown)[0]!r}: there is {', '.join(sorted(known))}")
    parts = [known[language] for language in languages or known] + [read_wording(path) for path in extra]
    return Wording(file for part in parts for file in part.files)


@cache
def _all() -> Wording:
    return Wording(file for part in _packaged().values() for file in part.files)


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
        return Wording([_phrases(content)])
    except WordingError as error:
        raise WordingError(f"{path}: {error}") from None


def _phrases(content: Any) -> Phrases:
    content = _table(content, "the file")
    if unknown := set(content) - {"language", "about", "small", "sets", "patterns"}:
        raise WordingError(f"unknown field {sorted(unknown)[0]!r}")
    language = content.get("language")
    if not isinstance(language, str) or not language:
        raise WordingError("language: a code like 'en' is wanted")
    small = frozenset(spoken_words(word).strip() for word in _texts(content.get("small", []), "small", empty=True))
    sets = {name: _texts(words, f"sets.{name}") for name, words in _table(content.get("sets", {}), "sets").items()}
    entries = content.get("patterns")
    if not isinstance(entries, list):
        raise WordingError("patterns: a list is wanted")
    reader = _Reader(language, sets, small)
    return Phrases(
        (
            phrase
            for number, entry in enumerate(entries, 1)
            for phrase in reader.entry(_table(entry, f"patterns, {number}."), f"patterns, {number}.")
        ),
        small,
    )


class _Reader:
    def __init__(self, language: str, sets: Mapping[str, Sequence[str]], small: frozenset[str]) -> None:
        self._language = language
        self._sets = sets
        self._small = small

    def entry(self, entry: Mapping[str, Any], place: str) -> Iterable[Phrase]:
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
        concept = entry.get("concept", f"{self._language}, {place}")
        if not isinstance(concept, str) or not concept:
            raise WordingError(f"{place}: concept: a text is wanted")
        nevers = _texts(entry.get("not", []), f"{place}: not", empty=True)
        never = tuple(self._expression(text, place) for text in nevers)
        for text in _texts(entry.get("say"), f"{place}: say"):
            match = WordingMatch(entry["of"], strength, concept, text, self._language)
            yield Phrase(match, self._expression(text, place), never, whole, most)

    def _expression(self, text: str, place: str) -> Expression:
        try:
            return expression(text, self._sets, self._small)
        except ValueError as error:
            raise WordingError(f"{place}: {text!r}: {error}") from None


def _table(value: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise WordingError(f"{place}: a table of fields is wanted")
    return value


def _texts(value: Any, place: str, *, empty: bool = False) -> list[str]:
    texts = isinstance(value, list) and all(isinstance(text, str) and text.strip() for text in value)
    if not texts or not (value or empty):
        raise WordingError(f"{place}: a list of texts is wanted")
    return list(value)
