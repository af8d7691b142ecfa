"""Which schema a database has, without loading the migrations."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from gateway.store.errors import SchemaTooNew, StoreDamaged, StoreError, StoreUnavailable

__all__ = ["NEWEST", "bring_up_to_date"]

_CHECKED_BYTES = 128 << 20  # a larger file is not fully checked at each start: that takes a second, or minutes
NEWEST = "0012"  # a test compares it with the last migration


def bring_up_to_date(path: Path, *, apart: bool) -> None:
    """Create or migrate the database if necessary, after checking its integrity. Blocking: run it in a thread.

    `apart`: in a process of its own, so that the 15 MiB that migrations load do not stay in a gateway that runs for
    months. Raises SchemaTooNew, StoreDamaged, StoreError for the database of something else, StoreUnavailable,
    sqlite3.Error.
    """
    if path.exists() and _revision_of_whole(path) == NEWEST:
        return
    url = f"sqlite:///{path}"
    if not apart:
        from gateway.store.migrate import upgrade

        upgrade(url)
        return
    done = subprocess.run(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-m", "gateway.store.migrate", url], capture_output=True, text=True, timeout=120, check=False
    )
    if done.returncode == 3:
        found, known = done.stdout.split()
        raise SchemaTooNew(found, known)
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise StoreUnavailable(f"{path} cannot be migrated: {lines[-1] if lines else 'no reason given'}")


def _revision_of_whole(path: Path) -> str | None:
    """None for a new file."""
    size = path.stat().st_size
    if size == 0:
        wal = path.with_name(f"{path.name}-wal")
        if wal.exists() and wal.stat().st_size:
            raise StoreDamaged(path, f"it is empty, but {wal.name} next to it is not, and SQLite would delete that")
        return None
    try:
        with closing(sqlite3.connect(path, timeout=30.0)) as connection:
            if size <= _CHECKED_BYTES:
                (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
                if found != "ok":
                    raise StoreDamaged(path, " ".join(found.split()))
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if tables and "alembic_version" not in tables:
                raise StoreError(f"{path} is the database of something else: it has the table {min(tables)!r}")
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone() if tables else None
    except sqlite3.OperationalError:  # locked, no permission: a retry may work
        raise
    except sqlite3.DatabaseError as error:
        raise StoreDamaged(path, str(error)) from error
    return str(row[0]) if row else None
