"""The single thread of a process that writes all recordings."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Protocol

__all__ = ["RecordingWriter", "Writer", "writer"]

_FLUSH_EVERY_S = 0.5
_log = logging.getLogger(__name__)

_Finish = tuple[Callable[[], None], Callable[[], None], "Future[None]"]


class Writer(Protocol):
    """What a recorder needs of whoever writes."""

    def add(self, flush: Callable[[], None]) -> None:
        """Call `flush` from time to time, until it is finished."""

    def finish(self, flush: Callable[[], None], close: Callable[[], None]) -> Future[None]:
        """Flush a last time, then close; the future completes after both."""


class RecordingWriter:
    """Implements `Writer`: calls every recorder's flush each 500 ms. The thread starts with the first recorder and ends
    with the last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flushes: list[Callable[[], None]] = []
        self._orders: SimpleQueue[_Finish] = SimpleQueue()
        self._running = False

    def add(self, flush: Callable[[], None]) -> None:
        with self._lock:
            self._flushes.append(flush)
            self._ensure_running()

    def finish(self, flush: Callable[[], None], close: Callable[[], None]) -> Future[None]:
        done: Future[None] = Future()
        with self._lock:
            self._orders.put((flush, close, done))
            self._ensure_running()
        return done

    def _ensure_running(self) -> None:
        if not self._running:
            self._running = True
            threading.Thread(target=self._run, name="recording-writer", daemon=True).start()

    def _run(self) -> None:
        next_flush = monotonic() + _FLUSH_EVERY_S
        while True:
            try:
                self._finish_one(*self._orders.get(timeout=max(0.0, next_flush - monotonic())))
            except Empty:
                next_flush = monotonic() + _FLUSH_EVERY_S
                for flush in tuple(self._flushes):
                    self._guarded(flush)
            with self._lock:
                if not self._flushes and self._orders.empty():
                    self._running = False
                    return

    def _finish_one(self, flush: Callable[[], None], close: Callable[[], None], done: Future[None]) -> None:
        self._guarded(flush)
        self._guarded(close)
        with self._lock:
            if flush in self._flushes:
                self._flushes.remove(flush)
        done.set_result(None)

    @staticmethod
    def _guarded(step: Callable[[], None]) -> None:
        try:
            step()
        except Exception:  # noqa: BLE001  one recorder's bug must not end all other recordings
            _log.exception("writing a recording failed")


_writer = RecordingWriter()


def writer() -> RecordingWriter:
    """The process's writer."""
    return _writer


def _forked() -> None:
    # Threads do not survive a fork, and the child must not write the parent's recordings.
    global _writer
    _writer = RecordingWriter()


os.register_at_fork(after_in_child=_forked)
