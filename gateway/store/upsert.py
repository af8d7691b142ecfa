"""INSERT … ON CONFLICT, which SQLite and PostgreSQL share, but SQLAlchemy has only in their dialects."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import sqlite

if TYPE_CHECKING:
    from sqlalchemy.dialects.sqlite import Insert

__all__ = ["add_or_ignore", "insert_into"]


def insert_into(connection: Connection, table: Table) -> Insert:
    """An INSERT that still needs values and `on_conflict_do_…`."""
    return _insert(connection.dialect.name, table)


def add_or_ignore(connection: Connection, table: Table, row: dict[str, Any]) -> None:
    """An existing row is left unchanged."""
    connection.execute(_ignoring(connection.dialect.name, table), row)


@cache
def _ignoring(dialect: str, table: Table) -> Insert:
    """Built once: building a statement costs more than running it."""
    return _insert(dialect, table).on_conflict_do_nothing()


def _insert(dialect: str, table: Table) -> Insert:
    if dialect == "postgresql":
        from sqlalchemy.dialects import postgresql  # a process with SQLite never loads it

        return cast("Insert", postgresql.insert(table))
    return sqlite.insert(table)
