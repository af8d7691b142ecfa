"""The complete path from a model's text to spoken text, with a mapping between both. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from agent.speech.characters import speakable
from agent.speech.intake import Intake
from agent.speech.markup import Markup
from agent.speech.normal import spoken_form
from agent.speech.sentences import LEADING, Segmenter

__all__ = ["SpeechText", "SpokenPiece", "spoken_piece"]


@dataclass(frozen=True, slots=True)
class SpokenPiece:
    """A sentence or clause. `spoken` goes to the synthesis; `source` is the original text: the pieces' sources joined
    are the whole text. `places`: the position in `source` of each character of `spoken`."""

    spoken: str
    source: str
    places: tuple[int, ...] = field(repr=False)

    @classmethod
    def plain(cls, text: str) -> SpokenPiece:
        """It is spoken literally."""
        return cls(text, text, tuple(range(len(text))))

    def source_before(self, end: int) -> str:
        """The source of the first `end` characters of `spoken`, as far as completely spoken."""
        if end >= len(self.spoken):
            return self.source
        if end <= 0:
            return ""
        last, following = self.places[end - 1], self.places[end]
        if last < following and self.source[last] == self.spoken[end - 1]:
            return self.source[: last + 1]
        return self.source[:following].rstrip()


class SpeechText:
    """`push` text as the model writes it. `text`: all of it that counts (valid, without reasoning)."""

    def __init__(self, language: str) -> None:
        self._language = language
        self._intake = Intake()
        self._markup = Markup()
        self._segmenter = Segmenter()
        self._parts: list[str] = []
        self._shown = ""  # the part of `text` not in a piece yet
        self._shown_at = 0  # position of its first character in `text`
        self._words = ""  # cleaned, not in a piece yet
        self._places: list[int] = []
        self.says_something = False

    @property
    def length(self) -> int:
        """Of `text`, in characters."""
        return self._shown_at + len(self._shown)

    @property
    def text(self) -> str:
        if len(self._parts) > 1:
            self._parts = ["".join(self._parts)]
        return self._parts[0] if self._parts else ""

    def push(self, text: str) -> tuple[SpokenPiece, ...]:
        return tuple(self._advance(self._intake.push(text), last=False))

    def flush(self) -> tuple[SpokenPiece, ...]:
        return tuple(self._advance(self._intake.flush(), last=True))

    def _advance(self, shown: str, *, last: bool) -> Iterable[SpokenPiece]:
        self._parts.append(shown)
        self._shown += shown
        words, places = self._markup.push(shown)
        if last:
            more, more_places = self._markup.flush()
            words, places = words + more, places + more_places
        self._words += words
        self._places += places
        at = 0
        done = self._shown_at
        for length in self._segmenter.cuts(words, last=last):
            piece = self._words[at : at + length]
            places = self._places[at : at + length]
            at += length
            if not speakable(piece):
                continue  # its text belongs to the next piece
            whole = last and not speakable(self._words[at:])
            end = self.length if whole else places[-1] + 1  # marks after it belong to the next piece
            source = self._shown[done - self._shown_at : end - self._shown_at]
            yield self._piece(piece, [place - done for place in places], source)
            done = end
            if whole:
                break
        self._words, self._places = self._words[at:], self._places[at:]
        self._shown, self._shown_at = self._shown[done - self._shown_at :], done

    def _piece(self, piece: str, places: list[int], source: str) -> SpokenPiece:
        self.says_something = True
        start = len(piece) - len(piece.lstrip(LEADING))
        form = spoken_form(piece[start:].rstrip(), self._language)
        return SpokenPiece(form.text, source, tuple(places[start + place] for place in form.places))


def spoken_piece(text: str, language: str) -> SpokenPiece:
    """All of `text` as one piece, however long."""
    intake, markup = Intake(), Markup()
    shown = intake.push(text) + intake.flush()
    words, places = markup.push(shown)
    more, more_places = markup.flush()
    words, places = words + more, places + more_places
    start = len(words) - len(words.lstrip())
    form = spoken_form(words.strip(), language)
    return SpokenPiece(form.text, shown, tuple(places[start + place] for place in form.places))
