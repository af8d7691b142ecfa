"""CPU seconds and PSS of a process tree, read from /proc through psutil."""

from __future__ import annotations

from dataclasses import dataclass

import psutil

__all__ = ["ProcessTree", "Usage"]


@dataclass(frozen=True, slots=True)
class Usage:
    """`cpu_s`: user and system seconds of all living processes since their start; `pss_mib`: memory, with
    shared pages divided among their users."""

    at: float  # seconds, monotonic clock
    cpu_s: float
    pss_mib: float
    processes: int


class ProcessTree:
    """A process and all its descendants."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)

    def usage(self, at: float) -> Usage:
        cpu_s = pss = 0.0
        count = 0
        for process in [self._root, *self._root.children(recursive=True)]:
            try:
                times = process.cpu_times()
                pss += process.memory_full_info().pss
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
            cpu_s += times.user + times.system
            count += 1
        return Usage(at, cpu_s, pss / 2**20, count)
