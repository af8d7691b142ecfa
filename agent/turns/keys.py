"""Limits the rate of keys: presses faster than any hand are dropped, and key turns come no faster than answers.
Pure."""

from __future__ import annotations

from dataclasses import replace

from agent.turns.digits import DigitsEntered

__all__ = ["KeyTurns", "Presses"]

_TEXT = 64  # most keyed digits in one turn


class Presses:
    """`a_second` presses on average, `burst` at once (a leg passes on keys from before the agent joined)."""

    def __init__(self, *, a_second: float, burst: int) -> None:
        self._a_second, self._burst = a_second, float(burst)
        self._room = float(burst)
        self._at: float | None = None
        self.dropped = 0

    def takes(self, now: float) -> bool:
        """Whether a press at `now` counts."""
        if self._at is not None:
            self._room = min(self._burst, self._room + max(0.0, now - self._at) * self._a_second)
        self._at = now
        if self._room < 1:
            self.dropped += 1
            return False
        self._room -= 1
        return True


class KeyTurns:
    """Entries that follow each other within `gap_ms` become one turn: the first is reported at once, later ones
    together when the gap is over."""

    def __init__(self, *, gap_ms: float) -> None:
        self._gap_s = gap_ms / 1000
        self._next_at: float | None = None
        self._waiting: DigitsEntered | None = None

    @property
    def waiting(self) -> bool:
        return self._waiting is not None

    @property
    def deadline(self) -> float | None:
        return self._next_at if self._waiting is not None else None

    def entered(self, entries: tuple[DigitsEntered, ...], now: float) -> tuple[DigitsEntered, ...]:
        for entry in entries:
            waiting = self._waiting
            if waiting is None:
                self._waiting = replace(entry, text=entry.text[:_TEXT])
            else:
                text = f"{waiting.text} {entry.text}"[:_TEXT].rstrip()
                self._waiting = replace(entry, text=text, started_at=waiting.started_at)
        return self.tick(now)

    def tick(self, now: float) -> tuple[DigitsEntered, ...]:
        if self._waiting is None or (self._next_at is not None and now < self._next_at):
            return ()
        entry, self._waiting = self._waiting, None
        self._next_at = now + self._gap_s
        return (entry,)

    def forget(self) -> None:
        """Drop what is waiting."""
        self._waiting = None
