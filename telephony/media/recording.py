"""Stereo call recordings: 16-bit 8 kHz WAV, the caller left, everyone else right.

The media thread only appends to a buffer. One writer thread per process flushes all recorders every 500 ms and updates
the sizes in the header with each flush, so a killed process leaves files that play up to their last half second. A
recorder that cannot write disables itself and keeps the reason; the call continues.
"""

from __future__ import annotations

import asyncio
import math
import os
import struct
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Protocol

from telephony.media.frames import FRAME_MS, SAMPLE_RATE, SILENCE
from telephony.media.recording_writer import Writer, writer

__all__ = ["PosixRecordingFile", "RecordingFile", "WavRecorder", "repair"]

_HEADER_BYTES = 44
_BLOCK_BYTES = 4  # one sample of both channels
_FRAME_PAIR_BYTES = SAMPLE_RATE * FRAME_MS // 1000 * _BLOCK_BYTES
_OPEN_ENDED = 0xFFFFFFFF  # streaming readers take it to mean "until the end of the file"
_BATCH_FRAMES = 500
_BUFFER_LIMIT_FRAMES = 60_000 // FRAME_MS  # a disk that stalls for a minute counts as failed


class RecordingFile(Protocol):
    """What a recorder needs of a file. Each method may raise OSError."""

    def append(self, data: bytes) -> int:
        """Append; return how many bytes were written."""

    def patch(self, data: bytes, offset: int) -> None:
        """Overwrite a few bytes at `offset`."""

    def truncate(self, size: int) -> None: ...

    def close(self) -> None: ...


