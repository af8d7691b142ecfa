"""Removes audio from closed recordings. Blocking."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from telephony.media.frames import SAMPLE_RATE

__all__ = ["erase", "silence"]

_HEADER_BYTES = 44
_BYTES_A_MS = SAMPLE_RATE // 1000 * 4  # two 16-bit channels
_BLOCK = 1 << 20


def silence(path: Path, spans: Iterable[tuple[float, float]]) -> float:
    """Silence these parts (milliseconds) of one of our recordings, on both channels; return the number of milliseconds
    silenced. The length stays the same. Raises OSError."""
    with path.open("r+b") as file:
        size = max(0, file.seek(0, os.SEEK_END) - _HEADER_BYTES)
        done = 0
        for first, last in _joined(spans, size):
            _zeros(file.fileno(), _HEADER_BYTES + first, last - first)
            done += last - first
        os.fsync(file.fileno())
    return done / _BYTES_A_MS


def erase(path: Path) -> None:
    """Overwrite a file with zeros, then remove it. Raises OSError.

    Copy-on-write file systems, and disks that remap writes, may still hold the old bytes."""
    with path.open("r+b") as file:
        _zeros(file.fileno(), 0, file.seek(0, os.SEEK_END))
        os.fsync(file.fileno())
    path.unlink()


def _joined(spans: Iterable[tuple[float, float]], size: int) -> list[tuple[int, int]]:
    """As byte ranges of audio, sorted, without overlaps."""
    joined: list[tuple[int, int]] = []
    for begin_ms, end_ms in sorted(spans):
        first = min(size, max(0, int(begin_ms) * _BYTES_A_MS))
        last = min(size, max(0, int(end_ms + 1) * _BYTES_A_MS))
        if joined and first <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], last))
        elif last > first:
            joined.append((first, last))
    return joined


def _zeros(fd: int, offset: int, length: int) -> None:
    while length:
        written = os.pwrite(fd, bytes(min(length, _BLOCK)), offset)
        offset, length = offset + written, length - written
