"""Which words of an utterance were heard, by how much of its audio was played. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from agent.providers.base import WordMark
from agent.speech.characters import DENSE, dense, is_break
from agent.speech.stage import SpokenPiece

__all__ = ["Script"]

# A word, or in a script without spaces each character, with the punctuation after it.
_UNIT = re.compile(rf"[{DENSE}][^\s{DENSE}]*|[^\s{DENSE}]+")
_MS_A_CHARACTER = 60  # of ordinary speech: for a piece whose audio is still incomplete


@dataclass(slots=True)
class _Piece:
    words: SpokenPiece
    start_ms: float = 0.0
    audio_ms: float = 0.0
    marks: list[WordMark] = field(default_factory=list)
    complete: bool = False
    begun: bool = False


class Script:
    """The pieces of one utterance in order, with their positions in its audio (ms from its start)."""

    def __init__(self) -> None:
        self._pieces: list[_Piece] = []
        self.end_ms = 0.0  # of all audio so far

    def begin(self, words: SpokenPiece) -> int:
        """A piece is about to be spoken; returns its number."""
        self._pieces.append(_Piece(words))
        return len(self._pieces) - 1

    def add(self, number: int, audio_ms: float, marks: tuple[WordMark, ...]) -> None:
        """More audio of a piece goes to the output. Marks are relative to the start of the piece."""
        piece = self._pieces[number]
        if not piece.begun:
            piece.begun = True
            piece.start_ms = self.end_ms
        piece.audio_ms += audio_ms
        piece.marks.extend(marks)
        self.end_ms += audio_ms

    def complete(self, number: int) -> None:
        self._pieces[number].complete = True

    def piece_at(self, played_ms: float) -> int:
        """The piece heard at this position; the next one if it has just ended."""
        place = 0
        for number, piece in enumerate(self._pieces):
            if not piece.begun or played_ms <= piece.start_ms:
                break
            over = piece.complete and played_ms >= piece.start_ms + piece.audio_ms - 1
            place = number + 1 if over else number
        return place

    def rewind(self, number: int) -> None:
        """All audio from this piece on will be added again."""
        for piece in self._pieces[number:]:
            if piece.begun:
                self.end_ms -= piece.audio_ms
            piece.begun = piece.complete = False
            piece.start_ms = piece.audio_ms = 0.0
            piece.marks.clear()

    def text_before(self, number: int) -> str:
        """The text of all pieces before this one."""
        return "".join(piece.words.source for piece in self._pieces[:number]).strip()

    def heard(self, played_ms: float) -> str:
        """The start of the text, as far as its words were heard completely."""
        texts: list[str] = []
        for piece in self._pieces:
            if not piece.begun or played_ms <= piece.start_ms:
                break
            played = played_ms - piece.start_ms
            if piece.complete and played >= piece.audio_ms - 1:
                texts.append(piece.words.source)
                continue
            texts.append(_cut(piece, played))
            break
        return "".join(texts).strip()

    def asks(self, played_ms: float) -> bool:
        """Whether the current or last piece is a question of which at least half was heard."""
        heard = [piece for piece in self._pieces if piece.begun and piece.start_ms < played_ms]
        if not heard:
            return False
        piece = heard[-1]
        return (
            piece.words.spoken.rstrip("\"')”’」』").endswith(("?", "？", "؟"))
            and played_ms - piece.start_ms >= piece.audio_ms / 2
        )

    def sentence_end_ms(self, played_ms: float) -> float | None:
        """Where the current piece ends; None if its audio is incomplete."""
        for piece in self._pieces:
            if piece.begun and piece.start_ms <= played_ms < piece.start_ms + piece.audio_ms:
                return piece.start_ms + piece.audio_ms if piece.complete else None
        return None


def _cut(piece: _Piece, played_ms: float) -> str:
    text = piece.words.spoken
    units = [(match.start(), match.end()) for match in _UNIT.finditer(text)]
    total = piece.audio_ms if piece.complete else max(piece.audio_ms, len(text) * _MS_A_CHARACTER)
    end = 0
    for index, (_, unit_end) in enumerate(units):
        following = units[index + 1][0] if index + 1 < len(units) else None
        if following is None:
            heard_at = total
        elif piece.marks:
            heard_at = _heard_at(piece.marks, text, following, total)
        else:
            heard_at = total * unit_end / len(text)
        if heard_at > played_ms + 1e-6:
            break
        end = unit_end
    while 0 < end < len(text) and not text[end].isspace() and not is_break(text[end - 1], text[end]):
        end -= 1
    return piece.words.source_before(end)


def _heard_at(marks: list[WordMark], text: str, offset: int, total: float) -> float:
    """When the unit at `offset` starts. Engines merge short words ("of the") into one mark; then the next mark counts.
    In a script without spaces, where a mark may stand for many characters, it is estimated between two marks."""
    later = [mark for mark in marks if mark.offset >= offset]
    following = min(later, key=lambda mark: mark.offset, default=WordMark(len(text), total))
    if following.offset == offset or not dense(text[offset]):
        return following.at_ms
    before = max(
        (mark for mark in marks if mark.offset < offset), key=lambda mark: mark.offset, default=WordMark(0, 0.0)
    )
    share = (offset - before.offset) / max(following.offset - before.offset, 1)
    return before.at_ms + share * (following.at_ms - before.at_ms)
