"""Starts, watches, drains and replaces call workers.

Workers are forked by a warm parent (agent.warm). A worker is lost when its control channel closes or its
heartbeat stops; it is killed if it still runs, its calls are reported to `SupervisorEvents.worker_lost`, and another
one is forked. When the warm parent itself dies its workers keep running and a new warm parent is started.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import structlog

from agent.warm.asking import AskLost
from agent.warm.forks import ParentInUse, end_forks, watch_forks
from gateway.config import PortRange, Settings
from gateway.control import Blocked, Channel, Heartbeat, Message, Ready, Record
from gateway.warm_parent import OnExit, WarmWorkers, WorkerProcess, WorkerSource

__all__ = ["Supervisor", "SupervisorEvents", "WorkerState", "rtp_slice"]

log = structlog.get_logger(__name__)

WorkerAnswers = Callable[[str, Any], Awaitable[Mapping[str, Any]]]  # (worker's name, body) -> answer

HEARTBEAT_LIMIT_S = 5.0
WATCH_EVERY_S = 1.0
READY_LIMIT_S = 20.0
SETTLED_S = 10.0  # a worker that lived this long did not die of its start
BACKOFF_FIRST_S = 0.2
BACKOFF_MOST_S = 10.0


def rtp_slice(ports: PortRange, index: int, count: int) -> tuple[int, int]:
    """The part of the RTP range (both ends included) that belongs to worker `index` of `count`; starts even."""
    size = len(ports) // count // 2 * 2
    start = ports.first + index * size
    return start, start + size - 1


class SupervisorEvents(Protocol):
    """Receives the supervisor's events. Called on the loop."""

    def worker_ready(self, name: str, sip_port: int, slots: int) -> None: ...

    def worker_lost(self, name: str, why: str) -> None: ...

    def worker_record(self, name: str, body: dict[str, Any]) -> None: ...

    def worker_heartbeat(self, name: str, legs: set[str], lingering: int, unannounced: Iterable[str]) -> None: ...


@dataclass(slots=True)
class WorkerState:
    name: str
    index: int
    channel: Channel
    started_at: float
    process: WorkerProcess | None = None  # None: it is being forked
    ready: bool = False
    heard_at: float = 0.0
    loop_lag_ms: float = 0.0
    blocked_by: str | None = None  # the function blocking its event loop, "" if unknown

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()

    @property
    def why_lost(self) -> str:
        ended = "the worker's process ended"
        return ended if self.blocked_by is None else f"{ended}: {self.blocked_by or 'something'} blocked its event loop"

    @property
    def pid(self) -> int:
        return 0 if self.process is None else self.process.pid


