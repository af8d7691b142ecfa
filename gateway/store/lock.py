"""One gateway a store: a second one would take the first one's live calls for lost, and close their records."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Self

from gateway.store.errors import StoreError

__all__ = ["StoreInUse", "StoreLock"]


class StoreInUse(StoreError):
    """Another gateway writes its records there."""


class StoreLock:
    """Holds `<store>.lock` until `release`, or until the process ends, however it ends. Children don't inherit it."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    @classmethod
    def take(cls, store: Path) -> Self:
        """Raises StoreInUse, or StoreError when there can be no such file."""
        path = store.with_name(store.name + ".lock")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(f"the store {store} cannot be used: {error}") from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(fd)
            raise StoreInUse(f"the store {store} is in use by another gateway") from error
        return cls(fd)

    def release(self) -> None:
        """Idempotent. The file stays: to remove it would let two others hold it at once."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
