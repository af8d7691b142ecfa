"""The store's errors."""

from __future__ import annotations

from pathlib import Path

__all__ = ["BadCursor", "SchemaTooNew", "StoreDamaged", "StoreError", "StoreInUse", "StoreUnavailable"]


class StoreError(Exception):
    """The store cannot be opened or used as requested."""


class StoreInUse(StoreError):
    """Another gateway writes its records there."""


class SchemaTooNew(StoreError):
    """The database was written by a newer Trunkline."""

    def __init__(self, found: str, newest_known: str) -> None:
        super().__init__(
            f"the database has schema {found}, and this Trunkline knows schemas up to {newest_known}: "
            "run the newer version, or restore the backup made before the upgrade"
        )
        self.found = found
        self.newest_known = newest_known


class StoreDamaged(StoreError):
    """The file is not a complete SQLite database. It is never written to."""

    def __init__(self, path: Path, cause: str) -> None:
        super().__init__(
            f"the store {path} is damaged, or not a database: {cause}. It is left unchanged: "
            f"restore a backup, or move it away ({path.name}-wal and {path.name}-shm too) and start with a new one"
        )


class StoreUnavailable(StoreError):
    """The database cannot be written or read now: locked, disk full, I/O error. A retry may work."""


class BadCursor(StoreError, ValueError):
    """A list cursor that this store did not issue."""
