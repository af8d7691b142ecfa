"""Aggregates attempts over the rate: one entry per source and minute, so that a flood does not create its own records
size. Pure: time is an argument."""

from __future__ import annotations

from dataclasses import dataclass

from telephony.edge.protocol import Flood

__all__ = ["FloodTable"]

SUMMED_S = 60.0
_SOURCES = 200  # of trunks; further sources share one entry
_STRANGERS = 20  # their sources can be forged
_MANY = ""


@dataclass(slots=True)
class _Entry:
    attempts: int
    first_at: float
    last_at: float


class FloodTable:
    def __init__(self) -> None:
        self._entries: dict[tuple[str | None, str], _Entry] = {}  # (trunk, source), in the order of `first_at`
        self._strangers = 0

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, ip: str, trunk: str | None, now: float) -> None:
        """One more attempt from `ip` that was refused or dropped for its rate. `trunk` is None for a stranger."""
        entry = self._entries.get((trunk, ip))
        if entry is None:
            if self._full(trunk):
                ip = _MANY
                entry = self._entries.get((trunk, ip))
            if entry is None:
                self._entries[(trunk, ip)] = _Entry(1, now, now)
                self._strangers += trunk is None
                return
        entry.attempts += 1
        entry.last_at = now

    def _full(self, trunk: str | None) -> bool:
        return self._strangers >= _STRANGERS if trunk is None else len(self._entries) - self._strangers >= _SOURCES

    def due(self, now: float) -> list[Flood]:
        """Remove and return the entries that began at least a minute ago."""
        floods: list[Flood] = []
        while self._entries:
            key, entry = next(iter(self._entries.items()))
            if now - entry.first_at < SUMMED_S:
                break
            floods.append(self._take(key, entry))
        return floods

    def rest(self) -> list[Flood]:
        """Everything not reported yet."""
        return [self._take(key, entry) for key, entry in list(self._entries.items())]

    def _take(self, key: tuple[str | None, str], entry: _Entry) -> Flood:
        del self._entries[key]
        trunk, ip = key
        self._strangers -= trunk is None
        return Flood(ip, trunk, entry.attempts, entry.first_at, entry.last_at)
