"""`RecordWriter`: accepts record messages without waiting and writes them in batches, off the calls' path."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from gateway.record import CallClosed, CallOpened, RecordMessage, WorkerLost
from gateway.store.backlog import Backlog
from gateway.store.errors import StoreUnavailable
from gateway.store.spill import Spill
from gateway.store.spilling import Spilling

__all__ = ["FakeSink", "RecordSink", "RecordWriter", "WriterState"]

_MOST_ASIDE = 1000
_BACKOFF_S = (0.2, 0.5, 1.0, 2.0, 5.0)  # the last one repeats
log = structlog.get_logger(__name__)


class RecordSink(Protocol):
    """Where records go: `CallStore`."""

    async def apply(self, messages: Sequence[RecordMessage]) -> None:
        """All in order, or none. Raises StoreUnavailable if a retry may work."""


class FakeSink:
    """Keeps the messages; `fail_next` has errors to raise first, one per call."""

    def __init__(self) -> None:
        self.batches: list[list[RecordMessage]] = []
        self.fail_next: list[Exception] = []

    @property
    def messages(self) -> list[RecordMessage]:
        return [message for batch in self.batches for message in batch]

    async def apply(self, messages: Sequence[RecordMessage]) -> None:
        if self.fail_next:
            raise self.fail_next.pop(0)
        self.batches.append(list(messages))


@dataclass(frozen=True, slots=True)
class WriterState:
    """For metrics and health. `error` is empty unless the last write failed; counts are since the start."""

    backlog: int  # waiting events and other messages, one each
    written: int
    failures: int  # writes that failed and were retried
    dropped_events: int
    dropped_records: int  # beginnings or ends of calls that were lost: each a call without a true record
    error: str
    dropped_refusals: int = 0  # records of refused attempts dropped for lack of space
    set_aside: int = 0  # messages that a working store refused, saved to a file next to it
    spill_error: str = ""  # why waiting messages are only in memory

    @property
    def healthy(self) -> bool:
        return not self.error


class RecordWriter:
    """Gathers for `every_s`, then writes one transaction per batch. While the store cannot be written, messages are
    kept up to `bound` and tried again with growing pauses; calls never wait for it. All methods belong to the loop."""

    def __init__(
        self,
        sink: RecordSink,
        *,
        spill: Spill | None = None,
        every_s: float = 0.2,
        bound: int = 20_000,
        batch: int = 500,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`spill`: where records wait for the next start if the store keeps failing; None: then they are lost."""
        self._sink = sink
        self._every_s = every_s
        self._batch = batch
        self._sleep = sleep
        self._backlog = Backlog(bound)
        self._spilling = Spilling(self._backlog, spill)
        self._aside: set[str] = set()  # calls with messages set aside: the rest must follow
        self._wake = asyncio.Event()
        self._closing = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self._written = self._failures = self._unstorable = self._streak = 0
        self._error = ""
        self._told_of_drops = False

    # --- input ----------------------------------------------------------------------------------

    def put(self, message: RecordMessage) -> None:
        """Never waits and never raises; after `close` the message is counted as dropped."""
        if self._closed:
            kept = self._spilling.keep_at_stop([message])
            self._unstorable += not kept
            log.error("record_after_close", call_id=getattr(message, "call_id", ""), kept=kept)
            return
        self._backlog.put(message)
        self._empty.clear()
        self._wake.set()
        if (self._backlog.dropped_events or self._backlog.dropped_refusals) and not self._told_of_drops:
            self._told_of_drops = True
            log.error("store_backlog_full", backlog=self._backlog.size)

    @property
    def state(self) -> WriterState:
        return WriterState(
            backlog=self._backlog.size,
            written=self._written,
            failures=self._failures,
            dropped_events=self._backlog.dropped_events,
            dropped_records=self._backlog.dropped_records + self._unstorable,
            error=self._error,
            dropped_refusals=self._backlog.dropped_refusals,
            set_aside=self._spilling.set_aside,
            spill_error=self._spilling.error,
        )

    # --- life ---------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start writing. Idempotent; earlier messages are kept."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="record-writer")

    async def flush(self) -> None:
        """Wait until all messages so far have been written (or found unstorable). Needs `start`."""
        await self._empty.wait()

    async def close(self, timeout_s: float = 5.0) -> None:
        """Write the rest within `timeout_s`; the remainder is saved to a file for the next start, or, without one, lost
        and logged. Idempotent."""
        if self._closed:
            return
        await self.start()
        self._closing.set()
        self._wake.set()
        task = self._task
        assert task is not None
        await asyncio.wait({task}, timeout=timeout_s)
        self._closed = True
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
        if len(self._backlog):
            left = self._backlog.take(self._backlog.size)
            call_ids = sorted({m.call_id for m in left if not isinstance(m, WorkerLost)})
            what = "records_wait_for_next_start" if self._spilling.keep_at_stop(left) else "records_lost_at_stop"
            log.error(what, messages=len(left), call_ids=call_ids, error=self._error)

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            if not self._closing.is_set():
                await self._pause(self._every_s)
            while len(self._backlog):
                await self._write_batch()
            await self._spilling.end()
            if len(self._backlog):
                self._wake.set()
                continue
            self._empty.set()
            if self._closing.is_set():
                return

    async def _write_batch(self) -> None:
        batch = self._backlog.take(self._batch)
        try:
            await self._write(batch)
        except StoreUnavailable as error:
            self._backlog.put_back(batch)
            self._failed(error)
            self._spilling.begin()
            await self._spilling.keep_up()
            await self._pause(_BACKOFF_S[min(self._streak, len(_BACKOFF_S)) - 1])
        except asyncio.CancelledError:
            self._backlog.put_back(batch)
            raise

    async def _write(self, batch: list[RecordMessage]) -> None:
        """Removes written messages from `batch`, so that the rest can be put back after an error."""
        if self._aside:
            await self._follow_aside(batch)
        try:
            await self._sink.apply(batch)
            self._worked(len(batch))
            batch.clear()
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - one bad message must not cost the others their record
            log.warning("record_batch_refused", error=repr(error), messages=len(batch))
            while batch:
                await self._write_alone(batch[0])
                del batch[0]

    async def _write_alone(self, message: RecordMessage) -> None:
        try:
            await self._sink.apply([message])
            self._worked(1)
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - logged with it
            await self._set_aside(message, error)

    async def _set_aside(self, message: RecordMessage, error: Exception | None = None) -> None:
        call_id = getattr(message, "call_id", "")
        kept = await self._spilling.aside(message)
        if isinstance(message, CallOpened) and kept and len(self._aside) < _MOST_ASIDE:
            self._aside.add(call_id)
        elif isinstance(message, CallClosed):
            self._aside.discard(call_id)
        self._unstorable += not kept
        if error is not None:
            log.error(
                "record_set_aside" if kept else "record_unstorable",
                call_id=call_id, kind=type(message).__name__, error=repr(error), exc_info=error,
            )  # fmt: skip

    async def _follow_aside(self, batch: list[RecordMessage]) -> None:
        """A call whose beginning was set aside: its events and its end would find no record."""
        for message in [each for each in batch if getattr(each, "call_id", "") in self._aside]:
            await self._set_aside(message)
            batch.remove(message)

    def _worked(self, messages: int) -> None:
        self._written += messages
        if self._error:
            log.info("store_recovered", failures=self._streak, backlog=self._backlog.size)
        self._error, self._streak, self._told_of_drops = "", 0, False

    def _failed(self, error: StoreUnavailable) -> None:
        self._failures += 1
        self._streak += 1
        if not self._error:  # once per failure, not once per attempt
            log.error("store_failing", error=str(error), backlog=self._backlog.size)
        self._error = str(error)

    async def _pause(self, seconds: float) -> None:
        """Sleep, briefly if closing has begun; interrupted when it begins."""
        if self._closing.is_set():
            await self._sleep(min(seconds, 0.1))
            return
        nap = asyncio.ensure_future(self._sleep(seconds))
        closing = asyncio.create_task(self._closing.wait())
        try:
            await asyncio.wait({nap, closing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            nap.cancel()
            closing.cancel()
