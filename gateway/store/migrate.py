"""Bring a database to the newest schema. Blocking: run it in a thread.

As `python -m gateway.store.migrate URL`, with PostgreSQL's password on its standard input, it exits with 3 and prints
both revisions if the database is newer than this program.
"""

from __future__ import annotations

import sys
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, exc
from sqlalchemy.engine.interfaces import DBAPIConnection

from gateway.store.address import connect_url
from gateway.store.errors import SchemaTooNew

__all__ = ["upgrade"]

_MIGRATING = 0x7472756E6B  # the key of PostgreSQL's lock: "trunk"
_SCRIPTS = Path(__file__).with_name("migrations")


def upgrade(url: str, password: str = "") -> str:
    """Apply missing migrations in one transaction; return the schema's revision. Idempotent, and safe if two processes
    do it at once: the second waits. `url`: `sqlite:///…` or `postgresql://…`, the latter with `password`.

    Raises SchemaTooNew if the database's revision is not known here, and leaves it unchanged.
    """
    engine = _sqlite(url) if url.startswith("sqlite:") else _postgresql(url, password)
    config = Config()  # no alembic.ini: the scripts are package data
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    scripts = ScriptDirectory.from_config(config)
    newest = scripts.get_current_head() or ""
    try:
        with engine.begin() as connection:
            found = MigrationContext.configure(connection).get_current_revision()
            if found is not None and found not in {script.revision for script in scripts.walk_revisions()}:
                raise SchemaTooNew(found, newest)
            if found != newest:
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
    finally:
        engine.dispose()
    return newest


def _sqlite(url: str) -> Engine:
    engine = create_engine(url, connect_args={"timeout": 30.0})
    event.listen(engine, "connect", _leave_transactions_to_us)
    event.listen(engine, "begin", _begin_immediate)
    return engine


def _postgresql(url: str, password: str) -> Engine:
    engine = create_engine(connect_url(url, password), connect_args={"connect_timeout": 10}, hide_parameters=True)
    event.listen(engine, "begin", _wait_for_others)
    return engine


def _wait_for_others(connection: Connection) -> None:
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATING})")


def _leave_transactions_to_us(connection: DBAPIConnection, _record: object) -> None:
    """Python's sqlite3 would otherwise begin transactions late and commit before DDL."""
    connection.isolation_level = None


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


if __name__ == "__main__":
    try:
        upgrade(sys.argv[1], "" if sys.argv[1].startswith("sqlite:") else sys.stdin.read())
    except SchemaTooNew as error:
        print(error.found, error.newest_known)
        sys.exit(3)
    except exc.SQLAlchemyError as error:
        sys.exit(" ".join(str(error).splitlines()[:1]))
