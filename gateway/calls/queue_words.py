"""What a caller who waits in a queue hears of it, put together from the persona's phrases. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable

from telephony.queue import QueueEnd

__all__ = ["end_key", "position_words"]

_WITH_WORDS = frozenset(
    {
        QueueEnd.LEFT, QueueEnd.FULL, QueueEnd.CLOSED, QueueEnd.TOO_LONG, QueueEnd.NO_MEMBERS, QueueEnd.REMOVED,
        QueueEnd.UNAVAILABLE,
    }
)  # fmt: skip


def end_key(end: QueueEnd) -> str:
    """The key of what is said to a caller who is with the agent again; empty: nothing."""
    return f"queue_{end.value}" if end in _WITH_WORDS else ""


def position_words(canned: Callable[[str], str], position: int, wait_s: float | None, most_wait_s: float) -> str:
    """`canned`: the persona's phrase for a key. `wait_s` None: not known; longer than `most_wait_s`: not told."""
    words = canned("queue_next") if position <= 1 else canned("queue_position").format(position=position)
    if wait_s is None or wait_s > most_wait_s:
        return words
    minutes = max(1, math.ceil(wait_s / 60))
    wait = canned("queue_wait_minute") if minutes == 1 else canned("queue_wait_minutes").format(minutes=minutes)
    return f"{words} {wait}".strip()
