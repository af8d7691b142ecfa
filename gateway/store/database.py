"""The engine: SQLite through aiosqlite, with the settings that make it fit for a gateway."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import URL, Connection, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

__all__ = ["open_engine"]


def open_engine(path: Path, *, busy_timeout_s: float) -> AsyncEngine:
    """Connections in WAL mode (readers never wait for the writer), each commit synced to disk. A transaction on a
    connection with the option `trunkline_write` takes the write lock as it begins, and so cannot fail half-way for it.
    """
    engine = create_async_engine(
        URL.create("sqlite+aiosqlite", database=str(path)),
        connect_args={"timeout": busy_timeout_s},  # SQLite's busy timeout
        pool_size=4,
        max_overflow=0,
        hide_parameters=True,  # errors are logged; what callers say is not
        pool_timeout=10.0,
    )

    def configure(connection: DBAPIConnection, _record: object) -> None:
        connection.isolation_level = None  # transactions are begun below, not by the driver
        cursor = connection.cursor()
        for setting in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            cursor.execute(f"PRAGMA {setting}")
        cursor.close()

    def begin(connection: Connection) -> None:
        write = connection.get_execution_options().get("trunkline_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    event.listen(engine.sync_engine, "connect", configure)
    event.listen(engine.sync_engine, "begin", begin)
    return engine
