from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from gateway.store import CallStore


@pytest_asyncio.fixture
async def store(tmp_path: Path) -> AsyncIterator[CallStore]:
    store = await CallStore.open(f"sqlite:///{tmp_path}/calls.db")
    yield store
    await store.close()
