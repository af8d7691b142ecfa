"""Whether a call screener is told again who calls: each of its further questions is answered once more at most. Pure.

A screener that says "please stay on the line" asks nothing; anything else it says may be a question, or a person.
"""

from __future__ import annotations

from agent.turns.hold_words import asks_to_wait
from agent.turns.same_words import same_words

__all__ = ["ScreenerAsks"]

_MOST_ANSWERS = 3


class ScreenerAsks:
    def __init__(self) -> None:
        self._said_at: float | None = None
        self._answers = 0
        self._answered: list[str] = []

    @property
    def told(self) -> bool:
        """It has been told who calls."""
        return self._said_at is not None

    def says(self, at: float) -> None:
        """It is told from now on."""
        self._said_at = at
        self._answers += 1

    def again(self, words: str, began_at: float) -> bool:
        """Whether these words, said since `began_at`, are to be answered by saying it again."""
        if self._said_at is None or began_at < self._said_at or not words.strip() or self._answers >= _MOST_ANSWERS:
            return False
        if asks_to_wait(words) or any(same_words(words, before) for before in self._answered):
            return False
        self._answered.append(words)
        return True
