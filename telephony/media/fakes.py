"""Fakes of what the media parts need from the machine."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future

__all__ = ["WriterOnCall"]


class WriterOnCall:
    """A `recording_writer.Writer` without a thread: it writes when told to (`flush`), and at the end of a recording."""

    def __init__(self) -> None:
        self._flushes: list[Callable[[], None]] = []

    def add(self, flush: Callable[[], None]) -> None:
        self._flushes.append(flush)

    def flush(self) -> None:
        for flush in self._flushes:
            flush()

    def finish(self, flush: Callable[[], None], close: Callable[[], None]) -> Future[None]:
        flush()
        close()
        self._flushes.remove(flush)
        done: Future[None] = Future()
        done.set_result(None)
        return done
