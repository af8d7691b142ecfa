"""Fakes of the edge and the workers for `gateway.reconciler`, `gateway.drain` and `gateway.supervisor`."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from gateway.control import Channel, Heartbeat, Message, Ready, Stop

__all__ = ["FakeEdge", "FakeWorkerProcess", "FakeWorkerSource", "FakeWorkers"]


class FakeEdge:
    """Implements `EdgeControl`. `words`: leg id -> its last word, given out once."""

    def __init__(self) -> None:
        self.did: list[tuple[str, ...]] = []
        self.words: dict[str, tuple[str, int, bytes]] = {}

    def add_worker(self, name: str, host: str, port: int) -> None:
        self.did.append(("add", name))

    def end_worker_legs(self, name: str) -> None:
        self.did.append(("end worker", name))

    def remove_worker(self, name: str) -> None:
        self.did.append(("remove", name))

    def last_word(self, leg_id: str) -> tuple[str, int, bytes] | None:
        return self.words.pop(leg_id, None)

    def close_leg(self, leg_id: str, sip_status: int, cause: str) -> None:
        self.did.append(("close leg", leg_id, str(sip_status), cause))

    def end_leg(self, leg_id: str) -> bool:
        self.did.append(("end leg", leg_id))
        return True


class FakeWorkers:
    """Implements `WorkerControl`. `broadcasts` has the seconds of `now` with each message."""

    def __init__(self, now: Callable[[], float], wanted: int = 1) -> None:
        self.wanted = wanted
        self.sent: list[tuple[str, Message]] = []
        self.broadcasts: list[tuple[float, Message]] = []
        self._now = now

    def send(self, name: str, message: Message) -> bool:
        self.sent.append((name, message))
        return True

    def broadcast(self, message: Message) -> None:
        self.broadcasts.append((self._now(), message))


class FakeWorkerProcess:
    """Implements `WorkerProcess`, with its end of the channel. `beating`: it sends a heartbeat every second."""

    def __init__(self, name: str, pid: int, rtp: tuple[int, int]) -> None:
        self.name, self.pid, self.rtp = name, pid, rtp
        self.killed = 0
        self.beating = True
        self.stops = True
        self.came: list[Message] = []
        self.channel: Channel | None = None
        self._beat: asyncio.Task[None] | None = None

    async def begin(self, sock: socket.socket, *, ready: bool) -> None:
        self.channel = await Channel.open(sock, self._received, lambda: None)
        if ready:
            self.channel.send(Ready(self.pid, 7000 + self.pid, 4))
            self._beat = asyncio.create_task(self._beats())

    async def _beats(self) -> None:
        while True:
            await asyncio.sleep(1)
            if self.beating and self.channel is not None:
                self.channel.send(Heartbeat(["c1"], 0.5))

    def _received(self, message: Message) -> None:
        self.came.append(message)
        if isinstance(message, Stop) and self.stops:
            self.die()

    def die(self) -> None:
        if self._beat is not None:
            self._beat.cancel()
        if self.channel is not None:
            self.channel.close()

    def kill(self) -> None:
        self.killed += 1
        self.die()


class FakeWorkerSource:
    """Implements `WorkerSource`. `failures`: exceptions of the next forks; `stillborn`: number of forks that never
    become ready."""

    def __init__(self) -> None:
        self.dead = False
        self.closed = 0
        self.workers: list[FakeWorkerProcess] = []
        self.forked_at: list[float] = []
        self.failures: list[Exception] = []
        self.stillborn = 0
        self.die_at_once = 0

    async def fork(self, name: str, rtp: tuple[int, int], worker_end: socket.socket) -> FakeWorkerProcess:
        self.forked_at.append(asyncio.get_running_loop().time())
        if self.failures:
            raise self.failures.pop(0)
        worker = FakeWorkerProcess(name, len(self.workers) + 1, rtp)
        self.workers.append(worker)
        self.stillborn -= 1
        await worker.begin(worker_end.dup(), ready=self.stillborn < 0)
        if self.die_at_once:
            self.die_at_once -= 1
            worker.die()
            await asyncio.sleep(0.05)  # it dies before the answer to the fork arrives
        return worker

    async def close(self) -> None:
        self.closed += 1
