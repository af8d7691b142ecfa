from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

from gateway.store import migrate
from gateway.store.schema import metadata


def test_migrations_make_the_tables_that_the_code_uses(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/calls.db"
    migrate.upgrade(url)
    engine = create_engine(url)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_an_upgrade_of_what_is_new_enough_only_waits_its_turn(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/calls.db"
    newest = migrate.upgrade(url)
    other = sqlite3.connect(tmp_path / "calls.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")  # another process is at it
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(migrate.upgrade(url)))
    thread.start()
    thread.join(0.05)
    assert found == []
    other.execute("COMMIT")
    thread.join()
    other.close()
    assert found == [newest]


def test_an_upgrade_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "calls.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE events (mine TEXT)")  # somebody else's: the migration runs into it
    connection.close()
    with pytest.raises(OperationalError, match="events"):
        migrate.upgrade(f"sqlite:///{path}")
    connection = sqlite3.connect(path)
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    connection.close()
    assert tables == {"events"}


def test_listing_uses_indices(tmp_path: Path) -> None:
    migrate.upgrade(f"sqlite:///{tmp_path}/calls.db")
    connection = sqlite3.connect(tmp_path / "calls.db")
    columns = ("called", "caller", "outcome", "persona", "answered_by")
    for where in ("", *(f"WHERE {column} = 'x'" for column in columns)):
        plan = connection.execute(f"EXPLAIN QUERY PLAN SELECT * FROM calls {where} ORDER BY started_at DESC").fetchall()
        assert all("USING INDEX" in row[3] and "TEMP B-TREE" not in row[3] for row in plan), (where, plan)
    connection.close()
