"""Plain counts by name, for the metrics page."""

from __future__ import annotations

from collections import Counter

__all__ = ["EdgeCounters"]


class EdgeCounters:
    """Names are `group.name`, as in `received.INVITE`, `malformed.cseq`, `refused.acl`. Counts only grow."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, name: str, amount: int = 1) -> None:
        self._counts[name] += amount

    def __getitem__(self, name: str) -> int:
        return self._counts[name]

    def snapshot(self) -> dict[str, int]:
        return dict(self._counts)
