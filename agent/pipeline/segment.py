"""Cuts a model's text, as it streams in, into pieces that can be spoken. Pure.

Whole sentences; the very first piece may be a clause of at least four words, so that speech begins early. Nothing is
cut within "3.50", "Dr. Lee", "a.m." or "555-0100".
"""

from __future__ import annotations

import re

__all__ = ["Segmenter"]

_TITLES = ("dr", "jr", "mr", "mrs", "ms", "prof", "sr", "st")
_PLACES = ("apt", "ave", "blvd", "dept", "ext", "rd")
_MONTHS = ("jan", "feb", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec")
_OTHERS = ("approx", "co", "corp", "e.g", "est", "etc", "i.e", "inc", "ltd", "nr", "vs", "z.b")
_ABBREVIATIONS = frozenset((*_TITLES, *_PLACES, *_MONTHS, *_OTHERS))
_MAY_END = ("a.m", "etc", "p.m", "u.s")  # abbreviations that end a sentence as often as not
_SENTENCE_END = re.compile(r"[.!?…]+[\"'”’)\]]*(?=\s)|\n+")
_CLAUSE_END = re.compile(r"[,;:–—](?=\s)")
_MIN_CLAUSE_WORDS = 4
_LONGEST = 300  # characters without any end: cut at a space all the same


class Segmenter:
    def __init__(self) -> None:
        self._text = ""
        self._first = True

    def push(self, text: str) -> tuple[str, ...]:
        """More text; the pieces that are complete with it. A piece keeps its punctuation, not its outer spaces."""
        self._text += text
        pieces: list[str] = []
        while (end := self._next_end()) is not None:
            piece, self._text = self._text[:end].strip(), self._text[end:]
            if piece:
                pieces.append(piece)
                self._first = False
        return tuple(pieces)

    def flush(self) -> tuple[str, ...]:
        """No more text comes: the rest."""
        rest, self._text, self._first = self._text.strip(), "", True
        return (rest,) if rest else ()

    def _next_end(self) -> int | None:
        ends = [match.end() for match in _SENTENCE_END.finditer(self._text) if self._ends_sentence(match)]
        end = ends[0] if ends else None
        if self._first:
            clause = self._clause_end()
            if clause is not None and (end is None or clause < end):
                return clause
        if end is None and len(self._text) > _LONGEST:
            space = self._text.rfind(" ", 0, _LONGEST)
            return space if space > 0 else _LONGEST
        return end

    def _ends_sentence(self, match: re.Match[str]) -> bool:
        if not self._text[: match.end()].strip():
            return True  # leading newlines
        if match[0][0] != ".":
            return True
        word = self._text[: match.start()].rsplit(None, 1)[-1].lstrip("(\"'“‘").lower() if match.start() else ""
        following = self._text[match.end() :].lstrip()
        if word in _MAY_END:
            return following[:1].isupper()  # nothing there yet: wait for more
        if word in _ABBREVIATIONS:
            return False
        # An initial, as in "J. Smith"; "I." and list numbers "1." do not end a sentence either.
        return not (len(word) == 1 and word.isalpha()) and not (
            word.isdigit() and len(word) <= 2 and match.start() == len(word)
        )

    def _clause_end(self) -> int | None:
        for match in _CLAUSE_END.finditer(self._text):
            if len(self._text[: match.start()].split()) >= _MIN_CLAUSE_WORDS:
                return match.end()
        return None
