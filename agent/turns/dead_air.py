"""The caller waits for the agent and hears nothing: a word bridges it. Pure.

    answered --waits(since)--> waiting --first_ms--> Filler("one_moment") --next_ms--> Filler("still_working") ...

`since` is the end of the last sound of either side. What the agent waits for itself (a model, a function, speech that
is being made or recognized) does not matter.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DeadAir", "Filler"]

_NEXT = 1.5  # times the first wait
_PATIENT_AFTER = 3  # fillers; who waits for a minute is not spoken to every five seconds
_PATIENT = 3.0


@dataclass(frozen=True, slots=True)
class Filler:
    """`canned`: the key of what to say."""

    canned: str


class DeadAir:
    def __init__(self, *, first_ms: float | None) -> None:
        """`first_ms` None: nothing is ever bridged."""
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
        """An answer is owed and nothing has been heard since then, or will be heard from then on if it is to come.
        To be repeated as that becomes known better."""
        self._since = since

    def attended(self) -> None:
        """Nobody waits just now: the caller speaks, or the agent does."""
        self._since = None

    def answered(self) -> None:
        """Nothing is owed, or the caller has said something new: the next wait begins with the first filler."""
        self._since = None
        self._given = 0

    def tick(self, now: float) -> tuple[Filler, ...]:
        deadline = self.deadline
        if deadline is None or now < deadline:
            return ()
        self._since = None
        self._given += 1
        return (Filler("one_moment" if self._given == 1 else "still_working"),)
