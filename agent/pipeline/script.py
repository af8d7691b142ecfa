"""Which words of an utterance were heard, by how much of its audio was played. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from agent.providers.base import WordMark

__all__ = ["Script"]

_MS_A_CHARACTER = 60  # of ordinary speech: for a piece whose audio is not all there yet


@dataclass(slots=True)
class _Piece:
    text: str
    start_ms: float = 0.0
    audio_ms: float = 0.0
    marks: list[WordMark] = field(default_factory=list)
    complete: bool = False
    begun: bool = False


class Script:
    """The pieces of one utterance in order, with their places in its audio (ms from its beginning)."""

    def __init__(self) -> None:
        self._pieces: list[_Piece] = []
        self.end_ms = 0.0  # of all audio so far

    def begin(self, text: str) -> int:
        """A piece is going to be spoken; its number."""
        self._pieces.append(_Piece(text))
        return len(self._pieces) - 1

    def add(self, number: int, audio_ms: float, marks: tuple[WordMark, ...]) -> None:
        """More audio of a piece goes to the output. Marks count from the beginning of the piece."""
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
        """The piece that is being heard at this place; the next one if it was heard to its end just now."""
        place = 0
        for number, piece in enumerate(self._pieces):
            if not piece.begun or played_ms <= piece.start_ms:
                break
            over = piece.complete and played_ms >= piece.start_ms + piece.audio_ms - 1
            place = number + 1 if over else number
        return place

    def rewind(self, number: int) -> None:
        """From this piece on all audio will be added again."""
        for piece in self._pieces[number:]:
            if piece.begun:
                self.end_ms -= piece.audio_ms
            piece.begun = piece.complete = False
            piece.start_ms = piece.audio_ms = 0.0
            piece.marks.clear()

    def text_before(self, number: int) -> str:
        """The words of all pieces before this one."""
        return " ".join(piece.text for piece in self._pieces[:number] if piece.text)

    def heard(self, played_ms: float) -> str:
        """The words that had been heard to their end."""
        texts: list[str] = []
        for piece in self._pieces:
            if not piece.begun or played_ms <= piece.start_ms:
                break
            played = played_ms - piece.start_ms
            if piece.complete and played >= piece.audio_ms - 1:
                texts.append(piece.text)
                continue
            texts.append(_cut(piece, played))
            break
        return " ".join(text for text in texts if text)

    def asks(self, played_ms: float) -> bool:
        """Whether the piece that is being heard, or was heard last, is a question of which half was heard."""
        heard = [piece for piece in self._pieces if piece.begun and piece.start_ms < played_ms]
        if not heard:
            return False
        piece = heard[-1]
        return piece.text.rstrip("\"')").endswith("?") and played_ms - piece.start_ms >= piece.audio_ms / 2

    def sentence_end_ms(self, played_ms: float) -> float | None:
        """Where the piece that is being heard ends; None if its audio is not all there."""
        for piece in self._pieces:
            if piece.begun and piece.start_ms <= played_ms < piece.start_ms + piece.audio_ms:
                return piece.start_ms + piece.audio_ms if piece.complete else None
        return None


def _cut(piece: _Piece, played_ms: float) -> str:
    words = [(match.start(), match.end()) for match in re.finditer(r"\S+", piece.text)]
    starts = {mark.offset: mark.at_ms for mark in piece.marks}
    total = piece.audio_ms if piece.complete else max(piece.audio_ms, len(piece.text) * _MS_A_CHARACTER)
    end = 0
    for index, (_, word_end) in enumerate(words):
        following = words[index + 1][0] if index + 1 < len(words) else None
        if following is None:
            heard_at = total
        elif starts:
            heard_at = starts.get(following, _next_mark(piece.marks, following, total))
        else:
            heard_at = total * word_end / len(piece.text)
        if heard_at > played_ms + 1e-6:
            break
        end = word_end
    return piece.text[:end]


def _next_mark(marks: list[WordMark], offset: int, total: float) -> float:
    """The first mark at or behind `offset`: engines merge short words ("of the") into one mark."""
    return min((mark.at_ms for mark in marks if mark.offset >= offset), default=total)
