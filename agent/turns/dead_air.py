"""Bridges the silence while the caller waits for the agent. Pure.

    answered --waits(since)--> waiting --first_ms--> Filler("one_moment") --next_ms--> Filler("still_working") ...

`since` is the end of the last sound from either side. What the agent itself waits for (a model, a function, synthesis,
recognition) does not matter.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DeadAir", "Filler"]

_NEXT = 1.5  # times the first wait
_PATIENT_AFTER = 3  # fillers; someone who waits for a minute does not want to hear one every five seconds
_PATIENT = 3.0


@dataclass(frozen=True, slots=True)
class Filler:
    """`canned`: the key of what to say."""

    canned: str


class DeadAir:
    def __init__(self, *, first_ms: float | None) -> None:
        """`first_ms` None: never bridge."""
        self._first_s = None if first_ms is None else first_ms / 1000
        self._since: float | None = None
        self._given = 0

    @property
    def deadline(self) -> float | None:
        if self._first_s is None or self._since is None:
            return None
        factor = 1.0 if not self._given else _NEXT if self._given < _PATIENT_AFTER else _PATIENT
        return self._since + self._first_s * factor

    def waits(self, since: float) -> None:
        """An answer is due and nothing has been audible since then, or will be until then. Call it again whenever a
        better estimate is known."""
        self._since = since

    def attended(self) -> None:
        """Nobody is waiting now: the caller or the agent speaks."""
        self._since = None

    def answered(self) -> None:
        """No answer is due, or the caller has said something new: the next wait starts with the first filler."""
        self._since = None
        self._given = 0

    def tick(self, now: float) -> tuple[Filler, ...]:
        deadline = self.deadline
        if deadline is None or now < deadline:
            return ()
        self._since = None
        self._given += 1
        return (Filler("one_moment" if self._given == 1 else "still_working"),)
