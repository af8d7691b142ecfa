"""The third step: text, as it streams in, becomes pieces that can be spoken. Pure, linear, any language.

Whole sentences; only the very first piece may be a clause, so that speech begins early. In scripts without spaces, and
in text without stops, pieces end by length. The output does not depend on how the text was split, and memory is
bounded.
"""

from __future__ import annotations

import re

from agent.speech.characters import DENSE, dense, is_break, speakable
from agent.speech.stops import is_abbreviation, is_list_number, is_number_word, may_end

__all__ = ["LEADING", "Segmenter"]

_CLOSERS = "\"'”’»)\\]」』）】》〉"
LEADING = " \t\n」』）】》〉"  # rest of the previous sentence
_STOPS = "。！？｡︒﹒﹗﹖؛।॥؟۔።፧፨။។៕།༎։；"  # these end a sentence whatever follows
_CANDIDATE = re.compile(
    rf"(?P<stop>[{_STOPS}])|(?P<end>[.!?…]{{1,32}}[{_CLOSERS}]{{0,8}})|(?P<line>\n)|(?P<comma>[，、：､])|(?P<clause>[,;:–—][{_CLOSERS}]?)"
)
_SPACES = re.compile(r"\s*")
_WORD = re.compile(r"\S*$")
_CLAUSE = re.compile(r"[,;:–—][\"'”’)]?(?=\s)|[，、：､]")
_FIRST_WEIGHT, _WEIGHT = 120, 300  # a piece without any stop is cut after this many characters
_DENSE_FIRST, _DENSE = 10, 5  # how much a character of a script without spaces counts: 12 and 60 of them
_MIN_CLAUSE_UNITS = 4  # words, or characters of a script without spaces
_SPACE_WAIT = 16
_PARTICLES = "的了吗呢吧啊是在はがをにでともへのねよ"  # a word often ends after these


