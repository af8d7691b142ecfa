"""Messages waiting to be written: an ordered queue with separate limits per kind of message. Pure.

Kinds don't compete for space: refused attempts, which anyone can cause, have their own limit, as do beginnings and
ends of calls, those of legs and transfers, and events in calls. So a flood costs no call its
record.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

from gateway.record import (
    CallEvents,
    CallRecord,
    LegClosed,
    LegMoved,
    LegOpened,
    RecordMessage,
    TransferBegan,
    TransferEnded,
)

__all__ = ["Backlog"]

_OF_LEGS = (LegOpened, LegMoved, LegClosed, TransferBegan, TransferEnded)


class Backlog:
    """Each event takes a place; a message without events takes one. `bound` limits events; in addition half as many
    beginnings and ends of calls, as many of legs and transfers, and a quarter as many refused attempts may wait. Calls
    are written before refusals."""

    def __init__(self, bound: int) -> None:
        self._events_bound = bound
        self._calls_bound = max(1, bound // 2)
        self._refusals_bound = max(1, bound // 4)
        self._calls: deque[RecordMessage] = deque()
        self._refusals: deque[CallRecord] = deque()
        self._events = 0  # places taken by messages with events
        self._ends = 0  # places taken by beginnings and ends of calls
        self._legs = 0  # the same, of legs and transfers
        self.on_kept: Callable[[RecordMessage], None] | None = None  # called with each accepted message
        self.dropped_events = 0
        self.dropped_records = 0
        self.dropped_refusals = 0

    def __len__(self) -> int:
        return len(self._calls) + len(self._refusals)

    @property
    def size(self) -> int:
        return self._events + self._ends + self._legs + len(self._refusals)

    def messages(self) -> list[RecordMessage]:
        """All that wait, in the order in which they will be written."""
        return [*self._calls, *self._refusals]

    def put(self, message: RecordMessage) -> None:
        kept = self._with_room(message)
        if kept is None:
            return
        self._append(kept)
        if self.on_kept is not None:
            self.on_kept(kept)

    def take(self, at_most: int) -> list[RecordMessage]:
        """The oldest messages, of `at_most` size together, but at least one if there is one."""
        batch: list[RecordMessage] = []
        taken = 0
        while (queue := self._calls or self._refusals) and (not batch or taken + _places(queue[0]) <= at_most):
            message = queue.popleft()
            taken += _places(message)
            self._count(message, -1)
            batch.append(message)
        return batch

    def put_back(self, batch: Sequence[RecordMessage]) -> None:
        """Put messages that could not be written back to the front, ignoring limits, as they were accepted before."""
        for message in reversed(batch):
            if isinstance(message, CallRecord):
                self._refusals.appendleft(message)
            else:
                self._calls.appendleft(message)
            self._count(message, 1)

    def _with_room(self, message: RecordMessage) -> RecordMessage | None:
        """The message, or the part of it that there is room for."""
        if isinstance(message, CallRecord):
            if len(self._refusals) < self._refusals_bound:
                return message
            self.dropped_refusals += 1
            return None
        if isinstance(message, CallEvents) and self._events + _places(message) > self._events_bound:
            self.dropped_events += len(message.events)
            if message.answered_at is None:
                return None
            message = replace(message, events=())
        taken = self._legs if isinstance(message, _OF_LEGS) else self._ends
        if not _has_events(message) and taken >= self._calls_bound:
            self.dropped_records += 1
            return None
        return message

    def _append(self, message: RecordMessage) -> None:
        if isinstance(message, CallRecord):
            self._refusals.append(message)
        else:
            self._calls.append(message)
        self._count(message, 1)

    def _count(self, message: RecordMessage, sign: int) -> None:
        if _has_events(message):
            self._events += sign * _places(message)
        elif isinstance(message, _OF_LEGS):
            self._legs += sign
        elif not isinstance(message, CallRecord):
            self._ends += sign


def _has_events(message: RecordMessage) -> bool:
    return isinstance(message, CallEvents) and bool(message.events)


def _places(message: RecordMessage) -> int:
    return max(1, len(message.events)) if isinstance(message, CallEvents) else 1
