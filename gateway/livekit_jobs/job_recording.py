"""The job's recording of a call that no gateway bridges: begun once the call is known, or continued by the process that
takes over the job."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from gateway.calls.recording import as_recorded, closed
from gateway.config import Settings
from gateway.livekit_jobs.routing import JobPlan
from gateway.record import Recording
from telephony.media.frames import FRAME_MS, SAMPLE_RATE
from telephony.media.recording import WavRecorder

__all__ = ["ContinuedRecordingFile", "JobRecording", "LateRecorder", "NoRecording", "path_of", "record_before"]

log = structlog.get_logger(__name__)

_HEADER_BYTES = 44
_BYTES_A_MS = SAMPLE_RATE * 4 // 1000  # two channels of 16 bits
_RIFF_SIZE_AT, _DATA_SIZE_AT = 4, 40


class LateRecorder:
    """A `Recorder` for a room that is joined before it is known whether its call is recorded."""

    def __init__(self) -> None:
        self.recorder: WavRecorder | None = None

    def write(self, caller: bytes, others: bytes) -> None:
        if self.recorder is not None:
            self.recorder.write(caller, others)


class ContinuedRecordingFile:
    """A `RecordingFile` that continues the recording of a lost process: the gap up to `at_ms` on
    its time axis is silence. The recorder believes that the file begins with it."""

    def __init__(self, path: Path, at_ms: float) -> None:
        """Raises OSError."""
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        have = max(0, os.fstat(self._fd).st_size - _HEADER_BYTES)
        whole_ms = have // _BYTES_A_MS // FRAME_MS * FRAME_MS
        self.before_ms = max(whole_ms, round(at_ms / FRAME_MS) * FRAME_MS)
        self._before = self.before_ms * _BYTES_A_MS
        os.ftruncate(self._fd, _HEADER_BYTES + whole_ms * _BYTES_A_MS)
        os.ftruncate(self._fd, _HEADER_BYTES + self._before)  # the hole reads as silence
        os.lseek(self._fd, 0, os.SEEK_END)
        self._header_seen = False

    def append(self, data: bytes) -> int:
        if not self._header_seen:
            self._header_seen = True  # the file has one
            return len(data)
        return os.write(self._fd, data)

    def patch(self, data: bytes, offset: int) -> None:
        if offset in (_RIFF_SIZE_AT, _DATA_SIZE_AT) and len(data) == 4:
            size = int.from_bytes(data, "little") + self._before
            os.pwrite(self._fd, min(size, 0xFFFFFFFF).to_bytes(4, "little"), offset)
        elif offset >= _HEADER_BYTES:
            os.pwrite(self._fd, data, offset + self._before)

    def truncate(self, size: int) -> None:
        os.ftruncate(self._fd, size + self._before)

    def close(self) -> None:
        os.close(self._fd)


class NoRecording:
    """Implements `RecordingOfCall`, of a call whose gateway records it."""

    def begin(self) -> WavRecorder | None:
        return None

    async def close(self, *, heard: bool) -> None:
        return None

    def result(self) -> Recording | None:
        return None


class JobRecording:
    """Implements `RecordingOfCall`. It begins when it is made: the call is answered then."""

    def __init__(
        self,
        settings: Settings,
        path: str,
        late: LateRecorder,
        answered_at: float,
        abandoned: Callable[[], bool],
        *,
        gone_on: bool,
    ) -> None:
        """`path`: relative to the folder of recordings; empty: no recording. `answered_at`: seconds, loop clock; by a
        lost process if its recording is continued. `abandoned`: another process continues this one."""
        self._folder = settings.recordings
        self.answered_at = answered_at
        self._before_ms = 0
        self._recorder: WavRecorder | None = None
        self._trouble = ""
        self.path = path
        self._abandoned = abandoned
        if self.path:
            self._recorder = self._begin(gone_on=gone_on)
        late.recorder = self._recorder

    def begin(self) -> WavRecorder | None:
        return self._recorder

    async def close(self, *, heard: bool) -> None:
        if self._recorder is None or self._abandoned():
            return
        self._trouble = await closed(self._recorder)

    def result(self) -> Recording | None:
        recorder = self._recorder
        if recorder is None:
            return None
        return as_recorded(recorder, self.path, self._trouble, self._before_ms)

    def _begin(self, *, gone_on: bool) -> WavRecorder:
        path = (self._folder / self.path).resolve()
        if not gone_on:
            return WavRecorder(path)
        now = asyncio.get_running_loop().time()
        try:
            file = ContinuedRecordingFile(path, (now - self.answered_at) * 1000)
        except OSError as error:
            log.warning("recording_not_gone_on_with", error=str(error))
            self.path = str(Path(self.path).with_stem(f"{Path(self.path).stem}-2"))
            return WavRecorder(self._folder / self.path)
        self._before_ms = file.before_ms
        return WavRecorder(path, open_file=partial(_as_opened, file))


def path_of(settings: Settings, plan: JobPlan) -> str:
    """Of a new call, if it is to be recorded."""
    wanted = plan.recording if plan.recording is not None else settings.record_calls
    return f"{datetime.now(UTC):%Y-%m-%d}/{plan.info.call_id}.wav" if wanted else ""


def _as_opened(file: ContinuedRecordingFile, _: Path) -> ContinuedRecordingFile:
    return file


def record_before(stored: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """The lost process's state of the record; empty: there was none."""
    return (stored or {}).get("record") or {}
