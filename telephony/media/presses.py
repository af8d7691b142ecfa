"""One press of a key is one digit, whatever ways it came in. Pure.

A carrier may turn a key into RTP events and leave its tone in the audio, or send an INFO as well. The same key by
another way, within a second, is the same press, unless that way has told it already.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ["OnePress"]

_SAME_S = 1.0  # INFO comes some hundred ms after the tone
_REMEMBERED = 32


@dataclass(slots=True)
class _Press:
    key: str
    at: float
    told_by: set[StrEnum] = field(default_factory=set)


class OnePress:
    def __init__(self) -> None:
        self._presses: deque[_Press] = deque(maxlen=_REMEMBERED)

    def is_new(self, key: str, way: StrEnum, at: float) -> bool:
        """Whether nobody has told this press yet. `at`: seconds."""
        for press in self._presses:
            if press.key == key and at - press.at <= _SAME_S and way not in press.told_by:
                press.told_by.add(way)
                return False
        self._presses.append(_Press(key, at, {way}))
        return True
