"""Escalation for a function that blocks the event loop, and with it every call of its process, by duration. Pure.

100 ms  Log it with its stack (after a second for code outside persona functions)
3 s     Announce("one_moment") to all calls of the process, 7.5 s Announce("still_working")
12 s    LastResort: all calls hear goodbye, then the process ends, since nothing can bring the loop back
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LAST_RESORT_S", "Announce", "BlockAction", "LastResort", "LoopBlock", "Name"]

NAME_S = 0.1
NAME_ANYBODY_S = 1.0
ANNOUNCE_S = ((3.0, "one_moment"), (7.5, "still_working"))
LAST_RESORT_S = 12.0


@dataclass(frozen=True, slots=True)
class Name:
    pass


@dataclass(frozen=True, slots=True)
class Announce:
    """`canned`: the key of what to say."""

    canned: str


@dataclass(frozen=True, slots=True)
class LastResort:
    pass


BlockAction = Name | Announce | LastResort


class LoopBlock:
    """One period in which the loop is blocked."""

    def __init__(self) -> None:
        self._named = False
        self._announced = 0
        self.over = False

    def tick(self, blocked_s: float, *, known: bool) -> tuple[BlockAction, ...]:
        """`known`: a persona's function is running on the loop."""
        actions: list[BlockAction] = []
        if not self._named and blocked_s >= (NAME_S if known else NAME_ANYBODY_S):
            self._named = True
            actions.append(Name())
        while self._announced < len(ANNOUNCE_S) and blocked_s >= ANNOUNCE_S[self._announced][0]:
            actions.append(Announce(ANNOUNCE_S[self._announced][1]))
            self._announced += 1
        if not self.over and blocked_s >= LAST_RESORT_S:
            self.over = True
            actions.append(LastResort())
        return tuple(actions)
