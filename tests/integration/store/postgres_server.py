"""A PostgreSQL server for the tests: with its own data folder, on a free port, without root."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.free_ports import free_port

__all__ = ["PASSWORD", "USER", "PostgresServer"]

USER = "trunkline"
PASSWORD = "only for tests"
_START_LIMIT_S = 30.0
# A test's database is thrown away with it: nothing needs to be on the disk.
_FAST = ("fsync=off", "full_page_writes=off", "synchronous_commit=off", "max_connections=60", "shared_buffers=16MB")


def _program(name: str) -> str:
    """Debian keeps the server's programs out of PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]))
    program = str(found[-1]) if found else shutil.which(name)
    assert program, f"there is no {name}: apt-get install postgresql"
    return program


class PostgresServer:
    """Started on creation. `stop` and `start` it at the same port as often as needed; `close` it at the end."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="trunkline-postgres-"))
        self.port = free_port(socket.SOCK_STREAM)
        self._user = pwd.getpwnam("postgres" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name)
        self._process: subprocess.Popen[bytes] | None = None
        if os.getuid() == 0:
            os.chown(self.folder, self._user.pw_uid, self._user.pw_gid)
        word = self.folder / "password"
        word.write_text(PASSWORD)
        word.chmod(0o644)
        self._run(
            [
                _program("initdb"), "-D", str(self.data), "-U", USER, "--pwfile", str(word), "--auth=scram-sha-256",
                "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync",
            ]
        )  # fmt: skip
        self.start()

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def url(self, database: str = "postgres", user: str = USER) -> str:
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        settings = [f"port={self.port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={self.folder}", *_FAST]
        command = [_program("postgres"), "-D", str(self.data), *(part for each in settings for part in ("-c", each))]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, **self._as_user())
        end = time.monotonic() + _START_LIMIT_S
        while not self._answers():
            assert self._process.poll() is None and time.monotonic() < end, (self.folder / "log").read_text()[-2000:]
            time.sleep(0.05)

    def stop(self) -> None:
        """Connections are cut, and what was committed is there at the next start."""
        self._end(signal.SIGINT)

    def _end(self, by: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(by)
            self._process.wait(30)
            self._process = None

    def freeze(self) -> None:
        """All of its processes stand still; connections stay."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        self.thaw()
        self._end(signal.SIGQUIT)  # without tidying up
        shutil.rmtree(self.folder, ignore_errors=True)

    def database(self, template: str = "template0") -> str:
        """A new one."""
        name = f"t{secrets.token_hex(6)}"
        self.sql(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def sql(self, *statements: str, database: str = "postgres", user: str = USER) -> list[tuple[object, ...]]:
        """Each by itself; the rows of the last one."""
        import psycopg

        rows: list[tuple[object, ...]] = []
        with psycopg.connect(self.url(database, user), password=PASSWORD, autocommit=True) as connection:
            for statement in statements:
                cursor = connection.execute(statement)
                rows = cursor.fetchall() if cursor.description else []
        return rows

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        pids = [self._process.pid]
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        for pid in [*pids, *map(int, children)]:
            os.kill(pid, number)

    def _answers(self) -> bool:
        import psycopg

        try:
            self.sql("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def _as_user(self) -> dict[str, object]:
        if os.getuid() != 0:
            return {}
        return {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": (), "cwd": self.folder}

    def _run(self, command: Sequence[str]) -> None:
        subprocess.run(command, check=True, capture_output=True, **self._as_user())  # type: ignore[call-overload]
