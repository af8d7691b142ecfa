"""What goes wrong with the store, as types."""

from __future__ import annotations

__all__ = ["BadCursor", "SchemaTooNew", "StoreError", "StoreUnavailable"]


class StoreError(Exception):
    """The store cannot be opened or used as it was asked to be."""


class SchemaTooNew(StoreError):
    """The database was written by a newer Trunkline."""

    def __init__(self, found: str, newest_known: str) -> None:
        super().__init__(
            f"the database has schema {found}, and this Trunkline knows schemas up to {newest_known}: "
            "run the newer version, or restore the backup made before the upgrade"
        )
        self.found = found
        self.newest_known = newest_known


class StoreUnavailable(StoreError):
    """The database cannot be written or read just now: locked, disk full, I/O error. The same may work later."""


class BadCursor(StoreError, ValueError):
    """A list cursor that was not made by this store."""
