"""Imports a list of a million rows: `python -m bench.campaign_import` (asked: 2 minutes, 300 MiB)."""

from __future__ import annotations

import argparse
import asyncio
import random
import resource
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from gateway.campaigns.importing import Imported, import_list
from gateway.campaigns.order import CampaignOrder, VariableRule
from gateway.store import CallStore

AREAS = (212, 305, 214, 303, 415, 808, 602, 907, 317, 850, 716, 503)


def write_list(path: Path, rows: int) -> None:
    """One row in a thousand is broken."""
    rng = random.Random(1)
    with path.open("w") as file:
        file.write("id,name,phone,phone 2\n")
        for index in range(rows):
            number = f"+1{rng.choice(AREAS)}55{index % 100_000:05d}" if index % 1000 else "none"
            file.write(f"{index},Ada Lovelace {index},{number},\n")


async def measured(rows: int, url: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "list.csv"
        write_list(path, rows)
        store = await CallStore.open(url or f"sqlite:///{folder}/calls.db")
        order = CampaignOrder(name="bench", persona="bench.Caller", variables={"name": VariableRule(required=True)})
        now = datetime.now(UTC)
        await store.campaign_admin.create("bench", order, now)
        began, cpu = time.monotonic(), time.process_time()

        def progress(done: Imported) -> None:
            if done.rows % 100_000 == 0:
                mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
                print(f"{done.rows} rows, {time.monotonic() - began:.1f} s, {mib:.0f} MiB", flush=True)

        done = await import_list(
            path,
            order,
            lambda contacts: store.campaign_admin.add("bench", contacts, now),
            refused=Path(folder) / "refused.csv",
            progress=progress,
        )
        print(f"{done}: {time.monotonic() - began:.1f} s, {time.process_time() - cpu:.1f} s of CPU")
        print(f"refused: {(Path(folder) / 'refused.csv').read_text().splitlines()[1]}")
        await store.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--store", default="", help="its address; default: SQLite in a folder of its own")
    options = parser.parse_args()
    asyncio.run(measured(options.rows, options.store))
