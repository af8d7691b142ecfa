"""The store that a gateway's settings name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.store.calls import CallStore
from gateway.store.errors import StoreError

if TYPE_CHECKING:
    from gateway.config import Settings

__all__ = ["open_store"]


async def open_store(
    settings: Settings,
    *,
    owner: bool = False,
    role: str = "",
    migrate_apart: bool = False,
    busy_timeout_s: float = 5.0,
) -> CallStore:
    """`owner`: for the gateway itself, the only one with its id; `role`: for a program that shares the id, the only one
    in that role. Raises what `CallStore.open` raises, and StoreError if the password cannot be read."""
    from gateway.config.fields import SecretMissing

    try:
        password = settings.store.read_password()
    except SecretMissing as error:
        raise StoreError(f"store.password: {error}") from error
    return await CallStore.open(
        settings.store.url,
        password=password,
        gateway_id=settings.store.owner,
        exclusive=owner,
        role=role,
        migrate_apart=migrate_apart,
        busy_timeout_s=busy_timeout_s,
    )
