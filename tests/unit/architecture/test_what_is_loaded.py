"""What long-running processes must not load, for their memory's sake."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import asyncio, sys
from datetime import UTC, datetime

sys.modules["greenlet"] = sys.modules["aiosqlite"] = None  # as where they are not installed
import gateway.app
import gateway.livekit_jobs.worker
from gateway.store import CallStore
from telephony.call import CallInfo, Direction
from gateway.record import CallEvents, CallOpened

async def use() -> None:
    info = CallInfo("c1", Direction.INBOUND, "+15550100", None, "local")
    store = await CallStore.open(sys.argv[1], migrate_apart=True)
    await store.apply([CallOpened.of(info, started_at=datetime.now(UTC)), CallEvents(call_id="c1", events=({},))])
    await store.fail_open()
    assert [call.outcome for call in (await store.list_calls()).calls] == ["gateway_lost"]
    assert len((await store.get_call("c1")).events) == 1
    await store.close()

asyncio.run(use())
print([name for name in ("sqlalchemy.orm", "sqlalchemy.ext.asyncio", "alembic") if name in sys.modules])
"""


def test_the_store_works_without_the_mapper_and_its_asyncio_extension(tmp_path: Path) -> None:
    """`sqlalchemy.orm`, which the extension needs too, is 6 MiB in each process that opens the store."""
    url = f"sqlite:///{tmp_path}/calls.db"
    done = subprocess.run([sys.executable, "-c", PROGRAM, url], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stderr
