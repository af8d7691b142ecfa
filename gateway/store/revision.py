"""Which schema a database has, told without loading the migrations."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from gateway.store.errors import SchemaTooNew, StoreUnavailable

__all__ = ["NEWEST", "bring_up_to_date"]

NEWEST = "0002"  # a test holds it to the last migration


def bring_up_to_date(path: Path, *, apart: bool) -> None:
    """Make or migrate the database if need be. Blocking: run it in a thread.

    `apart`: in a process of its own, so that what migrations load (some 15 MiB) does not stay with a gateway that runs
    for months. Raises SchemaTooNew, StoreUnavailable, sqlite3.Error.
    """
    if path.exists() and _revision(path) == NEWEST:
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


def _revision(path: Path) -> str | None:
    with closing(sqlite3.connect(path, timeout=30.0)) as connection:
        try:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        except sqlite3.OperationalError:  # no such table
            return None
    return str(row[0]) if row else None
