"""A caller's stay in a human queue: what is asked for, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

__all__ = ["PREFIX", "QueueAsk", "QueueEnd", "QueueResult", "queue_name"]

PREFIX = "queue:"  # of a transfer's target


def queue_name(to: str) -> str:
    """Of a target `queue:NAME`; empty: it is another kind of target."""
    return to[len(PREFIX) :] if to.startswith(PREFIX) else ""


class QueueEnd(StrEnum):
    """Why a caller is not in a queue any more."""

    ANSWERED = "answered"  # a member has the caller
    WAITING = "waiting"  # not over: the agent goes on helping while the queue searches
    LEFT = "left"  # the caller asked to be with the agent again
    CALLBACK = "callback"  # the caller will be called back
    OVERFLOWED = "overflowed"  # somebody else has the caller: a number, another persona, a message taker
    FULL = "full"
    CLOSED = "closed"
    TOO_LONG = "too_long"
    NO_MEMBERS = "no_members"  # none is signed in
    REMOVED = "removed"  # by somebody over the API
    UNAVAILABLE = "unavailable"  # the queues cannot be reached: no store, or our own fault
    ABANDONED = "abandoned"  # the caller hung up, or the call was ended


@dataclass(frozen=True, slots=True)
class QueueAsk:
    """`priority`: higher goes first. `skills`: wanted of members, with the least level. `keep_helping`: the agent goes
    on talking with the caller meanwhile; None: as the queue's settings say. `callback`: the id of the callback that
    this caller has been called for; empty: none."""

    priority: int = 0
    skills: Mapping[str, int] = field(default_factory=dict)
    keep_helping: bool | None = None
    callback: str = ""

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> Self:
        """Raises KeyError, TypeError, ValueError."""
        skills = {str(name): int(level) for name, level in dict(body["skills"]).items()}
        helping = body["keep_helping"]
        return cls(int(body["priority"]), skills, None if helping is None else bool(helping), str(body["callback"]))


@dataclass(frozen=True, slots=True)
class QueueResult:
    """`member`: who has the caller; `to`: where an overflow went. `position` from 1, and `wait_s`, the estimate (None:
    not known), of a caller who is waiting still."""

    end: QueueEnd
    waited_s: float = 0.0
    member: str = ""
    leg_id: str = ""
    to: str = ""
    reason: str = ""
    position: int = 0
    wait_s: float | None = None

    @property
    def answered(self) -> bool:
        return self.end is QueueEnd.ANSWERED

    @property
    def has_the_caller(self) -> bool:
        """Whether somebody else has."""
        return self.end in (QueueEnd.ANSWERED, QueueEnd.OVERFLOWED)

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> Self:
        """Raises KeyError, TypeError, ValueError."""
        return cls(**{**body, "end": QueueEnd(body["end"])})
