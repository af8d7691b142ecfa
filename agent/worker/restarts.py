"""Limits how often a job's process is replaced. Pure."""

from __future__ import annotations

from collections import deque

__all__ = ["RestartPolicy"]


class RestartPolicy:
    """Gives up on a job that repeatedly crashes its process: more than `most` times within `within_s`."""

    def __init__(self, most: int = 3, within_s: float = 60.0) -> None:
        self._most = most
        self._within_s = within_s
        self._times: deque[float] = deque()

    def allows(self, now: float) -> bool:
        """Whether the process lost at `now` (seconds) may be replaced; if so, it counts."""
        while self._times and now - self._times[0] > self._within_s:
            self._times.popleft()
        if len(self._times) >= self._most:
            return False
        self._times.append(now)
        return True
