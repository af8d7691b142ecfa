"""The database, and the threads that do its work off the loop.

SQLAlchemy's asyncio extension would compile statements on the loop, and load `sqlalchemy.orm`: 6 MiB per process.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Protocol, TypeVar

from sqlalchemy import Connection, Engine, exc

from gateway.store.errors import StoreError, StoreUnavailable

__all__ = ["Backend", "Database", "Result", "shorten_thread_turns"]

Result = TypeVar("Result")

_READERS = 2
_SWITCH_INTERVAL_S = 0.0005
_CLOSE_LIMIT_S = 3.0  # at the end: then threads still waiting for the database are interrupted


def shorten_thread_turns() -> None:
    """Called once at the start of a program with a loop and a store: the loop then gets the interpreter back from the
    store's threads within half a millisecond."""
    sys.setswitchinterval(min(sys.getswitchinterval(), _SWITCH_INTERVAL_S))


class Backend(Protocol):
    """A kind of database: `sqlite.SqliteFile`, `postgres.PostgresDatabase`. Blocking; called in the store's threads."""

    @property
    def name(self) -> str:
        """For messages; without a secret."""

    @property
    def engine(self) -> Engine: ...

    @property
    def write_engine(self) -> Engine: ...

    @property
    def patience_s(self) -> float | None:
        """A transaction that takes longer is aborted; None: the database never makes us wait."""

    def prepare(self, *, migrate_apart: bool) -> None:
        """Bring the schema up to date, and verify that the database can be used."""

    def in_words(self, error: BaseException) -> str:
        """The driver's message on one line, with a remedy."""

    def check(self) -> None:
        """Called before each write. Raises OSError if it would be lost."""

    def trouble_of(self, error: Exception) -> str | None:
        """The error if it is a problem of the store, so that a retry may work; None if the request is at fault: a row
        that breaks a rule, a value that no column takes."""

    def doubts(self, error: Exception) -> bool:
        """Whether connections must be reopened after this error."""

    def compact(self) -> None:
        """Remove all traces of deleted data. Raises StoreUnavailable."""

    def break_off(self) -> None:
        """Make threads that wait for the database fail. From any thread."""

    def dispose(self) -> None: ...


class Database:
    """Work is a synchronous function of a connection, done in a thread of this database: writing in one, so that our
    transactions never wait for each other inside SQLite, reading in up to two. The methods belong to the loop.
    """

    def __init__(self, backend: Backend) -> None:
        """Opens nothing yet."""
        self._backend = backend
        self._writer = ThreadPoolExecutor(1, "store-writer")
        self._readers = ThreadPoolExecutor(_READERS, "store-reader")
        self._closed = False

    @property
    def engine(self) -> Engine:
        return self._backend.engine

    async def start(self, *, migrate_apart: bool) -> None:
        """Call this first. Raises what `Backend.prepare` raises, with the database closed."""
        try:
            await self._run(self._writer, partial(self._backend.prepare, migrate_apart=migrate_apart))
        except BaseException:
            await self.close()
            raise

    async def write(self, work: Callable[[Connection], Result]) -> Result:
        """`work` as one transaction, after those requested earlier; rolled back if it raises, or if the caller is
        cancelled before it is done. Raises StoreUnavailable if a retry may work, and what `work` raises.
        """
        given_up = threading.Event()

        def transaction() -> Result:
            self._backend.check()
            with self._backend.write_engine.begin() as connection:
                result = work(connection)
                if given_up.is_set():
                    connection.rollback()
                return result

        try:
            return await self._run(self._writer, transaction, self._backend.patience_s)
        except asyncio.CancelledError:
            given_up.set()
            raise
        except Exception as error:
            if (trouble := self._backend.trouble_of(error)) is None:
                raise
            await self._forget_connections(error)
            raise StoreUnavailable(f"the store cannot be written: {trouble}") from error

    async def read(self, work: Callable[[Connection], Result]) -> Result:
        """`work` sees the database as of its first query. Raises StoreUnavailable, and what `work` raises."""

        def transaction() -> Result:
            with self._backend.engine.connect() as connection:
                return work(connection)

        try:
            return await self._run(self._readers, transaction, self._backend.patience_s)
        except StoreError:
            raise
        except Exception as error:
            # Stored data may be damaged in ways that the database does not notice.
            damaged = isinstance(error, (exc.SQLAlchemyError, ValueError, TypeError, KeyError))
            if (trouble := self._backend.trouble_of(error)) is None and not damaged:
                raise
            await self._forget_connections(error)
            raise StoreUnavailable(f"the store cannot be read: {trouble or error}") from error

    async def compact(self) -> None:
        """In the writer's thread, outside of any transaction of ours. Raises StoreUnavailable."""
        try:
            await self._run(self._writer, self._backend.compact)
        except StoreError:
            raise
        except Exception as error:
            # It may come from the driver, as no statement of SQLAlchemy's is involved.
            raise StoreUnavailable(f"the store cannot be rewritten: {' '.join(str(error).split())}") from error

    async def close(self) -> None:
        """Idempotent. Waits for requested work, within the backend's patience."""
        self._closed = True
        await asyncio.to_thread(self._shut_down)

    async def _forget_connections(self, error: Exception) -> None:
        if self._backend.doubts(error) and not self._closed:
            await self._run(self._writer, self._backend.dispose)

    async def _run(
        self, threads: ThreadPoolExecutor, work: Callable[[], Result], patience_s: float | None = None
    ) -> Result:
        if self._closed:
            raise StoreUnavailable("the store is closed")
        future = asyncio.get_running_loop().run_in_executor(threads, copy_context().run, work)
        if patience_s is not None:
            try:
                await asyncio.wait({future}, timeout=patience_s)
            except asyncio.CancelledError:
                future.cancel()
                raise
            if not future.done():
                self._backend.break_off()
        return await future

    def _shut_down(self) -> None:
        patience_s = self._backend.patience_s
        limit = None if patience_s is None else threading.Timer(_CLOSE_LIMIT_S, self._backend.break_off)
        if limit is not None:
            limit.start()
        self._writer.shutdown()
        self._readers.shutdown()
        if limit is not None:
            limit.cancel()
        self._backend.dispose()
