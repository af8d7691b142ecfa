"""The main process's side of the warm parent's socket."""

from __future__ import annotations

import asyncio
import json
import pickle
import socket
import sys
from collections.abc import Callable

from agent.worker.program import Program, ProgramError

__all__ = ["WarmParent"]

WARM_LIMIT_S = 60.0
FORK_LIMIT_S = 10.0


class WarmParent:
    def __init__(
        self, process: asyncio.subprocess.Process, sock: socket.socket, on_exit: Callable[[int, int], None]
    ) -> None:
        self._process = process
        self._sock = sock
        self._on_exit = on_exit
        self._forks: dict[str, asyncio.Future[int]] = {}
        self._warm: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.dead = False
        asyncio.get_running_loop().add_reader(sock, self._readable)

    @property
    def pid(self) -> int:
        return self._process.pid

    @classmethod
    async def start(cls, program: Program, on_exit: Callable[[int, int], None]) -> WarmParent:
        """`on_exit(pid, status)` is called for each fork that has ended. Raises ProgramError when the program cannot be
        loaded, OSError or TimeoutError when there is no process."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "agent.worker.warm", str(theirs.fileno()),
                pass_fds=[theirs.fileno()], stdin=asyncio.subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        finally:
            theirs.close()
        ours.setblocking(False)
        warm = cls(process, ours, on_exit)
        try:
            ours.send(pickle.dumps(program))
            async with asyncio.timeout(WARM_LIMIT_S):
                await warm._warm
        except BaseException:
            await warm.close()
            raise
        return warm

    async def fork(self, name: str, process_end: socket.socket) -> int:
        """The new process's id. Raises OSError when the warm parent is gone."""
        if self.dead:
            raise ConnectionResetError("the warm parent is gone")
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._forks[name] = done
        socket.send_fds(self._sock, [json.dumps({"fork": name}).encode()], [process_end.fileno()])
        async with asyncio.timeout(FORK_LIMIT_S):
            return await done

    async def close(self) -> None:
        """Idempotent."""
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
        if "warm" in message and not self._warm.done():
            self._warm.set_result(None)
        elif "failed" in message and not self._warm.done():
            self._warm.set_exception(ProgramError(str(message["failed"])))
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
