"""A SQLite file with the settings that a gateway needs."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine, event, exc
from sqlalchemy.engine.interfaces import DBAPIConnection

from gateway.store.errors import StoreUnavailable
from gateway.store.revision import bring_up_to_date
from gateway.store.values import json_text

__all__ = ["SqliteFile"]

READERS = 2
_CHECKPOINT_LIMIT_S = 30.0
_PAGE_CACHE = "cache_size = -512"  # KiB per connection; 2000, the default, is no faster with 20 000 calls
_NAP_S = 50e-6  # time for a loop to wake up and take the GIL


class SqliteFile:
    """Implements `Backend`."""

    patience_s = None  # SQLite's own busy timeout is the limit

    def __init__(self, path: Path, *, busy_timeout_s: float) -> None:
        """Opens nothing yet."""
        self.name = str(path)
        self.engine = _engine(path, busy_timeout_s)
        self.write_engine = self.engine.execution_options(trunkline_write=True)
        self._path = path
        self._place: tuple[int, int] | None = None  # of the file; None: not started

    def prepare(self, *, migrate_apart: bool) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        bring_up_to_date(self._path, apart=migrate_apart)
        with self.engine.connect():  # a first connection verifies the settings
            pass
        self._place = _place_of(self._path)

    def in_words(self, error: BaseException) -> str:
        return str(error)

    def check(self) -> None:
        """SQLite would keep writing to an unlinked file, which is lost with the process."""
        if self._place is not None and self._place != _place_of(self._path):
            raise FileNotFoundError(f"{self._path} has been moved, deleted or replaced; restart the gateway")

    def trouble_of(self, error: Exception) -> str | None:
        if isinstance(error, (exc.IntegrityError, exc.DataError, exc.ProgrammingError, exc.InterfaceError)):
            return None
        if isinstance(error, exc.DBAPIError):
            return str(error.orig)
        if isinstance(error, (exc.TimeoutError, sqlite3.Error, OSError, MemoryError)):
            return str(error) or type(error).__name__
        return None

    def doubts(self, error: Exception) -> bool:
        """After damage, as opposed to a lock or a full disk, connections' cached state may be wrong."""
        return isinstance(error, exc.DatabaseError) and not isinstance(error, exc.OperationalError)

    def compact(self) -> None:
        """Rewrite the whole file and truncate the WAL: until then old rows remain in unreferenced pages."""
        connection = self.engine.raw_connection()
        try:
            cursor = connection.cursor()
            cursor.execute("PRAGMA secure_delete = ON")
            cursor.execute("VACUUM")
            end = time.monotonic() + _CHECKPOINT_LIMIT_S
            while True:
                busy, _, _ = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                if not busy:
                    return
                if time.monotonic() > end:
                    raise StoreUnavailable("a reader keeps the store busy: its WAL still holds the redacted data")
                time.sleep(0.1)
        finally:
            connection.close()

    def break_off(self) -> None:
        """No one waits longer than the busy timeout."""

    def dispose(self) -> None:
        self.engine.dispose()


def _place_of(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0)
    return found.st_dev, found.st_ino


def _engine(path: Path, busy_timeout_s: float) -> Engine:
    """Connections in WAL mode (readers never wait for the writer), each commit synced to disk. A transaction on a
    connection with the option `trunkline_write` takes the write lock at its start, so it cannot fail to get it halfway.
    """
    engine = create_engine(
        URL.create("sqlite+pysqlite", database=str(path)),
        connect_args={"timeout": busy_timeout_s},  # SQLite's busy timeout
        pool_size=1 + READERS,
        max_overflow=0,
        query_cache_size=32,  # 50 KiB per statement; the writer has 14, and each set of filters adds one
        hide_parameters=True,  # errors are logged, callers' words are not
        json_serializer=json_text,
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
        # SQLite's calls release the interpreter's lock too briefly for the loop to acquire it.
        time.sleep(_NAP_S)

    event.listen(engine, "connect", configure)
    event.listen(engine, "begin", begin)
    event.listen(engine, "after_cursor_execute", nap)
    return engine
