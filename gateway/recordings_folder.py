"""Checks whether calls can be recorded, by testing the folder periodically and by the results of recordings.

An unusable folder is a reason for a warning, not for refusing calls.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog

from gateway.record import CallClosed, Outcome, RecordMessage

__all__ = ["RecordingsFolder", "tried"]

log = structlog.get_logger(__name__)

TRY_EVERY_S = 10.0
_PROBE = ".trunkline-probe"
_PROBE_BYTES = 64 << 10
_LEAST_FREE_BYTES = 64 << 20  # half an hour of one call


def tried(folder: Path) -> str:
    """Write and remove a test file; returns the problem, or empty if the folder is usable. Blocking."""
    probe = folder / _PROBE
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        probe.write_bytes(bytes(_PROBE_BYTES))
        probe.unlink()
        space = os.statvfs(folder)
    except OSError as error:
        try:
            probe.unlink(missing_ok=True)
        except OSError:
            pass
        return str(error)
    free = space.f_bavail * space.f_frsize
    return f"only {free >> 20} MiB free" if free < _LEAST_FREE_BYTES else ""


class RecordingsFolder:
    """Belongs to the loop."""

    def __init__(self, folder: Path, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._folder = folder
        self._sleep = sleep
        self.trouble = ""  # the folder's problem at the last check
        self.failed = 0  # calls whose recording is missing or incomplete
        self._last_failure = ""  # since the folder was last usable

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences for /healthz."""
        trouble = self.trouble or self._last_failure
        return (f"calls cannot be recorded in {self._folder}: {trouble}",) if trouble else ()

    async def watch(self) -> None:
        """Run as a task for as long as the gateway lives."""
        while True:
            await self.look()
            await self._sleep(TRY_EVERY_S)

    async def look(self) -> None:
        before, self.trouble = self.trouble, await asyncio.to_thread(tried, self._folder)
        if self.trouble and not before:
            log.error("recordings_folder_unusable", folder=str(self._folder), error=self.trouble)
        elif before and not self.trouble:
            log.info("recordings_folder_recovered", folder=str(self._folder))

    def observe(self, message: RecordMessage) -> None:
        """Process each record message."""
        if not isinstance(message, CallClosed) or message.recording is None:
            return
        if message.outcome in (Outcome.WORKER_LOST, Outcome.GATEWAY_LOST):
            return  # their recordings ended for another reason
        if message.recording.error:
            self.failed += 1
            self._last_failure = f"of the last call: {message.recording.error}"
        else:
            self._last_failure = ""
