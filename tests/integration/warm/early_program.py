"""A program that forks its warm parent early, as `trunkline serve` and `trunkline worker` do; prints what it saw."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from typing import Any

import warm_programs

from agent.warm.client import WarmParent, fork_early


async def asked(warm: WarmParent, name: str) -> dict[str, Any]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(5)
        await warm.fork(name, theirs)
        await asyncio.get_running_loop().run_in_executor(None, ours.sendall, b"tell")
        facts: dict[str, Any] = json.loads(await asyncio.to_thread(ours.recv, 4096))
    return facts


async def main() -> None:
    first = await WarmParent.start(warm_programs.Obedient(), lambda pid, status: None)
    early = await asked(first, "p1")
    os.kill(first.pid, signal.SIGKILL)
    while not first.dead:
        await asyncio.sleep(0.01)
    await first.close()
    second = await WarmParent.start(warm_programs.Obedient(), lambda pid, status: None)
    anew = await asked(second, "p2")
    await second.close()
    print(json.dumps({"early": early, "anew": anew, "first": first.pid, "second": second.pid}))


if __name__ == "__main__":
    print("told before the fork", end="")
    warm_programs.before.append(os.getpid())
    fork_early()
    if sys.argv[1:] == ["unused"]:
        sys.exit(0)
    print()
    asyncio.run(main())
