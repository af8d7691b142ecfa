"""Shared by tests that kill parts in the middle of calls."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import psutil
from rooms import until
from worker_phone import Phone
from worker_process import RunningWorker

RECORD_S = 10.0  # from a part's death to the record of a call that did not survive it


async def greeted(phone: Phone) -> None:
    await until(phone.hears, 8, "the greeting")
    await until(lambda: not phone.hears(), 8, "its end")


def family_of(worker: RunningWorker) -> list[psutil.Process]:
    """The worker's processes, its main one first."""
    assert worker.process is not None
    main = psutil.Process(worker.process.pid)
    return [main, *main.children(recursive=True)]


def kill(processes: Iterable[psutil.Process]) -> float:
    """SIGKILL; when."""
    for process in processes:
        process.kill()
    return time.monotonic()


async def closed_record(worker: RunningWorker, index: int, limit_s: float = RECORD_S) -> dict[str, Any]:
    """The record of the worker's call number `index`, once it has an outcome."""
    await until(lambda: len(worker.records()) > index and worker.records()[index]["outcome"], limit_s, "the record")
    return worker.records()[index]


__all__ = ["RECORD_S", "closed_record", "family_of", "greeted", "kill"]