class Supervisor:
    def __init__(
        self,
        settings: Settings,
        events: SupervisorEvents,
        start_source: Callable[[Settings, OnExit], Awaitable[WorkerSource]] = WarmWorkers.start,
    ) -> None:
        self._settings = settings
        self._events = events
        self._count = settings.worker_count()
        self._warm: ParentInUse[WorkerSource] = ParentInUse(lambda: start_source(settings, self._exited))
        self._workers: dict[str, WorkerState] = {}
        self._topics: dict[str, WorkerAnswers] = {}
        self._generation = 0
        self._failures: dict[int, int] = {}
        self._stopping = False
        self._tasks: set[asyncio.Task[None]] = set()
        self.restarts = 0

    @property
    def workers(self) -> dict[str, WorkerState]:
        """A view: name -> state."""
        return self._workers

    @property
    def wanted(self) -> int:
        return self._count

    async def start(self) -> None:
        """Start all workers; returns when they have been forked (each reports when it is ready)."""
        await self._warm.get()
        for index in range(self._count):
            await self._fork(index)
        self._spawn(watch_forks(self._workers.values, _patience_s, _tell_silence, every_s=WATCH_EVERY_S))

    def send(self, name: str, message: Message) -> bool:
        """False when there is no such worker."""
        worker = self._workers.get(name)
        if worker is None:
            return False
        worker.channel.send(message)
        return True

    async def ask(self, name: str, topic: str, body: Mapping[str, Any], *, timeout_s: float) -> Mapping[str, Any]:
        """Raises Refused, AskTimedOut, AskLost (agent.warm.asking)."""
        worker = self._workers.get(name)
        if worker is None:
            raise AskLost(f"{topic}: no such worker {name}")
        return await worker.channel.asking.ask(topic, body, timeout_s=timeout_s)

    def serve(self, topic: str, answer: WorkerAnswers) -> None:
        """From now on `answer` handles any worker's questions about `topic`, with the worker's name."""
        self._topics[topic] = answer
        for worker in self._workers.values():
            self._serve(worker, topic)

    def _serve(self, worker: WorkerState, topic: str) -> None:
        worker.channel.asking.serve(topic, partial(self._topics[topic], worker.name))

    def broadcast(self, message: Message) -> None:
        for worker in self._workers.values():
            worker.channel.send(message)

    async def stop(self, message: Message, limit_s: float) -> None:
        """Send `message` to all, wait for them to exit, and kill the rest after `limit_s`."""
        self._stopping = True
        self.broadcast(message)
        await end_forks(self._workers.values, limit_s)
        for task in self._tasks:
            task.cancel()
        await self._warm.close()

    async def _fork(self, index: int) -> None:
        warm = await self._warm.get()
        self._generation += 1
        name = f"w{index + 1}-{self._generation}"
        ours, theirs = socket.socketpair()
        channel = await Channel.open(
            ours, lambda message: self._received(name, message), lambda: self._channel_closed(name)
        )
        now = asyncio.get_running_loop().time()
        worker = WorkerState(name, index, channel, started_at=now, heard_at=now)
        self._workers[name] = worker
        for topic in self._topics:
            self._serve(worker, topic)
        try:
            worker.process = await warm.fork(name, rtp_slice(self._settings.rtp.ports, index, self._count), theirs)
        except OSError as error:
            log.error("fork_failed", worker=name, error=str(error))
            channel.close()
        finally:
            theirs.close()

    def _received(self, name: str, message: Message) -> None:
        worker = self._workers.get(name)
        if worker is None:
            return
        worker.heard_at = asyncio.get_running_loop().time()
        if isinstance(message, Ready):
            worker.ready = True
            log.info("worker_ready", worker=name, pid=message.pid, slots=message.slots)
            self._events.worker_ready(name, message.sip_port, message.slots)
        elif isinstance(message, Heartbeat):
            worker.loop_lag_ms = message.loop_lag_ms
            worker.blocked_by = None
            self._events.worker_heartbeat(name, set(message.legs), message.lingering, message.unannounced)
        elif isinstance(message, Blocked):
            worker.loop_lag_ms = message.blocked_ms
            if worker.blocked_by is None:
                worker.blocked_by = message.function
                log.warning("worker_blocked", worker=name, function=message.function, blocked_ms=message.blocked_ms)
        elif isinstance(message, Record):
            self._events.worker_record(name, dict(message.body))

    def _channel_closed(self, name: str) -> None:
        worker = self._workers.pop(name, None)
        if worker is None:
            return
        if not self._stopping:
            log.warning("worker_lost", worker=name, pid=worker.pid, why=worker.why_lost)
        worker.kill()
        if worker.ready:
            self._events.worker_lost(name, worker.why_lost)
        if not self._stopping:
            self.restarts += 1
            self._spawn(self._replace(worker))

    async def _replace(self, lost: WorkerState) -> None:
        lived = asyncio.get_running_loop().time() - lost.started_at
        failures = 0 if lost.ready and lived > SETTLED_S else self._failures.get(lost.index, 0) + 1
        self._failures[lost.index] = failures
        if failures > 1:
            await asyncio.sleep(min(BACKOFF_FIRST_S * 2.0**failures, BACKOFF_MOST_S))
        while True:
            try:
                await self._fork(lost.index)
                return
            except OSError as error:  # no warm parent; TimeoutError is one of them
                log.error("worker_not_replaced", index=lost.index, error=repr(error))
            await asyncio.sleep(BACKOFF_MOST_S)

    def _exited(self, pid: int, status: int) -> None:
        if status and not self._stopping:
            log.warning("worker_exited", pid=pid, status=status)

    def _spawn(self, coro: Any) -> None:
        task = asyncio.ensure_future(coro)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _patience_s(worker: WorkerState) -> float:
    return HEARTBEAT_LIMIT_S if worker.ready else READY_LIMIT_S


def _tell_silence(worker: WorkerState, silent_s: float) -> None:
    log.error("worker_unresponsive", worker=worker.name, pid=worker.pid, silent_s=silent_s)