class PosixRecordingFile:
    """A new file, readable by its owner only. Raises OSError, including FileExistsError."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def append(self, data: bytes) -> int:
        return os.write(self._fd, data)

    def patch(self, data: bytes, offset: int) -> None:
        os.pwrite(self._fd, data, offset)

    def truncate(self, size: int) -> None:
        os.ftruncate(self._fd, size)
        os.lseek(self._fd, size, os.SEEK_SET)

    def close(self) -> None:
        os.close(self._fd)


def _sizes(data_bytes: int) -> tuple[int, int]:
    """RIFF and data chunk sizes; files too long for 32 bits stay open-ended."""
    if data_bytes > _OPEN_ENDED - _HEADER_BYTES:
        return _OPEN_ENDED, _OPEN_ENDED
    return _HEADER_BYTES - 8 + data_bytes, data_bytes


def _header(riff_size: int, data_size: int) -> bytes:
    form = struct.pack("<HHIIHH", 1, 2, SAMPLE_RATE, SAMPLE_RATE * _BLOCK_BYTES, _BLOCK_BYTES, 16)
    start = struct.pack("<4sI4s4sI", b"RIFF", riff_size, b"WAVE", b"fmt ", 16)
    return start + form + struct.pack("<4sI", b"data", data_size)


class WavRecorder:
    """Implements `Recorder`. Created on the loop when the call is answered; `await close()` when it ends.

    Never raises: `error` says why there is no (or no further) recording, None while all is well.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        open_file: Callable[[Path], RecordingFile] = PosixRecordingFile,
        by: Writer | None = None,
    ) -> None:
        """`by`: None for the thread of this process that writes all recordings."""
        self.path = Path(path)
        self._writer = by or writer()
        self._buffer: deque[tuple[bytes, bytes]] = deque()
        self._frames = 0
        self._file_bytes = 0
        self._silent_until = 0.0  # frames; infinite: paused
        self._blanks: deque[tuple[int, int]] = deque()  # frames to silence, even if already written
        self._closing: Future[None] | None = None
        self._file: RecordingFile | None = None  # used only by the writer thread once registered
        self._registered = False
        self.error: str | None = None
        try:
            self._file = open_file(self.path)
            self._append(_header(_OPEN_ENDED, _OPEN_ENDED))
        except OSError as error:
            self._turn_off(error)
        else:
            self._registered = True
            self._writer.add(self.flush)

    @property
    def duration_ms(self) -> int:
        """Length recorded so far, including paused parts (which are silent)."""
        if self.error is not None:
            return self._written // _FRAME_PAIR_BYTES * FRAME_MS
        return self._frames * FRAME_MS

    @property
    def _written(self) -> int:
        """Bytes of whole stereo samples in the file."""
        audio = max(0, self._file_bytes - _HEADER_BYTES)
        return audio - audio % _BLOCK_BYTES

    @property
    def paused(self) -> bool:
        return self._silent_until > self._frames

    def write(self, caller: bytes, others: bytes) -> None:
        """Record 20 ms of both sides. On the media thread."""
        if self.error is None and self._closing is None:
            self._buffer.append((SILENCE, SILENCE) if self._frames < self._silent_until else (caller, others))
            self._frames += 1

    def pause(self, lead_ms: float = 0) -> None:
        """Record silence from now on (for card numbers, say), keeping the time axis of the call. `lead_ms`: also
        silence this much of what has just been recorded, even if already written."""
        self._silent_until = math.inf
        lead = min(self._frames, math.ceil(lead_ms / FRAME_MS))
        if lead:
            self._blanks.append((self._frames - lead, self._frames))

    def resume(self, tail_ms: float = 0) -> None:
        """`tail_ms`: stay silent for this much longer."""
        self._silent_until = self._frames + math.ceil(tail_ms / FRAME_MS)

    async def close(self) -> None:
        """Write what is left and correct the header. Idempotent; returns when the file is complete."""
        if self._closing is None:
            # The writer forgets a recorder only here, including one that has disabled itself.
            if self._registered:
                self._closing = self._writer.finish(self.flush, self._finish)
            else:
                self._closing = Future()
                self._closing.set_result(None)
        await asyncio.shield(asyncio.wrap_future(self._closing))

    def flush(self) -> None:
        """Write the buffer out. On the writer thread."""
        if self._file is None:
            self._buffer.clear()
            return
        try:
            self._check_backlog()
            while self._buffer and self._file is not None:
                batch = [self._buffer.popleft() for _ in range(min(len(self._buffer), _BATCH_FRAMES))]
                import numpy as np  # imported here so that a process that only repairs recordings does not load it

                left = np.frombuffer(b"".join(caller for caller, _ in batch), dtype="<i2")
                right = np.frombuffer(b"".join(others for _, others in batch), dtype="<i2")
                self._append(np.column_stack((left, right)).tobytes())
                self._patch_sizes()
            self._blank()
        except (OSError, ValueError) as error:  # ValueError: sides of different lengths
            self._turn_off(error)

    def _blank(self) -> None:
        while self._blanks and self._file is not None:
            first, last = self._blanks[0]
            offset = _HEADER_BYTES + first * _FRAME_PAIR_BYTES
            self._file.patch(bytes((last - first) * _FRAME_PAIR_BYTES), offset)
            self._blanks.popleft()

    def _check_backlog(self) -> None:
        if len(self._buffer) > _BUFFER_LIMIT_FRAMES:
            # silence that fills the gap of a long hold is not a backlog and takes no memory
            audible = sum(caller is not SILENCE or others is not SILENCE for caller, others in tuple(self._buffer))
            if audible > _BUFFER_LIMIT_FRAMES:
                raise TimeoutError("the disk has not kept up for a minute")

    def _append(self, data: bytes) -> None:
        assert self._file is not None
        while data:
            taken = self._file.append(data)  # a disk that fills up takes part of it and refuses the rest
            self._file_bytes += taken
            data = data[taken:]

    def _patch_sizes(self) -> None:
        assert self._file is not None
        riff_size, data_size = _sizes(self._written)
        self._file.patch(struct.pack("<I", riff_size), 4)
        self._file.patch(struct.pack("<I", data_size), 40)

    def _finish(self) -> None:
        """Close the file. On the writer thread, after the last flush."""
        if self._file is not None:
            try:
                self._patch_sizes()
                self._file.close()
            except OSError as error:
                self.error = str(error)
            self._file = None

    def _turn_off(self, error: Exception) -> None:
        self.error = f"{self.path.name}: {error}"
        self._buffer.clear()
        file, self._file = self._file, None
        if file is None:
            return
        try:
            file.truncate(_HEADER_BYTES + self._written)
            riff_size, data_size = _sizes(self._written)
            file.patch(_header(riff_size, data_size), 0)
        except OSError:
            pass  # keep the first error
        finally:
            file.close()


def repair(path: Path | str) -> int:
    """Repair a recording's header from the file length after its process died; return the duration in milliseconds.

    Raises OSError, and ValueError for a file that is not one of our recordings.
    """
    with Path(path).open("r+b") as file:
        start = file.read(_HEADER_BYTES)
        if len(start) < _HEADER_BYTES or start[:4] != b"RIFF" or start[8:36] != _header(0, 0)[8:36]:
            raise ValueError(f"{path}: not one of our recordings (8 kHz 16-bit stereo WAV)")
        size = file.seek(0, os.SEEK_END) - _HEADER_BYTES
        size -= size % _BLOCK_BYTES
        file.truncate(_HEADER_BYTES + size)
        file.seek(0)
        file.write(_header(*_sizes(size)))
    return size * 1000 // (_BLOCK_BYTES * SAMPLE_RATE)
