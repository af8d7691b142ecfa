"""Real warm parents and their forks: what is reported, what is shared, and what is left behind."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import select
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from warm_programs import Obedient

from agent.warm.client import ForkedProcess, WarmParent, fork_early
from agent.warm.parent import NAME, LoadFailed

HERE = Path(__file__).parent
ROOT = HERE.parents[2]


async def until(condition: Callable[[], object], what: str, limit_s: float = 5.0) -> None:
    deadline = asyncio.get_running_loop().time() + limit_s
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, f"{what} did not come"
        await asyncio.sleep(0.01)


class Owner:
    """A warm parent, and our ends of its forks' channels."""

    def __init__(self) -> None:
        self.exits: dict[int, int] = {}
        self.channels: dict[str, socket.socket] = {}
        self.warm: WarmParent

    async def start(self) -> Owner:
        self.warm = await WarmParent.start(Obedient(), self.exits.__setitem__)
        return self

    async def fork(self, name: str, **details: Any) -> ForkedProcess:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self.channels[name] = ours
        with theirs:
            return await self.warm.fork(name, theirs, details)

    async def tell(self, name: str, word: str) -> None:
        await asyncio.get_running_loop().sock_sendall(self.channels[name], word.encode())

    async def facts(self, name: str) -> dict[str, Any]:
        await self.tell(name, "tell")
        async with asyncio.timeout(5):
            told: dict[str, Any] = json.loads(await asyncio.get_running_loop().sock_recv(self.channels[name], 4096))
        return told

    async def close(self) -> None:
        for channel in self.channels.values():
            channel.close()
        await self.warm.close()


@pytest.fixture
async def owner(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Owner]:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(ROOT), str(HERE))))
    owner = await Owner().start()
    yield owner
    await owner.close()


async def test_forks_share_what_was_loaded_and_hold_nothing_else(owner: Owner) -> None:
    processes = [await owner.fork(name, rtp=[1, 2]) for name in ("w1", "w2")]
    for name, process in zip(("w1", "w2"), processes, strict=True):
        facts = await owner.facts(name)
        assert (facts["pid"], facts["parent"]) == (process.pid, owner.warm.pid)
        assert (facts["name"], facts["details"], facts["comm"]) == (name, {"rtp": [1, 2]}, f"trunkline {name}")
        assert facts["loaded"] == [owner.warm.pid]
        assert facts["sockets"] == 1, "its own channel, and none of its parent's or siblings'"
        process.kill()
    assert psutil.Process(owner.warm.pid).name() == NAME


@pytest.mark.parametrize(("word", "status"), [("0", 0), ("3", 3), ("raise", 1), ("abort", -9)])
async def test_how_a_fork_ended_is_told_and_concerns_no_other(owner: Owner, word: str, status: int) -> None:
    process, other = await owner.fork("w1"), await owner.fork("w2")
    await owner.tell("w1", word)
    await until(lambda: process.pid in owner.exits, "the exit")
    assert owner.exits == {process.pid: status}
    assert not psutil.pid_exists(process.pid), "no zombie"
    process.kill()
    process.kill()
    assert (await owner.facts("w2"))["pid"] == other.pid
    third = await owner.fork("w3")
    assert (await owner.facts("w3"))["loaded"] == [owner.warm.pid]
    for each in (other, third):
        each.kill()
    await until(lambda: owner.exits == {process.pid: status, other.pid: -9, third.pid: -9}, "those that were killed")


async def test_forks_see_that_their_owner_is_gone(owner: Owner) -> None:
    process = await owner.fork("w1")
    owner.channels["w1"].close()
    await until(lambda: owner.exits == {process.pid: 0}, "its end")
    process.kill()


