"""Decides which process gets a job, and how many processes wait for one. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["Fork", "PlacementSettings", "ProcessView", "Retire", "choose", "tend"]


@dataclass(frozen=True, slots=True)
class PlacementSettings:
    """`jobs_per_process`: conversations that may share one; 1 gives each its own process, which ends with it.
    `idle_processes`: how many to keep ready in addition to those with jobs. `served_most`: a shared process is replaced
    after this many jobs."""

    jobs_per_process: int = 1
    idle_processes: int = 2
    served_most: int = 100

    def __post_init__(self) -> None:
        if self.jobs_per_process < 1 or self.idle_processes < 0:
            raise ValueError("jobs_per_process must be at least 1, idle_processes at least 0")


@dataclass(frozen=True, slots=True)
class ProcessView:
    """`served`: jobs assigned to it so far, including running ones."""

    name: str
    ready: bool
    jobs: int
    served: int


@dataclass(frozen=True, slots=True)
class Fork:
    count: int


@dataclass(frozen=True, slots=True)
class Retire:
    """It has no job and must not get another one."""

    name: str


def choose(processes: Iterable[ProcessView], settings: PlacementSettings) -> str | None:
    """The fullest process with room, so that few processes serve many conversations; None: there is none."""
    open_ones = [p for p in processes if p.ready and _has_room(p, settings)]
    return max(open_ones, key=lambda p: p.jobs).name if open_ones else None


def tend(
    processes: Sequence[ProcessView], settings: PlacementSettings, waiting: int = 0, *, calm: bool = True
) -> list[Fork | Retire]:
    """Actions that bring the processes to the desired state. `waiting`: jobs without a process yet. `calm`: none has
    arrived for a while. While jobs arrive, a process is forked only if no place is left: a fork takes 100 ms of CPU
    from calls being set up."""
    worn = [p for p in processes if p.jobs == 0 and not _has_room(p, settings)]
    idle = [p for p in processes if p.jobs == 0 and _has_room(p, settings)]
    room = sum(settings.jobs_per_process - p.jobs for p in processes if p.jobs and _has_room(p, settings))
    uncovered = max(0, waiting - room)  # jobs that running processes can't take
    wanted = settings.idle_processes + -(-uncovered // settings.jobs_per_process)
    actions: list[Fork | Retire] = [Retire(p.name) for p in worn]
    places = room + sum(settings.jobs_per_process for p in idle if p.ready)
    if len(idle) < wanted and (calm or places <= waiting):
        actions.append(Fork(wanted - len(idle)))
    spare = [p for p in idle if p.ready]
    actions += [Retire(p.name) for p in spare[: max(0, len(idle) - wanted)]]
    return actions


def _has_room(process: ProcessView, settings: PlacementSettings) -> bool:
    served_most = settings.served_most if settings.jobs_per_process > 1 else 1
    return process.jobs < settings.jobs_per_process and process.served < served_most
