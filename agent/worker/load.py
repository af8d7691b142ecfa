"""How busy this machine is, and whether one more job fits. Pure: samples come in, a decision comes out."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

__all__ = [
    "SAMPLE_S",
    "SERVER_TARGET_LOAD",
    "Accept",
    "Capacity",
    "MovingAverage",
    "Refuse",
    "WorkerLoad",
    "memory_verdict",
]

SAMPLE_S = 0.5  # seconds between two samples of the CPU
SERVER_TARGET_LOAD = 0.7  # LiveKit server's `agents.target_load`: from that load on a worker is not asked
_SAMPLES = 5  # 2.5 s: a job's start alone does not look like a full machine
_RESERVED_LOAD = 0.05  # what an accepted job counts until samples show it


class MovingAverage:
    """Of the last samples."""

    def __init__(self, samples: int = _SAMPLES) -> None:
        self._samples: deque[float] = deque(maxlen=samples)

    def add(self, sample: float) -> None:
        self._samples.append(sample)

    @property
    def value(self) -> float:
        """0 before the first sample."""
        return sum(self._samples) / len(self._samples) if self._samples else 0.0


@dataclass(frozen=True, slots=True)
class Capacity:
    """Limits for accepting jobs. `load_threshold`: fraction of all cores, up to 1, which means no limit; `max_jobs` 0:
    as many as the load allows; `memory_floor_mb`: memory that must stay available on the machine."""

    load_threshold: float = 0.7
    max_jobs: int = 0
    memory_floor_mb: int = 256

    def __post_init__(self) -> None:
        if not 0 < self.load_threshold <= 1:
            raise ValueError(f"load_threshold must be above 0 and at most 1, not {self.load_threshold}")


@dataclass(frozen=True, slots=True)
class WorkerLoad:
    """The state at one moment. `reserved`: accepted jobs that have not begun; `settling`: jobs that began too recently
    to show in `cpu`."""

    cpu: float  # moving average, 0 to 1 of all cores
    jobs: int = 0
    reserved: int = 0
    settling: int = 0
    available_mb: float | None = None  # of the machine's memory; None: not known
    draining: bool = False

    @property
    def effective(self) -> float:
        """The CPU load including recently accepted jobs."""
        return min(1.0, self.cpu + _RESERVED_LOAD * (self.reserved + self.settling))

    def told(self, capacity: Capacity) -> float:
        """The load reported to the server, scaled so that our threshold is its target, so that it balances unequal
        workers."""
        return min(1.0, self.effective * SERVER_TARGET_LOAD / capacity.load_threshold)

    def decide(self, capacity: Capacity) -> Accept | Refuse:
        """Whether to accept one more job."""
        if self.draining:
            return Refuse("this worker is draining")
        if capacity.max_jobs and self.jobs + self.reserved >= capacity.max_jobs:
            return Refuse(f"{self.jobs + self.reserved} jobs are running, the limit is {capacity.max_jobs}")
        if self.effective >= capacity.load_threshold < 1:
            return Refuse(f"load is {self.effective:.2f}, the threshold {capacity.load_threshold:.2f}")
        if self.available_mb is not None and self.available_mb < capacity.memory_floor_mb:
            return Refuse(f"{self.available_mb:.0f} MiB of memory are left, {capacity.memory_floor_mb} must stay")
        return Accept()


@dataclass(frozen=True, slots=True)
class Accept:
    pass


@dataclass(frozen=True, slots=True)
class Refuse:
    reason: str


def memory_verdict(used_mb: float, warn_mb: float, limit_mb: float) -> str:
    """The reaction to a job process's own memory: "ok", "warn" or "end". A limit of 0 means none."""
    if limit_mb and used_mb > limit_mb:
        return "end"
    if warn_mb and used_mb > warn_mb:
        return "warn"
    return "ok"
