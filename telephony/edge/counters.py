"""Plain counts by name, for the metrics page."""

from __future__ import annotations

from collections import Counter

__all__ = ["EdgeCounters", "counted_method"]

_METHODS = frozenset(
    {"ACK", "BYE", "CANCEL", "INFO", "INVITE", "MESSAGE", "NOTIFY", "OPTIONS"}
    | {"PRACK", "PUBLISH", "REFER", "REGISTER", "SUBSCRIBE", "UPDATE"}
)


def counted_method(method: str) -> str:
    """The name under which a method is counted: a stranger must not be able to make up names."""
    return method if method in _METHODS else "other"


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