class Segmenter:
    """`push` returns the pieces completed by the text so far: with their punctuation, without outer spaces."""

    def __init__(self) -> None:
        self._text = ""
        self._start = 0  # of the piece, in `_text`
        self._scan = 0  # no piece ends before this
        self._weighed = 0
        self._weight = 0
        self._limit: int | None = None  # where the piece reaches its maximal length
        self._first = True
        self._list_number = 0

    def push(self, text: str) -> tuple[str, ...]:
        return self._pieces(text, last=False)

    def flush(self) -> tuple[str, ...]:
        """End of the text: returns the rest."""
        pieces = self._pieces("", last=True)
        self._first, self._list_number = True, 0
        return pieces

    def cuts(self, text: str, *, last: bool = False) -> list[int]:
        """Where pieces end, relative to the end of the previous one. A piece may consist of spaces only."""
        self._text += text
        found: list[int] = []
        while (end := self._next_end(last)) is not None:
            found.append(end - self._start)
            self._begin(end)
        if last and self._start < len(self._text):
            found.append(len(self._text) - self._start)
            self._begin(len(self._text))
        self._compact()
        return found

    def _pieces(self, text: str, *, last: bool) -> tuple[str, ...]:
        whole = self._text[self._start :] + text
        at = 0
        pieces: list[str] = []
        for length in self.cuts(text, last=last):
            pieces.append(whole[at : at + length].lstrip(LEADING).rstrip())
            at += length
        return tuple(piece for piece in pieces if piece)

    def _begin(self, at: int) -> None:
        if speakable(self._text[self._start : at]):
            self._first = False
        self._start = self._scan = self._weighed = at
        self._weight, self._limit = 0, None

    def _compact(self) -> None:
        gone = self._start
        self._text = self._text[gone:]
        self._start = 0
        self._scan -= gone
        self._weighed -= gone
        if self._limit is not None:
            self._limit -= gone

    # --- ends -----------------------------------------------------------------------------------------------------

    def _next_end(self, last: bool) -> int | None:
        self._weigh()
        while True:
            reach = len(self._text) if self._limit is None else self._limit
            match = _CANDIDATE.search(self._text, self._scan, reach)
            if match is None:
                self._scan = max(self._scan, reach)
                return self._cut_by_length()
            end = self._end_at(match, last)
            if end is None:
                return None  # more text is needed
            self._scan = match.end()
            if end:
                return match.end()

    def _end_at(self, match: re.Match[str], last: bool) -> bool | None:
        """Whether a piece ends with the match; None: more text is needed."""
        said = self._text[self._start : match.start()]
        kind = match.lastgroup
        if kind in ("stop", "line"):
            return speakable(said)
        if kind == "comma":
            return self._first and _units(said) >= _MIN_CLAUSE_UNITS
        if kind == "clause" and not self._first:
            return False
        if match.end() >= len(self._text) and not last:
            return None
        after = self._text[match.end() : match.end() + 1]
        spaced = after == "" or after.isspace()
        between_dense = (bool(after) and dense(after)) or (match[0] != "." and said != "" and dense(said[-1]))
        if (not spaced and not between_dense) or not speakable(said):
            return False
        if kind == "clause":
            return _units(said) >= _MIN_CLAUSE_UNITS
        return True if match[0][0] != "." or len(match[0].rstrip(_CLOSERS)) > 1 else self._full_stop(match, said, last)

    def _full_stop(self, match: re.Match[str], said: str, last: bool) -> bool | None:
        """Whether a single full stop before a space ends the sentence."""
        found = _WORD.search(said[-64:])
        word = found[0].lstrip("(\"'“‘[") if found is not None else ""
        if not (is_abbreviation(word) or may_end(word) or is_number_word(word) or word[-1:].isdigit()):
            return True
        spaces = _SPACES.match(self._text, match.end())
        after = spaces.end() if spaces is not None else match.end()
        if after >= len(self._text) and not last and after - match.end() <= _SPACE_WAIT:
            return None
        following = self._text[after : after + 1]
        if not following:
            return True
        if word[-1:].isdigit() and not (word.isdigit() and len(word) <= 3):
            return not following.islower()
        if word.isdigit():
            before = said[: len(said) - len(word)]
            if is_list_number(int(word), before, following, self._list_number):
                self._list_number = int(word)
                return False
            return True
        if is_number_word(word):
            return not following.isdigit()
        if may_end(word):
            return following.isupper() or following in '"“¿¡' or dense(following)
        return False

    # --- length ---------------------------------------------------------------------------------------------------

    def _weigh(self) -> None:
        if self._limit is not None:
            return
        most = _FIRST_WEIGHT if self._first else _WEIGHT
        each = _DENSE_FIRST if self._first else _DENSE
        at, weight = self._weighed, self._weight
        while at < len(self._text) and weight < most:
            weight += each if dense(self._text[at]) else 1
            at += 1
        self._weighed, self._weight = at, weight
        if weight >= most:
            self._limit = at

    def _cut_by_length(self) -> int | None:
        limit = self._limit
        if limit is None or limit >= len(self._text):
            return None
        start, text = self._start, self._text
        soft = start + (limit - start) // 2
        for match in reversed(list(_CLAUSE.finditer(text, soft, limit))):
            return match.end()
        space = max(text.rfind(" ", start + 1, limit), text.rfind("\t", start + 1, limit))
        if space > start and (not dense(text[limit - 1]) or space >= soft):
            return space
        return _break_before(text, start, limit)


def _break_before(text: str, start: int, limit: int) -> int:
    """The best place to cut text without spaces: after a particle, where the script changes, else between letters."""
    breaks = [at for at in range(limit, start, -1) if is_break(text[at - 1], text[at])]
    near = [at for at in breaks if at > limit - (limit - start) // 3]
    for at in near:
        if text[at - 1] in _PARTICLES:
            return at
    for at in near:
        if dense(text[at - 1]) and "\u3041" <= text[at - 1] <= "\u3096" and text[at] >= "\u3400":
            return at
    return breaks[0] if breaks else limit


def _units(text: str) -> int:
    """The number of words; a character of a script without spaces counts as one."""
    count = sum(1 for character in text if dense(character)) if re.search(f"[{DENSE}]", text) else 0
    return count + len(re.sub(f"[{DENSE}]", " ", text).split())
