"""SQLite with the settings that make it fit for a gateway, and the threads that work with it in place of the loop.

SQLAlchemy's asyncio extension would compile statements on the loop, and load `sqlalchemy.orm`: 6 MiB a process.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from pathlib import Path
from typing import TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, exc
from sqlalchemy.engine.interfaces import DBAPIConnection

from gateway.store.errors import StoreError, StoreUnavailable

__all__ = ["Database", "shorten_thread_turns", "trouble_of"]

Result = TypeVar("Result")

_READERS = 2
_PAGE_CACHE = "cache_size = -512"  # KiB a connection; 2000, the default, is no faster with 20 000 calls
_NAP_S = 50e-6  # what a loop needs to wake up and take the interpreter's lock
_SWITCH_INTERVAL_S = 0.0005


def shorten_thread_turns() -> None:
    """For a program with a loop and a store, once, at its start: the loop gets the interpreter back from the store's
    threads within half a millisecond."""
    sys.setswitchinterval(min(sys.getswitchinterval(), _SWITCH_INTERVAL_S))


class Database:
    """Work is a synchronous function of a connection, done in a thread of this database: writing in one, so that our
    transactions never wait for each other inside SQLite, reading in up to two. The methods belong to the loop.
    """

    def __init__(self, path: Path, *, busy_timeout_s: float) -> None:
        """Opens nothing yet."""
        self.engine = _engine(path, busy_timeout_s)
        self._write_engine = self.engine.execution_options(trunkline_write=True)
        self._writer = ThreadPoolExecutor(1, "store-writer")
        self._readers = ThreadPoolExecutor(_READERS, "store-reader")
        self._closed = False
        self._path = path
        self._place: tuple[int, int] | None = None  # of the file; None: not started

    async def start(self, prepare: Callable[[Engine], object]) -> None:
        """`prepare` in the writer's thread, before all else. Raises what that raises, with the database closed."""
        try:
            await self._run(self._writer, partial(prepare, self.engine))
            self._place = _place_of(self._path)
        except BaseException:
            await self.close()
            raise

    async def write(self, work: Callable[[Connection], Result]) -> Result:
        """`work` as one transaction, after those asked for before: rolled back when it raises, or when the caller is
        cancelled before it is through. Raises StoreUnavailable when the same may work later, and what `work` raises.
        """
        given_up = threading.Event()

        def transaction() -> Result:
            if self._place is not None and self._place != _place_of(self._path):
                raise FileNotFoundError(f"{self._path} has been moved, deleted or replaced; restart the gateway")
            with self._write_engine.begin() as connection:
                result = work(connection)
                if given_up.is_set():
                    connection.rollback()
                return result

        try:
            return await self._run(self._writer, transaction)
        except asyncio.CancelledError:
            given_up.set()
            raise
        except Exception as error:
            if (trouble := trouble_of(error)) is None:
                raise
            await self._forget_connections(error)
            raise StoreUnavailable(f"the store cannot be written: {trouble}") from error

    async def read(self, work: Callable[[Connection], Result]) -> Result:
        """`work` sees the database as it is when it first looks. Raises StoreUnavailable, and what `work` raises."""

        def transaction() -> Result:
            with self.engine.connect() as connection:
                return work(connection)

        try:
            return await self._run(self._readers, transaction)
        except StoreError:
            raise
        except Exception as error:
            # What is stored may have been damaged in ways that SQLite does not notice.
            damaged = isinstance(error, (exc.SQLAlchemyError, ValueError, TypeError, KeyError))
            if (trouble := trouble_of(error)) is None and not damaged:
                raise
            await self._forget_connections(error)
            raise StoreUnavailable(f"the store cannot be read: {trouble or error}") from error

    async def alone(self, work: Callable[[Engine], Result]) -> Result:
        """`work` outside of any transaction of ours, in the writer's thread. Raises as `write`."""
        try:
            return await self._run(self._writer, partial(work, self.engine))
        except Exception as error:
            cause = trouble_of(error) or (str(error) if isinstance(error, sqlite3.Error) else None)
            if cause is None:
                raise
            raise StoreUnavailable(f"the store cannot be written: {cause}") from error

    async def close(self) -> None:
        """Idempotent. Waits for the work that has been asked for."""
        self._closed = True
        await asyncio.to_thread(self._shut_down)

    async def _forget_connections(self, error: Exception) -> None:
        """After damage, as opposed to a lock or a full disk: what they remember of the file may be wrong."""
        if isinstance(error, exc.DatabaseError) and not isinstance(error, exc.OperationalError) and not self._closed:
            await self._run(self._writer, self.engine.dispose)

    async def _run(self, threads: ThreadPoolExecutor, work: Callable[[], Result]) -> Result:
        if self._closed:
            raise StoreUnavailable("the store is closed")
        return await asyncio.get_running_loop().run_in_executor(threads, copy_context().run, work)

    def _shut_down(self) -> None:
        self._writer.shutdown()
        self._readers.shutdown()
        self.engine.dispose()


def _place_of(path: Path) -> tuple[int, int]:
    """SQLite goes on writing into a file that has lost its name, and all of it is lost with the process."""
    try:
        found = path.stat()
    except OSError:
        return (0, 0)
    return found.st_dev, found.st_ino


def trouble_of(error: Exception) -> str | None:
    """What is wrong with the store, so that the same may work later; None when it is what was asked of it: a row that
    breaks a rule, a value that no column takes."""
    if isinstance(error, (exc.IntegrityError, exc.DataError, exc.ProgrammingError, exc.InterfaceError)):
        return None
    if isinstance(error, exc.DBAPIError):
        return str(error.orig)
    if isinstance(error, (exc.TimeoutError, sqlite3.DatabaseError, OSError, MemoryError)):
        return str(error) or type(error).__name__
    return None


def _engine(path: Path, busy_timeout_s: float) -> Engine:
    """Connections in WAL mode (readers never wait for the writer), each commit synced to disk. A transaction on a
    connection with the option `trunkline_write` takes the write lock as it begins, and so cannot fail half-way for it.
    """
    engine = create_engine(
        URL.create("sqlite+pysqlite", database=str(path)),
        connect_args={"timeout": busy_timeout_s},  # SQLite's busy timeout
        pool_size=1 + _READERS,
        max_overflow=0,
        query_cache_size=32,  # 50 KiB a statement; the writer has 12, and each set of filters makes one
        hide_parameters=True,  # errors are logged; what callers say is not
    )

    def configure(connection: DBAPIConnection, _record: object) -> None:
        connection.isolation_level = None  # transactions are begun below, not by the driver
        cursor = connection.cursor()
        for setting in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", _PAGE_CACHE):
            cursor.execute(f"PRAGMA {setting}")
        cursor.close()

    def begin(connection: Connection) -> None:
        write = connection.get_execution_options().get("trunkline_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    def nap(*_statement: object) -> None:
        # SQLite's calls let go of the interpreter's lock too briefly for the loop to get hold of it.
        time.sleep(_NAP_S)

    event.listen(engine, "connect", configure)
    event.listen(engine, "begin", begin)
    event.listen(engine, "after_cursor_execute", nap)
    return engine
