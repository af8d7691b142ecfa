"""When the store fails, waiting messages are saved to a file next to it for the next start. Used on the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from gateway.record import RecordMessage
from gateway.store.backlog import Backlog
from gateway.store.errors import StoreUnavailable
from gateway.store.spill import Spill, encoded

if TYPE_CHECKING:
    from gateway.store.calls import CallStore

__all__ = ["Spilling", "recover"]

log = structlog.get_logger(__name__)

_MOST_LINES = 100_000  # in the file, before it is rewritten with the messages still waiting
_RECOVERED_AT_ONCE = 500


class Spilling:
    """Keeps the file in sync with the backlog. Never raises; `error` says why there is no file."""

    def __init__(self, backlog: Backlog, spill: Spill | None) -> None:
        """`spill`: None for a writer whose records do not outlive it."""
        self._backlog = backlog
        self._spill = spill
        self._pending: list[RecordMessage] | None = None  # not in the file yet; None: the store works
        self._lines = 0
        self.set_aside = 0
        self.error = ""

    def begin(self) -> None:
        """The store has failed for more than a moment. Idempotent."""
        if self._spill is not None and self._pending is None:
            self._pending = self._backlog.messages()
            self._backlog.on_kept = self._keep

    async def keep_up(self) -> None:
        """Write what has arrived since the last time."""
        spill, pending = self._spill, self._pending
        if spill is None or not pending:
            return
        self._pending = []
        anew = self._lines > _MOST_LINES
        kept = self._backlog.messages() if anew else pending
        try:
            lines = await asyncio.to_thread(_write, spill, spill.waiting, kept, anew)
        except asyncio.CancelledError:
            self._pending = [*pending, *(self._pending or [])]  # at worst written twice, which is harmless
            raise
        except OSError as error:
            self._pending = [*pending, *(self._pending or [])]
            self._failed(error)
        else:
            self._lines = lines + (0 if anew else self._lines)
            self.error = ""

    async def end(self) -> None:
        """Everything has been written to the store."""
        if self._spill is None or self._pending is None:
            return
        self._pending, self._backlog.on_kept, self._lines, self.error = None, None, 0, ""
        try:
            await asyncio.to_thread(self._spill.replace, self._spill.waiting, ())
        except OSError as error:
            log.warning("spilled_records_not_removed", file=str(self._spill.waiting), error=str(error))

    async def aside(self, message: RecordMessage) -> bool:
        """Set aside a message that a working store refuses. Returns whether it was saved."""
        if self._spill is None:
            return False
        try:
            await asyncio.to_thread(_write, self._spill, self._spill.unstorable, [message], False)
        except OSError as error:
            self._failed(error)
            return False
        self.set_aside += 1
        return True

    def keep_at_stop(self, messages: Sequence[RecordMessage]) -> bool:
        """Save what is left at shutdown for the next start. Blocks. Returns whether it was saved."""
        if self._spill is None:
            return False
        pending = self._pending
        try:
            # Only what is not in the file yet; messages after the writer is closed are not in the backlog either.
            _write(self._spill, self._spill.waiting, messages if pending is None else pending, False)
        except OSError as error:
            self._failed(error)
            return False
        self._pending = None if pending is None else []
        return True

    def _keep(self, message: RecordMessage) -> None:
        if self._pending is not None:
            self._pending.append(message)

    def _failed(self, error: OSError) -> None:
        if not self.error:
            log.error("records_not_spilled", error=str(error))
        self.error = str(error)


def _write(spill: Spill, path: Path, messages: Iterable[RecordMessage], anew: bool) -> int:
    lines = [line for message in messages for line in encoded(message)]
    (spill.replace if anew else spill.append)(path, lines)
    return len(lines)


async def recover(store: CallStore, spill: Spill) -> int:
    """Write the messages of an earlier process to the store; return their number. Those refused again stay in their
    file. Raises StoreUnavailable, OSError."""
    messages = await asyncio.to_thread(lambda: [*spill.read(spill.unstorable), *spill.read(spill.waiting)])
    if not messages:
        return 0
    refused: list[RecordMessage] = []
    for first in range(0, len(messages), _RECOVERED_AT_ONCE):
        refused += await _stored_again(store, messages[first : first + _RECOVERED_AT_ONCE])
    kept = [line for message in refused for line in encoded(message)]
    await asyncio.to_thread(spill.replace, spill.unstorable, kept)
    await asyncio.to_thread(spill.replace, spill.waiting, ())
    log.warning("records_recovered", messages=len(messages) - len(refused), refused=len(refused))
    return len(messages) - len(refused)


async def _stored_again(store: CallStore, batch: Sequence[RecordMessage]) -> list[RecordMessage]:
    """The messages that could not be stored."""
    try:
        await store.apply(batch, again=True)
    except StoreUnavailable:
        raise
    except Exception as error:  # noqa: BLE001 - one bad message must not cost the others their record
        if len(batch) == 1:
            log.error("record_unstorable", call_id=getattr(batch[0], "call_id", ""), error=repr(error))
            return list(batch)
        return [left for message in batch for left in await _stored_again(store, [message])]
    return []
