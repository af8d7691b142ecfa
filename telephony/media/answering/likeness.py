"""Words that a recogniser has nearly got right: one letter off, or a word that it has cut in two."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["Vocabulary"]

_LEAST = 5  # letters: shorter words are too much alike
_KNOWN = 3  # of so many words one has to be known
_KEPT = 4096  # words whose likeness has been looked up


class Vocabulary:
    """The words that patterns are made of."""

    def __init__(self, words: Iterable[str]) -> None:
        self._words = frozenset(words)
        self._near: dict[str, list[str]] = {}
        for word in sorted(self._words):
            if len(word) >= _LEAST:
                for shorter in (word, *_shorter(word)):
                    self._near.setdefault(shorter, []).append(word)
        self._looked_up: dict[str, str] = {}

    def corrected(self, words: Sequence[str]) -> list[str]:
        """With the words meant, as far as they are known to patterns; the others as they are. Where hardly any is
        known, another language is spoken, and they are left alone."""
        if _KNOWN * sum(word in self._words for word in words) < len(words):
            return list(words)
        found: list[str] = []
        for word in words:
            if found and word not in self._words and found[-1] + word in self._words:
                found[-1] += word  # "voice mail", "un available"
            elif found and found[-1] not in self._words and found[-1] + word in self._words:
                found[-1] += word
            else:
                found.append(self._meant(word))
        return found

    def _meant(self, word: str) -> str:
        if word in self._words or len(word) < _LEAST:
            return word
        if word not in self._looked_up:
            if len(self._looked_up) >= _KEPT:
                self._looked_up.clear()
            self._looked_up[word] = self._nearest(word)
        return self._looked_up[word]

    def _nearest(self, word: str) -> str:
        for shorter in (word, *_shorter(word)):
            for near in self._near.get(shorter, ()):
                if _one_edit(word, near):
                    return near
        return word


def _shorter(word: str) -> Iterable[str]:
    return (word[:index] + word[index + 1 :] for index in range(len(word)))


def _one_edit(one: str, other: str) -> bool:
    """A letter more, less or another, or two that have changed places. The first letter stays: words that differ in
    it are mostly other words ("reach", "beach")."""
    if one[0] != other[0]:
        return False
    if len(one) > len(other):
        one, other = other, one
    same = next((index for index, letter in enumerate(one) if letter != other[index]), len(one))
    if len(one) < len(other):
        return one[same:] == other[same + 1 :]
    rest, other_rest = one[same:], other[same:]
    return rest[1:] == other_rest[1:] or (rest[1::-1] == other_rest[:2] and rest[2:] == other_rest[2:])
