"""The owner's side of a warm parent: starts it, has it fork processes, notices its end."""

from __future__ import annotations

import asyncio
import atexit
import gc
import json
import os
import pickle
import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from agent.warm.parent import LoadFailed, WarmProgram, serve_and_exit

__all__ = ["ForkSource", "ForkedProcess", "OnExit", "WarmParent", "fork_early"]

OnExit = Callable[[int, int], None]  # pid, status as os.waitstatus_to_exitcode gives it

WARM_LIMIT_S = 60.0
FORK_LIMIT_S = 10.0
CLOSE_LIMIT_S = 3.0


@dataclass(frozen=True, slots=True)
class _Born:
    """A process waiting to be told what to load."""

    pid: int
    control: socket.socket


_early: list[_Born] = []  # at most one; forks have none of their own


def fork_early() -> None:
    """Fork the process that the first `WarmParent.start` turns into a warm parent; later ones are new processes.
    Modules imported so far are then shared between this process and the warm parent with all its forks. Call it once,
    in a program's main, before it has an event loop or opens anything. Does nothing if there are threads, which would
    not survive a fork.
    """
    if threading.active_count() > 1 or _early:
        return
    gc.collect()
    gc.freeze()  # collecting would unshare
    ours, theirs = _control_pair()
    sys.stdout.flush()  # otherwise both would write the buffered output
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        ours.close()
        os.setsid()  # a terminal's Ctrl-C is for its owner
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        serve_and_exit(theirs)
    theirs.close()
    _early.append(_Born(pid, ours))
    atexit.register(_end_early)


def _end_early() -> None:
    """End it, as it was not needed."""
    for born in _early:
        born.control.close()
        os.waitpid(born.pid, 0)
    _early.clear()


class ForkedProcess:
    """A fork of a warm parent's. A pid may be reused once our process has ended; a pidfd is not."""

    def __init__(self, pid: int) -> None:
        """Raises ProcessLookupError if it has already ended and been reaped."""
        self.pid = pid
        self._pidfd = os.pidfd_open(pid)

    def kill(self) -> None:
        """Kill it. Idempotent. Call it even if it has already ended."""
        if self._pidfd < 0:
            return
        _kill(self._pidfd)
        os.close(self._pidfd)
        self._pidfd = -1


class ForkSource(Protocol):
    """A warm parent, or one user's share of it."""

    @property
    def dead(self) -> bool: ...

    async def fork(
        self, name: str, process_end: socket.socket, details: Mapping[str, Any] | None = None
    ) -> ForkedProcess: ...

    async def close(self) -> None: ...


class WarmParent:
    """Implements `ForkSource`. `dead` once it can no longer fork; its forks keep running."""

    def __init__(self, born: _Born, on_exit: OnExit) -> None:
        self.pid = born.pid
        self._sock = born.control
        self._on_exit = on_exit
        self._forks: dict[str, asyncio.Future[int]] = {}
        loop = asyncio.get_running_loop()
        self._warm: asyncio.Future[None] = loop.create_future()
        self._reaped = asyncio.Event()
        self.dead = False
        self._pidfd = os.pidfd_open(born.pid)
        self._sock.setblocking(False)
        loop.add_reader(self._pidfd, self._reap)
        loop.add_reader(self._sock, self._readable)

    @classmethod
    async def start(cls, program: WarmProgram, on_exit: OnExit) -> WarmParent:
        """`on_exit(pid, status)` is called for each fork that has ended. Raises LoadFailed if the program cannot be
        loaded, OSError or TimeoutError if no process was started."""
        warm = cls(_early.pop() if _early else _spawn(), on_exit)
        try:
            warm._sock.send(pickle.dumps(program))
            async with asyncio.timeout(WARM_LIMIT_S):
                await warm._warm
        except BaseException:
            await warm.close()
            raise
        return warm

    async def fork(
        self, name: str, process_end: socket.socket, details: Mapping[str, Any] | None = None
    ) -> ForkedProcess:
        """`details` are JSON values. Raises OSError if the warm parent is gone, TimeoutError."""
        if self.dead:
            raise ConnectionResetError("the warm parent is gone")
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._forks[name] = done
        request = json.dumps({"fork": name, "details": dict(details or {})}).encode()
        socket.send_fds(self._sock, [request], [process_end.fileno()])
        async with asyncio.timeout(FORK_LIMIT_S):
            return ForkedProcess(await done)

    async def close(self) -> None:
        """Idempotent."""
        self._died()
        try:
            async with asyncio.timeout(CLOSE_LIMIT_S):
                await self._reaped.wait()
        except TimeoutError:
            _kill(self._pidfd)
            await self._reaped.wait()

    def _reap(self) -> None:
        """It has ended. Its last messages may still be unread; the closed socket is noticed separately."""
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.waitpid(self.pid, 0)
        os.close(self._pidfd)
        self._reaped.set()

    def _readable(self) -> None:
        try:
            data = self._sock.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._died()
            return
        message = json.loads(data)
        if "warm" in message and not self._warm.done():
            self._warm.set_result(None)
        elif "failed" in message and not self._warm.done():
            self._warm.set_exception(LoadFailed(str(message["failed"])))
        elif "forked" in message:
            future = self._forks.pop(message["forked"], None)
            if future is not None and not future.done():
                future.set_result(int(message["pid"]))
        elif "exited" in message:
            self._on_exit(int(message["exited"]), int(message["status"]))

    def _died(self) -> None:
        if self.dead:
            return
        self.dead = True
        asyncio.get_running_loop().remove_reader(self._sock)
        self._sock.close()
        gone = ConnectionResetError("the warm parent is gone")
        for fork in self._forks.values():
            if not fork.done():
                fork.set_exception(gone)
        if not self._warm.done():
            self._warm.set_exception(gone)


def _control_pair() -> tuple[socket.socket, socket.socket]:
    """Whole messages, in order, with file descriptors in them."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def _spawn() -> _Born:
    """A new interpreter, which inherits only standard output and error and its socket."""
    ours, theirs = _control_pair()
    with theirs:
        number = 3
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-m", "agent.warm.parent", str(number)],
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, theirs.fileno(), number),
            ],
            setsid=True,
        )
    return _Born(pid, ours)


def _kill(pidfd: int) -> None:
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except ProcessLookupError:
        pass
