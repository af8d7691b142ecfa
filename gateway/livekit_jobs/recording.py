"""Recordings of jobs: chosen once the call is known, and gone on with by the process that takes a job over."""

from __future__ import annotations

import os
from pathlib import Path

from telephony.media.frames import FRAME_MS, SAMPLE_RATE
from telephony.media.recording import WavRecorder

__all__ = ["ContinuedRecordingFile", "LateRecorder"]

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
