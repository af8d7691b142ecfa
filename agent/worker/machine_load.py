"""CPU in use and memory left on this machine, or in our container."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

__all__ = ["CpuMeter", "available_mb"]

_MIB = 1024 * 1024
_CGROUP = Path("/sys/fs/cgroup")


class CpuMeter:
    """The fraction of the CPU used since the last call: of the container's quota if there is one (cgroup v2 `cpu.max`),
    else of all cores."""

    def __init__(self, cgroup: Path = _CGROUP) -> None:
        self._cgroup = cgroup
        self._cores = quota_cores(_text(cgroup / "cpu.max"))
        self._last: tuple[float, float] | None = None
        psutil.cpu_percent(interval=None)  # the first one measures nothing

    def sample(self, now: float) -> float:
        """0 to 1. `now`: seconds of a steady clock."""
        used = used_seconds(_text(self._cgroup / "cpu.stat")) if self._cores else None
        if self._cores is None or used is None:
            return min(1.0, psutil.cpu_percent(interval=None) / 100)
        before, self._last = self._last, (now, used)
        if before is None or now <= before[0]:
            return 0.0
        return max(0.0, min(1.0, (used - before[1]) / (now - before[0]) / self._cores))


def quota_cores(cpu_max: str) -> float | None:
    """The limit in `cpu.max` ("200000 100000", "max 100000"), in cores; None: no limit below the machine's."""
    parts = cpu_max.split()
    if len(parts) != 2 or parts[0] == "max":
        return None
    try:
        cores = int(parts[0]) / int(parts[1])
    except (ValueError, ZeroDivisionError):
        return None
    return cores if 0 < cores < (os.cpu_count() or 1) else None


def used_seconds(cpu_stat: str) -> float | None:
    """CPU time of the container so far, from `cpu.stat`."""
    for line in cpu_stat.splitlines():
        name, _, value = line.partition(" ")
        if name == "usage_usec" and value.strip().isdigit():
            return int(value) / 1e6
    return None


def available_mb(cgroup: Path = _CGROUP) -> float:
    """Available memory in MiB: of the machine, or of the container's limit if lower."""
    machine = psutil.virtual_memory().available / _MIB
    limit, used = _text(cgroup / "memory.max").strip(), _text(cgroup / "memory.current").strip()
    if limit.isdigit() and used.isdigit():
        return min(machine, max(0.0, (int(limit) - int(used)) / _MIB))
    return machine


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
