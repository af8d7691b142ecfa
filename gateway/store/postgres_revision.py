"""Which schema a PostgreSQL database has, without loading the migrations."""

from __future__ import annotations

import subprocess
import sys

from sqlalchemy import Connection, Engine, exc, text

from gateway.store.errors import SchemaTooNew, StoreError, StoreUnavailable
from gateway.store.revision import NEWEST

__all__ = ["bring_up_to_date"]

_OLDEST_SERVER = 12
_MIGRATION_LIMIT_S = 600


def bring_up_to_date(engine: Engine, url: str, password: str, name: str, *, apart: bool) -> None:
    """Create or migrate the tables if necessary. `apart`: see `gateway.store.revision`. Raises SchemaTooNew,
    StoreError, StoreUnavailable, sqlalchemy's errors."""
    with engine.connect() as connection:
        found = _revision(connection, name)
    if found == NEWEST:
        return
    why = f"{name}: its tables cannot be brought from schema {found or 'none'} to {NEWEST}"
    if not apart:
        from gateway.store.migrate import upgrade

        try:
            upgrade(url, password)
        except exc.ProgrammingError as error:
            raise StoreError(f"{why}: {error.orig}") from error
        return
    done = subprocess.run(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-m", "gateway.store.migrate", url], input=password,
        capture_output=True, text=True, timeout=_MIGRATION_LIMIT_S, check=False,
    )  # fmt: skip
    if done.returncode == 3:
        raise SchemaTooNew(*done.stdout.split())
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise StoreUnavailable(f"{why}: {lines[-1] if lines else 'no reason given'}")


def _revision(connection: Connection, name: str) -> str | None:
    """None for a database without our tables."""
    version = int(connection.execute(text("SHOW server_version_num")).scalar_one()) // 10_000
    if version < _OLDEST_SERVER:
        raise StoreError(f"{name} is PostgreSQL {version}; Trunkline needs {_OLDEST_SERVER} or newer")
    encoding = connection.execute(text("SHOW server_encoding")).scalar_one()
    if encoding != "UTF8":
        raise StoreError(f"{name} has the encoding {encoding}: create a database with UTF8")
    if connection.execute(text("SELECT to_regclass('alembic_version')")).scalar() is not None:
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    foreign = connection.execute(text("SELECT to_regclass('calls')")).scalar()
    if foreign is not None:
        raise StoreError(f"{name} is the database of something else: it has the table 'calls'")
    return None
