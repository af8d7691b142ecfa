"""A PostgreSQL database that gateways share, each with its own id. Needs its own sessions: a pooler in between may pool
sessions, but not transactions.
"""

from __future__ import annotations

import hashlib
import socket
from contextlib import suppress
from importlib.util import find_spec
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event, exc, make_url
from sqlalchemy.engine.interfaces import ExceptionContext

from gateway.store.address import connect_url, one_line
from gateway.store.errors import StoreError, StoreInUse
from gateway.store.postgres_revision import bring_up_to_date
from gateway.store.values import json_text

__all__ = ["PostgresDatabase"]

READERS = 2
_CONNECT_S = 5
# A silently lost peer is noticed within about 15 s, by us and by the server, which then releases our lock.
_KEEPALIVE: dict[str, int] = {
    "keepalives": 1, "keepalives_idle": 5, "keepalives_interval": 3, "keepalives_count": 3, "tcp_user_timeout": 15_000,
}  # fmt: skip
_SESSION = (
    "SET statement_timeout = '30s'",
    "SET tcp_keepalives_idle = 5",
    "SET tcp_keepalives_interval = 3",
    "SET tcp_keepalives_count = 3",
)
_TABLES = "calls, turns, events, legs, transfers, queue_waits"
_NOT_THE_STORES_FAULT = (exc.IntegrityError, exc.DataError, exc.NotSupportedError)
_ROW_TOO_LARGE = "54000"
_PASSWORD_TROUBLE = ("password authentication failed", "no password supplied")


class PostgresDatabase:
    """Implements `Backend`."""

    patience_s = 30.0

    def __init__(self, url: str, *, password: str = "", owner: str = "", role: str = "") -> None:
        """Opens nothing yet. `owner`: the gateway whose calls are written; empty for commands, which share the database
        with gateways. `role`: of a program that shares the owner's id. Raises StoreError without psycopg."""
        if find_spec("psycopg") is None:
            raise StoreError("the store is PostgreSQL, which needs psycopg: pip install 'trunkline[postgres]'")
        plain = make_url(url)
        self.name = f"PostgreSQL at {plain.host or 'the local socket'}:{plain.port or 5432}/{plain.database}"
        self._url = url
        self._password = password
        self._owner = owner
        self._lock = f"trunkline/{owner}/{role}" if owner else ""
        self._open: dict[int, Any] = {}  # psycopg's connections
        full = connect_url(url, password)
        self.engine = self._engine(full, readers=READERS)
        self.write_engine = self._engine(full, readers=0)

    def prepare(self, *, migrate_apart: bool) -> None:
        bring_up_to_date(self.engine, self._url, self._password, self.name, apart=migrate_apart)
        with self.write_engine.connect():  # takes the lock
            pass

    def in_words(self, error: BaseException) -> str:
        said = one_line(error)
        if any(each in said for each in _PASSWORD_TROUBLE):
            said += " (settings: store.password)"
        return said

    def check(self) -> None:
        """An unreachable database reports that itself."""

    def trouble_of(self, error: Exception) -> str | None:
        if isinstance(error, (StoreInUse, exc.TimeoutError, OSError, MemoryError)):
            return str(error) or type(error).__name__
        if not isinstance(error, exc.DBAPIError) or isinstance(error, _NOT_THE_STORES_FAULT):
            return None
        if getattr(error.orig, "sqlstate", None) == _ROW_TOO_LARGE:
            return None
        return one_line(error.orig)

    def doubts(self, error: Exception) -> bool:
        """SQLAlchemy itself drops connections that are broken."""
        return False

    def compact(self) -> None:
        """Rewrite the tables: until then old rows remain in unreferenced pages. Requires table ownership."""
        connection = self.write_engine.raw_connection()
        try:
            session: Any = connection.driver_connection
            session.autocommit = True
            session.execute("SET statement_timeout = 0")
            session.execute(f"VACUUM (FULL) {_TABLES}")
            session.execute(_SESSION[0])
            session.autocommit = False
        finally:
            connection.close()

    def break_off(self) -> None:
        """Wakes threads that wait for a server that does not answer; their work fails."""
        for session in list(self._open.values()):
            # The socket is libpq's, not ours to close; shutting down a duplicate ends the wait as well.
            with (
                suppress(OSError, Exception),
                socket.fromfd(session.fileno(), socket.AF_INET, socket.SOCK_STREAM) as duplicate,
            ):
                duplicate.shutdown(socket.SHUT_RDWR)

    def dispose(self) -> None:
        self.write_engine.dispose()
        self.engine.dispose()

    def _engine(self, url: URL, *, readers: int) -> Engine:
        """`readers`: 0 for the writer's engine."""
        engine = create_engine(
            url,
            connect_args={"connect_timeout": _CONNECT_S, "application_name": "trunkline", **_KEEPALIVE},
            pool_size=readers or 1,
            max_overflow=0,
            pool_pre_ping=bool(readers),  # the writer tries again anyway
            isolation_level="REPEATABLE READ" if readers else "READ COMMITTED",  # a read sees one state of the database
            query_cache_size=32,
            hide_parameters=True,  # errors are logged, callers' words are not
            json_serializer=json_text,
        )

        def opened(session: Any, record: Any) -> None:
            self._open[id(session)] = session
            session.autocommit = True
            for setting in _SESSION:
                session.execute(setting)
            if not readers and self._lock and not _locked(session, self._lock):
                self._open.pop(id(session), None)
                session.close()
                raise StoreInUse(
                    f"{self.name} is in use by another gateway with the id {self._owner!r}: "
                    "each gateway needs its own (store.gateway_id)"
                )
            session.autocommit = False

        def closed(session: Any, record: Any) -> None:
            self._open.pop(id(session), None)

        event.listen(engine, "connect", opened)
        event.listen(engine, "close", closed)
        event.listen(engine, "handle_error", _without_details)
        return engine


def _locked(session: Any, name: str) -> bool:
    """Held until the session ends, however it ends."""
    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
    (taken,) = session.execute("SELECT pg_try_advisory_lock(%s)", (key,)).fetchone()
    return bool(taken)


def _without_details(context: ExceptionContext) -> None:
    """PostgreSQL's DETAIL repeats the row, including callers' words."""
    original = context.original_exception
    primary = getattr(getattr(original, "diag", None), "message_primary", None)
    if primary is None:
        return
    original.args = (primary,)
    if context.sqlalchemy_exception is not None:
        context.sqlalchemy_exception.args = (f"({type(original).__module__}.{type(original).__name__}) {primary}",)
