"""One gateway per store: a second one would take the first one's live calls for lost and close their records."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import Self

from gateway.store.errors import StoreError, StoreInUse

__all__ = ["StoreLock"]


class StoreLock:
    """Held until `release`, or until the process ends, however it ends. Child processes do not inherit it.

    The lock is on the database file itself, whatever path (a link, another mount) it was opened by; flock does not
    interfere with SQLite's own locks. Closing a file that SQLite has open in this process would release SQLite's locks
    (POSIX), so release this one after closing the store.
    """

    def __init__(self, fds: list[int]) -> None:
        self._fds = fds

    @classmethod
    def take(cls, store: Path) -> Self:
        """Creates an empty database file if there is none. Raises StoreInUse, or StoreError if the file cannot be
        created."""
        lock = cls.beside(store)  # held by earlier versions
        try:
            lock._fds.append(_locked(store, store))
        except BaseException:
            lock.release()
            raise
        return lock

    @classmethod
    def beside(cls, store: Path, role: str = "") -> Self:
        """For programs that share the store with a gateway: `<store>[.role].lock` only. Raises as `take`."""
        real = Path(os.path.realpath(store))
        with suppress(OSError):
            real.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        name = f"{real.name}.{role}.lock" if role else f"{real.name}.lock"
        return cls([_locked(real.with_name(name), store)])

    def release(self) -> None:
        """Idempotent. The files stay: removing them would let two others hold them at once."""
        fds, self._fds = self._fds, []
        for fd in fds:
            os.close(fd)


def _locked(path: Path, store: Path) -> int:
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"the store {store} cannot be used: {error}") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(fd)
        raise StoreInUse(f"the store {store} is in use by another gateway") from error
    return fd
