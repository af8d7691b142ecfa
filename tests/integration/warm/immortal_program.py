"""What a fork copies when it uses objects that were there before it; prints what it saw."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import types
import weakref
from pathlib import Path

from agent.warm.immortal import make_immortal


class Thing:
    def __init__(self, number: int) -> None:
        self.name = f"thing {number}"


def told() -> str:
    """A function whose constants are found through its code."""
    return "a constant of " + "the function"


async def running() -> int:
    made = make_immortal()
    await asyncio.sleep(0)
    return made


def private_kib() -> int:
    rollup = Path("/proc/self/smaps_rollup").read_text()
    return next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Private_Dirty:"))


def in_fork(things: list[Thing]) -> dict[str, object]:
    """Each thing and its name have been used: how much of that is the fork's own now."""
    before = private_kib()
    used = sum(len(thing.name) for thing in things)
    grown = private_kib() - before
    things[0].name = "another"
    fleeting = Thing(1)
    gone = weakref.ref(fleeting)
    del fleeting
    gc.collect()
    return {"used": used, "grown_kib": grown, "changed": things[0].name, "freed": gone() is None, "told": told()}


def main() -> None:
    things = [Thing(number) for number in range(50_000)]
    suspended = (each for each in "ab")
    next(suspended)
    made = asyncio.run(running())
    immortal = [
        sys.getrefcount(each) == sys.getrefcount(None)
        for each in (things, things[7], things[7].name, Thing, told, told.__code__, told.__code__.co_consts, types)
    ]
    gc.freeze()
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(write, json.dumps(in_fork(things)).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    fork = json.loads(os.read(read, 4096))
    again = make_immortal()
    print(json.dumps({"made": made, "immortal": immortal, "rest": "".join(suspended), "again": again, **fork}))


if __name__ == "__main__":
    main()
