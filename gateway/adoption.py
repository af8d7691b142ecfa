"""Recordings of calls whose gateway died: found at the next start, repaired and added to the records."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from pathlib import Path

import structlog

from gateway.record import CallClosed, CallRecord, Outcome, Recording
from telephony.call import EndedBy
from telephony.media.recording import repair

__all__ = ["Adoption", "mended"]

log = structlog.get_logger(__name__)

QUIET_S = 1.5  # a living worker writes every 0.5 s
WORKERS_LIMIT_S = 8.0  # longest time that workers take to end their calls after their gateway died


def mended(recordings: Path, name: str, why: str) -> Recording:
    """Repair a recording whose process died, and note `why`. Blocking."""
    try:
        return Recording(path=name, duration_ms=repair(recordings / name), error=why)
    except (OSError, ValueError) as error:
        return Recording(path="", error=f"not saved: {error}")


class Adoption:
    """Finds the recordings of calls left open. Workers may outlive their gateway by a few seconds, so a file
    that still grows is waited for."""

    def __init__(
        self,
        calls: Sequence[CallRecord],
        recordings: Path,
        put: Callable[[CallClosed], None],
        *,
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`put` takes a late end for each call that has a recording; if the end is recorded already, only the recording
        is added."""
        self._left = {call.call_id: call for call in calls}
        self._recordings = recordings
        self._put = put
        self._wall = wall
        self._sleep = sleep

    async def run(self) -> None:
        """Run until all are processed. Never raises."""
        tries = round(WORKERS_LIMIT_S / QUIET_S)
        for attempt in range(tries):
            await self.adopt(even_if_growing=attempt == tries - 1)
            if not self._left:
                return
            await self._sleep(QUIET_S)

    async def adopt(self, *, even_if_growing: bool = False) -> None:
        """The files that no longer grow."""
        for call in list(self._left.values()):
            path = await asyncio.to_thread(self._file_of, call)
            if path is not None:
                if not even_if_growing and await asyncio.to_thread(self._grows, path):
                    continue
                self._put(await asyncio.to_thread(self._adopted, call, path))
            del self._left[call.call_id]

    def _file_of(self, call: CallRecord) -> Path | None:
        """Recordings are in folders named after the day (UTC) of the INVITE; around midnight `started_at` may be on
        another day."""
        for days in (0, 1, -1):
            folder = self._recordings / f"{call.started_at + timedelta(days=days):%Y-%m-%d}"
            path = folder / f"{call.call_id}.wav"
            if path.is_file():
                return path
        return None

    def _grows(self, path: Path) -> bool:
        try:
            return self._wall() - path.stat().st_mtime < QUIET_S
        except OSError:
            return False

    def _adopted(self, call: CallRecord, path: Path) -> CallClosed:
        name = str(path.relative_to(self._recordings))
        recording = mended(self._recordings, name, "the gateway was lost")
        if recording.path and not recording.duration_ms:
            path.unlink(missing_ok=True)
            recording = Recording(path="", error="nothing had been recorded when the gateway was lost")
        log.info("recording_adopted", call_id=call.call_id, duration_ms=recording.duration_ms, error=recording.error)
        return CallClosed(
            call_id=call.call_id,
            outcome=Outcome.GATEWAY_LOST,
            ended_by=EndedBy.SYSTEM,
            ended_at=call.ended_at or call.started_at,
            end_reason="gateway_lost",
            recording=recording,
        )
