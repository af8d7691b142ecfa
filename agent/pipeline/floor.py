"""Decides who speaks next within one activity: replies in sequence, and within a reply those that its tools await.
Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

from agent.activity import Activity

__all__ = ["Floor", "Queued"]


class Queued(Protocol):
    """What a floor needs to know about a reply."""

    allow_interruptions: bool

    @property
    def suspended(self) -> bool: ...
    @property
    def working(self) -> bool: ...


R = TypeVar("R", bound=Queued)


class Floor(Generic[R]):
    """`under_way`: the outermost reply first; each but the last is suspended in a tool that awaits the next one."""

    def __init__(self, activity: Activity) -> None:
        self.activity = activity
        self.under_way: list[R] = []
        self.waiting: deque[R] = deque()
        self._awaited: dict[R, R] = {}  # a waiting reply -> the reply whose tool awaits it

    @property
    def active(self) -> R | None:
        return self.under_way[-1] if self.under_way else None

    @property
    def busy(self) -> bool:
        return bool(self.under_way or self.waiting)

    @property
    def working(self) -> bool:
        """Functions are running and the caller waits for their outcome."""
        return any(reply.working for reply in self.under_way)

    @property
    def interruptible(self) -> bool:
        return all(reply.allow_interruptions for reply in self.under_way)

    def __iter__(self) -> Iterator[R]:
        return iter((*self.under_way, *self.waiting))

    def awaits(self, inner: R, outer: object) -> None:
        """A tool or hook of `outer` awaits `inner`, which then cannot wait for the end of `outer`."""
        for reply in self.under_way:
            if reply is outer and inner in self.waiting:
                self._awaited[inner] = reply

    def next(self) -> R | None:
        """Take the reply that may begin now, if there is one."""
        active = self.active
        if active is None:
            found = self.waiting[0] if self.waiting else None
        elif active.suspended:
            found = next((one for one in self.waiting if self._awaited.get(one) is active), None)
        else:
            found = None
        if found is not None:
            self.forget(found)
            self.under_way.append(found)
        return found

    def forget(self, reply: R) -> None:
        """Remove a reply that no longer waits."""
        self._awaited.pop(reply, None)
        if reply in self.waiting:
            self.waiting.remove(reply)

    def over(self, reply: R) -> bool:
        """A reply has ended; returns whether it was in progress here."""
        if reply not in self.under_way:
            return False
        self.under_way.remove(reply)
        return True
