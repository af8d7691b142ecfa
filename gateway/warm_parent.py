"""The gateway's side of the warm parent (gateway.callworker.warm): starts it, has it fork workers."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import signal
import socket
import sys
from collections.abc import Callable
from typing import Protocol

from gateway.config import Settings

__all__ = ["ForkedWorker", "OnExit", "WarmParent", "WorkerProcess", "WorkerSource"]

OnExit = Callable[[int, int], None]  # pid, status as os.waitstatus_to_exitcode gives it


class WorkerProcess(Protocol):
    """A worker that has been started."""

    @property
    def pid(self) -> int: ...

    def kill(self) -> None:
        """Whatever it is doing. Idempotent, also when it has ended by itself."""


class WorkerSource(Protocol):
    """Where workers come from."""

    @property
    def dead(self) -> bool:
        """It can't start any more."""

    async def fork(self, name: str, rtp: tuple[int, int], worker_end: socket.socket) -> WorkerProcess:
        """Start a worker that is told of its calls over `worker_end`. Raises OSError, TimeoutError among them."""

    async def close(self) -> None:
        """Its workers live on."""


class ForkedWorker:
    """A pid may be given to another process once ours has ended; a pidfd can't."""

    def __init__(self, pid: int) -> None:
        """Raises ProcessLookupError when it has ended and been reaped already."""
        self.pid = pid
        self._pidfd = os.pidfd_open(pid)

    def kill(self) -> None:
        if self._pidfd < 0:
            return
        try:
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        except ProcessLookupError:
            pass
        os.close(self._pidfd)
        self._pidfd = -1


class WarmParent:
    """Implements `WorkerSource`: our side of the warm parent's socket."""

    def __init__(self, process: asyncio.subprocess.Process, sock: socket.socket, on_exit: OnExit) -> None:
        self._process = process
        self._sock = sock
        self._on_exit = on_exit
        self._forks: dict[str, asyncio.Future[int]] = {}
        self._warm: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.dead = False
        asyncio.get_running_loop().add_reader(sock, self._readable)

    @classmethod
    async def start(cls, settings: Settings, on_exit: OnExit) -> WarmParent:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "gateway.callworker.warm", str(theirs.fileno()),
                pass_fds=[theirs.fileno()], stdin=asyncio.subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        finally:
            theirs.close()
        ours.setblocking(False)
        warm = cls(process, ours, on_exit)
        ours.send(pickle.dumps(settings))
        try:
            async with asyncio.timeout(60):
                await warm._warm
        except BaseException:
            await warm.close()
            raise
        return warm

    async def fork(self, name: str, rtp: tuple[int, int], worker_end: socket.socket) -> WorkerProcess:
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._forks[name] = done
        socket.send_fds(self._sock, [json.dumps({"fork": name, "rtp": list(rtp)}).encode()], [worker_end.fileno()])
        async with asyncio.timeout(10):
            return ForkedWorker(await done)

    async def close(self) -> None:
        self._died()
        try:
            async with asyncio.timeout(3):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

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
        if "warm" in message:
            self._warm.set_result(None)
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