async def test_a_warm_parent_that_dies_is_noticed_and_its_forks_live_on(owner: Owner) -> None:
    process = await owner.fork("w1")
    os.kill(owner.warm.pid, signal.SIGSTOP)
    asked = asyncio.ensure_future(owner.fork("w2"))
    await asyncio.sleep(0)
    os.kill(owner.warm.pid, signal.SIGKILL)
    with pytest.raises(ConnectionResetError):
        await asked
    assert owner.warm.dead
    await until(lambda: not psutil.pid_exists(owner.warm.pid), "that it was fetched")
    with pytest.raises(ConnectionResetError):
        await owner.fork("w3")
    assert (await owner.facts("w1"))["pid"] == process.pid
    process.kill()


async def test_closing_leaves_nothing_open(owner: Owner) -> None:
    handles = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        more = await Owner().start()
        (await more.fork("w1")).kill()
        await more.close()
        await more.warm.close()
        assert not psutil.pid_exists(more.warm.pid)
    assert len(os.listdir("/proc/self/fd")) == handles


@pytest.mark.parametrize(
    ("fails", "told", "on_stderr"),
    [
        ("as it says", "LoadFailed: there is no such persona", ""),
        ("by accident", "RuntimeError: by accident", "Traceback"),
    ],
)
async def test_a_program_that_cannot_be_loaded(
    owner: Owner, capfd: pytest.CaptureFixture[str], fails: str, told: str, on_stderr: str
) -> None:
    before = psutil.Process().children()  # other tests' servers among them
    with pytest.raises(LoadFailed, match=told):
        await WarmParent.start(Obedient(fails), owner.exits.__setitem__)
    err = capfd.readouterr().err
    assert on_stderr in err
    assert ("Traceback" in err) == bool(on_stderr)
    assert psutil.Process().children() == before


def early(*arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join((str(ROOT), str(HERE)))
    return subprocess.run(
        [sys.executable, str(HERE / "early_program.py"), *arguments],
        capture_output=True, text=True, timeout=30, check=True, env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip


def test_a_warm_parent_that_was_forked_early_has_what_was_there_and_its_successor_has_not() -> None:
    done = early()
    words, _, told = done.stdout.partition("\n")
    assert words == "told before the fork", "what was buffered is written once"
    saw = json.loads(told)
    assert len(saw["early"]["before"]) == 1
    assert saw["early"]["loaded"] == [saw["first"]] and saw["early"]["parent"] == saw["first"]
    assert saw["anew"]["before"] == []
    assert saw["anew"]["loaded"] == [saw["second"]] != [saw["first"]]
    assert saw["early"]["sockets"] == saw["anew"]["sockets"] == 1
    assert done.stderr == ""


def test_an_early_fork_that_nobody_needed_ends_with_its_program() -> None:
    done = early("unused")
    assert (done.stdout, done.stderr) == ("told before the fork", "")


async def test_a_process_with_threads_is_not_forked() -> None:
    await asyncio.to_thread(lambda: None)  # its pool keeps the thread
    children = psutil.Process().children()
    fork_early()
    assert psutil.Process().children() == children


def test_an_owner_that_goes_without_reading_leaves_no_noise() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    channel, process_end = socket.socketpair()
    with theirs, channel, process_end:
        warm = subprocess.Popen(
            [sys.executable, "-m", "agent.warm.parent", str(theirs.fileno())],
            cwd=ROOT,
            env={"PYTHONPATH": f"{ROOT}:{HERE}"},
            pass_fds=[theirs.fileno()],
            stderr=subprocess.PIPE,
        )
        theirs.close()
        with ours:
            ours.send(pickle.dumps(Obedient()))
            assert json.loads(ours.recv(1000)) == {"warm": True}
            socket.send_fds(ours, [json.dumps({"fork": "p1", "details": {}}).encode()], [process_end.fileno()])
            select.select([ours], [], [], 10)  # it has answered, and nobody will read that
        channel.close()
        process_end.close()  # the fork ends, too: it has the same standard error
        _, said = warm.communicate(timeout=10)
        assert (warm.returncode, said) == (0, b"")
