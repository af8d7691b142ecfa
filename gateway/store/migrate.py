"""Bring a database to the newest schema. Blocking: run it in a thread.

As `python -m gateway.store.migrate URL` it exits with 3 and prints both revisions when the database is newer than this
program.
"""

from __future__ import annotations

import sys
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, event, exc
from sqlalchemy.engine.interfaces import DBAPIConnection

from gateway.store.errors import SchemaTooNew

__all__ = ["upgrade"]

_SCRIPTS = Path(__file__).with_name("migrations")


def upgrade(url: str) -> str:
    """Apply what is missing, in one transaction; return the schema's revision. Idempotent, and safe when two
    processes do it at once: the second waits. `url` is a synchronous `sqlite:///…` URL.

    Raises SchemaTooNew when the database has a revision that is not known here; the database is left as it was.
    """
    engine = create_engine(url, connect_args={"timeout": 30.0})
    event.listen(engine, "connect", _leave_transactions_to_us)
    event.listen(engine, "begin", _begin_immediate)
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


def _leave_transactions_to_us(connection: DBAPIConnection, _record: object) -> None:
    """Python's sqlite3 would otherwise begin transactions late and commit before DDL."""
    connection.isolation_level = None


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


if __name__ == "__main__":
    try:
        upgrade(sys.argv[1])
    except SchemaTooNew as error:
        print(error.found, error.newest_known)
        sys.exit(3)
    except exc.SQLAlchemyError as error:
        sys.exit(" ".join(str(error).splitlines()[:1]))
