"""Whether an announcement is heard again, though the recogniser got some of its words otherwise. Pure."""

from __future__ import annotations

from agent.turns.backchannel import normalized_words

__all__ = ["same_words"]

_ALIKE = 0.75  # of all different words of both
_LONGEST = 200  # words of each that count


def same_words(one: str, other: str) -> bool:
    first, second = set(normalized_words(one)[:_LONGEST]), set(normalized_words(other)[:_LONGEST])
    together = first | second
    return bool(together) and len(first & second) >= _ALIKE * len(together)
