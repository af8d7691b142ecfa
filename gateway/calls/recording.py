"""The single recording of a call, from its answer to its end, whoever is talking."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from gateway.record import Recording
from telephony.media.recording import WavRecorder

__all__ = ["CallRecording", "RecordingOfCall", "as_recorded", "closed"]

_CLOSE_LIMIT_S = 5.0  # a disk that stalls must not keep the slot


class RecordingOfCall(Protocol):
    """A call's operations on its recording; the owner of the call decides how the file is created."""

    def begin(self) -> WavRecorder | None:
        """Before the answer. None: this call is not recorded."""

    async def close(self, *, heard: bool) -> None:
        """Never raises. `heard`: the call was answered; otherwise the file is deleted."""

    def result(self) -> Recording | None:
        """After `close`, for the record."""


async def closed(recorder: WavRecorder) -> str:
    """Close it within the limit. Returns what went wrong; empty: nothing."""
    try:
        async with asyncio.timeout(_CLOSE_LIMIT_S):
            await recorder.close()
    except TimeoutError:
        return "the recording was not complete when the call ended"
    return ""


def as_recorded(recorder: WavRecorder, name: str, trouble: str, before_ms: int = 0) -> Recording:
    """A closed recording, for the record. `name`: its path in the folder of recordings. `trouble`: what `closed`
    returned. `before_ms`: its length when the recorder took it over."""
    duration_ms = round(recorder.duration_ms) + before_ms
    path = "" if recorder.error and not duration_ms else name
    return Recording(path=path, duration_ms=duration_ms, error=recorder.error or trouble)


class CallRecording:
    """Implements `RecordingOfCall`: a file of its own."""

    def __init__(self, path: str, folder: Path, recorder: Callable[[Path], WavRecorder] = WavRecorder) -> None:
        """`path`: empty for none. `folder`: of all recordings; records name files relative to it."""
        self._make = recorder
        self._path = path
        self._folder = folder
        self._recorder: WavRecorder | None = None
        self._trouble = ""
        self._heard = False

    def begin(self) -> WavRecorder | None:
        self._recorder = self._make(Path(self._path)) if self._path else None
        return self._recorder

    async def close(self, *, heard: bool) -> None:
        self._heard = heard
        if self._recorder is None:
            return
        self._trouble = await closed(self._recorder)
        if not heard:
            self._recorder.path.unlink(missing_ok=True)

    def result(self) -> Recording | None:
        recorder = self._recorder
        if recorder is None or not self._heard:
            return None
        return as_recorded(recorder, self._name(), self._trouble)

    def _name(self) -> str:
        path, folder = Path(self._path), self._folder.resolve()
        return str(path.relative_to(folder)) if path.is_relative_to(folder) else path.name
