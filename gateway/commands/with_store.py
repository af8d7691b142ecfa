"""How commands that look after the store open it, and say what is wrong with it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.config import Settings
    from gateway.store import CallStore

__all__ = ["settings_for", "with_store"]


def settings_for(config: str) -> Settings:
    """The gateway's settings, with logging as these commands have it. What they write is closed to other users. Raises
    ConfigError."""
    from gateway import logs
    from gateway.config import load_settings
    from gateway.private_files import close_to_others

    close_to_others()
    settings = load_settings(config)
    logs.configure("warning", settings.log.format)
    return settings


def with_store(
    command: str, settings: Settings, work: Callable[[CallStore], Awaitable[int]], *, must_exist: bool = True
) -> int:
    """`work`'s exit code; 1 when the store cannot be used. `must_exist`: a SQLite file is not made."""
    from gateway.store import StoreError, open_store

    if must_exist and settings.store.sqlite and not settings.store_path.exists():
        print(f"trunkline {command}: no store at {settings.store_path}", file=sys.stderr)
        return 1

    async def run() -> int:
        store = await open_store(settings, busy_timeout_s=30.0)
        try:
            return await work(store)
        finally:
            await store.close()

    try:
        return asyncio.run(run())
    except (StoreError, OSError) as error:
        print(f"trunkline {command}: {error}", file=sys.stderr)
        return 1
