"""One warm parent that two owners use: who gets which forks and their ends, and what happens when it dies."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from test_warm_parent import HERE, ROOT, until
from warm_programs import Obedient

from agent.warm.client import ForkedProcess
from agent.warm.shared import SharedParent, ShareOfParent


class User:
    def __init__(self) -> None:
        self.exits: dict[int, int] = {}
        self.share: ShareOfParent
        self._channels: list[socket.socket] = []

    async def start(self, shared: SharedParent, program: str) -> None:
        self.share = await shared.start(program, self.exits.__setitem__)

    async def fork(self, name: str) -> tuple[ForkedProcess, dict[str, Any]]:
        """The process and what it tells of itself."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self._channels.append(ours)
        with theirs:
            process = await self.share.fork(name, theirs, {"of": name})
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(ours, b"tell")
        async with asyncio.timeout(5):
            return process, json.loads(await loop.sock_recv(ours, 4096))

    def hang_up(self) -> None:
        for channel in self._channels:
            channel.close()


@pytest.fixture
async def users(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[SharedParent, User, User]]:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(Path(ROOT)), str(HERE))))
    shared = SharedParent({"calls": Obedient(), "jobs": Obedient()})
    calls, jobs = User(), User()
    await calls.start(shared, "calls")
    await jobs.start(shared, "jobs")
    yield shared, calls, jobs
    for user in (calls, jobs):
        user.hang_up()
        await user.share.close()


async def test_forks_of_both_come_from_one_process(users: tuple[SharedParent, User, User]) -> None:
    _, calls, jobs = users
    (first, told), (second, also) = await calls.fork("w1"), await jobs.fork("j1")
    assert told["parent"] == also["parent"]
    assert told["details"] == {"of": "w1"} and also["details"] == {"of": "j1"}
    assert told["loaded"] == [told["parent"]] * 2, "both programs, in the parent"
    first.kill()
    await until(lambda: calls.exits == {first.pid: -9}, "the end of the first one's")
    second.kill()
    await until(lambda: jobs.exits == {second.pid: -9}, "the end of the second one's")
    assert calls.exits == {first.pid: -9}, "of its own only"


async def test_it_lives_until_its_last_user_has_left(users: tuple[SharedParent, User, User]) -> None:
    _, calls, jobs = users
    _, told = await calls.fork("w1")
    await calls.share.close()
    process, _ = await jobs.fork("j1")
    await jobs.share.close()
    assert not psutil.pid_exists(told["parent"])
    process.kill()


async def test_both_get_the_same_new_one_when_it_has_died(users: tuple[SharedParent, User, User]) -> None:
    shared, calls, jobs = users
    _, told = await calls.fork("w1")
    os.kill(told["parent"], signal.SIGKILL)
    await until(lambda: calls.share.dead and jobs.share.dead, "its death")
    for user, program in ((calls, "calls"), (jobs, "jobs")):
        await user.share.close()
        await user.start(shared, program)
    (_, of_calls), (_, of_jobs) = await calls.fork("w2"), await jobs.fork("j2")
    assert of_calls["parent"] == of_jobs["parent"] != told["parent"]
