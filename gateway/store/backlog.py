"""What waits to be written: an ordered queue with a bound. Pure.

When the bound is reached, the conversation's events go first: beginnings and ends of calls still fit into a reserve, so
that a call keeps its record for as long as there is any room.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from gateway.record import CallEvents, RecordMessage

__all__ = ["Backlog"]


class Backlog:
    """Sizes are in events; a message without events counts as one. `bound` holds for events, the rest may fill half
    as much again."""

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._reserve = bound + max(1, bound // 2)
        self._messages: deque[RecordMessage] = deque()
        self.size = 0
        self.dropped_events = 0
        self.dropped_records = 0

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, message: RecordMessage) -> None:
        if isinstance(message, CallEvents) and self.size + _size(message) > self._bound:
            self.dropped_events += len(message.events)
            if message.answered_at is None:
                return
            message = replace(message, events=())
        if self.size >= self._reserve:
            self.dropped_records += 1
            return
        self._messages.append(message)
        self.size += _size(message)

    def take(self, at_most: int) -> list[RecordMessage]:
        """The oldest messages, of `at_most` size together, but at least one if there is one."""
        batch: list[RecordMessage] = []
        taken = 0
        while self._messages and (not batch or taken + _size(self._messages[0]) <= at_most):
            message = self._messages.popleft()
            taken += _size(message)
            batch.append(message)
        self.size -= taken
        return batch

    def put_back(self, batch: Sequence[RecordMessage]) -> None:
        """What was taken and could not be written, to the front: whatever its size, as it was accepted before."""
        self._messages.extendleft(reversed(batch))
        self.size += sum(_size(message) for message in batch)


def _size(message: RecordMessage) -> int:
    return max(1, len(message.events)) if isinstance(message, CallEvents) else 1
