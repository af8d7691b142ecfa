"""The silence ladder: neither side speaks, no tool runs, no reply is coming. Pure.

rung 1 after away_ms: "still_there"; rung 2 after away_ms more: "still_there_again"; rung 3: "goodbye_silence", end

Words, keys and speech as long as a turn are signs of life. A cough is not: it postpones a step, at most by that step's
length.
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
        self._quiet_since: float | None = None  # ignoring noises since then
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
        """A sound on the caller's line, not yet known to have words. It postpones a step while it lasts and afterwards,
        by at most the length of one step: noises don't keep a call alive."""
        self._idle_since = None

    def heard(self, now: float) -> None:
        """The caller gave a sign of life: back to the bottom of the ladder."""
        self.rung = 0
        self._quiet_since = None
        if self._idle_since is not None:
            self._idle_since = self._quiet_since = now

    def dealt_with(self) -> None:
        """It was handled in another way: the same rung may come again, and does not end the call."""
        self.rung = max(0, self.rung - 1)

    def tick(self, now: float) -> tuple[SilenceRung, ...]:
        deadline = self.deadline
        if deadline is None or now < deadline:
            return ()
        self._idle_since = self._quiet_since = None
        self.rung += 1
        return (SilenceRung(self.rung, RUNGS[self.rung - 1], self.rung == len(RUNGS)),)
