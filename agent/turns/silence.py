"""The silence ladder: neither side speaks, no tool runs, no reply is coming. Pure.

rung 1 after away_ms: "still_there"; rung 2 after away_ms more: "still_there_again"; rung 3: "goodbye_silence", end

Words, keys and speech of the length of a turn are signs of life. A cough is none: it postpones a step, by at most as
long again.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["RUNGS", "SilenceLadder", "SilenceRung"]

RUNGS = ("still_there", "still_there_again", "goodbye_silence")


@dataclass(frozen=True, slots=True)
class SilenceRung:
    """`rung` counts from 1; `canned` is the key of what to say; `last`: then end the call."""

    rung: int
    canned: str
    last: bool


class SilenceLadder:
    def __init__(self, *, away_ms: float | None) -> None:
        """`away_ms` None: there is no ladder."""
        self._away_s = None if away_ms is None else away_ms / 1000
        self._idle_since: float | None = None
        self._quiet_since: float | None = None  # as if the noises since had not been
        self.rung = 0
        self.on = True  # False: the active persona does not use it

    @property
    def deadline(self) -> float | None:
        if not self.on or self._away_s is None or self._idle_since is None or self.rung >= len(RUNGS):
            return None
        due = self._idle_since + self._away_s
        return due if self._quiet_since is None else min(due, self._quiet_since + 2 * self._away_s)

    def idle(self, now: float) -> None:
        """The line is idle from now on. Idempotent."""
        if self._idle_since is None:
            self._idle_since = now
            if self._quiet_since is None:
                self._quiet_since = now

    def busy(self) -> None:
        """The agent does something, or keys are awaited."""
        self._idle_since = self._quiet_since = None

    def sound(self) -> None:
        """A sound on the caller's line, not yet known to have words. It postpones a step while
        it lasts and afterwards, by as long again as one step takes: noises don't keep a call alive."""
        self._idle_since = None

    def heard(self, now: float) -> None:
        """The caller gave a sign of life: back to the foot of the ladder."""
        self.rung = 0
        self._quiet_since = None
        if self._idle_since is not None:
            self._idle_since = self._quiet_since = now

    def dealt_with(self) -> None:
        """Something else was done about it: the same rung may come again, and the call does not end for it."""
        self.rung = max(0, self.rung - 1)

    def tick(self, now: float) -> tuple[SilenceRung, ...]:
        deadline = self.deadline
        if deadline is None or now < deadline:
            return ()
        self._idle_since = self._quiet_since = None
        self.rung += 1
        return (SilenceRung(self.rung, RUNGS[self.rung - 1], self.rung == len(RUNGS)),)
