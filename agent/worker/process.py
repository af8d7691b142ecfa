"""A job process: one asyncio loop, one or more jobs, told what to do over its control channel."""

from __future__ import annotations

import asyncio
import gc
import inspect
import logging
import os
import socket
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from agent.stopping import leave_ending_to_the_owner
from agent.warm.lasting import run_to_end
from agent.warm.memory import use_few_arenas
from agent.worker.channel import (
    Beat,
    Channel,
    EndJob,
    JobEnded,
    JobSays,
    Message,
    ProcessReady,
    RunJob,
    Stop,
    TellJob,
)
from agent.worker.job import JobContext, JobProcess
from agent.worker.log_fields import LOG_FORMAT, add_log_fields
from agent.worker.program import Program

__all__ = ["JobHost", "run"]

BEAT_S = 0.5
WIND_UP_S = 15.0  # for an entrypoint to end after its job was ended
STOP_LIMIT_S = 4.0  # for all jobs together when the worker stops
GOODBYE_S = 7.0  # before that, if the main process has died
_log = logging.getLogger(__name__)


def run(sock: socket.socket, program: Program, name: str) -> int:
    """In a freshly forked child: run jobs until the worker says stop or dies."""
    leave_ending_to_the_owner()
    add_log_fields()
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)  # unless the program has its own
    use_few_arenas(1)
    gc.set_threshold(50_000, 20, 100)  # a collection in the 20 ms path would be audible
    host = JobHost(program, JobProcess(name, program.arguments, program.keys))
    return run_to_end(host.serve(sock))


class JobHost:
    def __init__(self, program: Program, process: JobProcess, *, ready: Callable[[], object] | None = None) -> None:
        """`ready` is called before the first job; None: start LiveKit's native library."""
        self._program = program
        self._process = process
        self._ready = ready if ready is not None else _start_native
        self._entry = program.entry()
        self._channel: Channel | None = None
        self._jobs: dict[str, JobContext] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stop = asyncio.Event()
        self._orphaned = False
        self._said_first: dict[str, Mapping[str, Any]] = {}  # by the jobs that run
        self._unsaid: list[Mapping[str, Any]] = []  # from jobs, after the main process has died

    async def serve(self, sock: socket.socket) -> int:
        self._channel = await Channel.open(sock, self._received, self._worker_gone)
        if self._program.prewarm is not None:
            warmed = self._program.prewarm.resolve()(self._process)
            if inspect.isawaitable(warmed):
                await warmed
        self._ready()
        gc.collect()
        gc.freeze()
        self._send(ProcessReady(os.getpid()))
        beat = asyncio.create_task(self._beat(), name="beat")
        await self._stop.wait()
        if self._orphaned and self._jobs:
            await self._say_goodbye()
        for context in list(self._jobs.values()):
            context.shutdown("the worker has stopped")
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=STOP_LIMIT_S)
        beat.cancel()
        if self._unsaid and self._program.orphaned is not None:
            await self._program.orphaned.resolve()(self._process, tuple(self._unsaid))
        self._channel.close()
        return 0

    def _worker_gone(self) -> None:
        if not self._stop.is_set():
            self._orphaned = True
            self._unsaid += self._said_first.values()  # the main process may not have written it
            _log.error("the worker's main process has died: %d jobs are ended here", len(self._jobs))
        self._stop.set()

    async def _say_goodbye(self) -> None:
        """Without a main process these jobs could neither be resumed nor ended, so they don't continue."""
        for context in list(self._jobs.values()):
            context.drain("the worker's main process has died")
        await asyncio.wait(self._tasks, timeout=GOODBYE_S)

    def _received(self, message: Message) -> None:
        match message:
            case RunJob():
                context = JobContext(message, self._process, self._send)
                self._jobs[message.job_id] = context
                self._spawn(self._run(message.job_id, context), f"job {message.job_id}")
            case EndJob(job_id=job_id, politely=politely, reason=reason):
                if job_id in self._jobs:
                    context = self._jobs[job_id]
                    (context.drain if politely else context.shutdown)(reason)
            case TellJob(job_id=job_id, body=body):
                if job_id in self._jobs:
                    self._jobs[job_id].told(body)
            case Stop():
                self._stop.set()
            case _:
                _log.error("the worker sent %s", type(message).__name__)

    async def _run(self, job_id: str, context: JobContext) -> None:
        error = ""
        context.enter()
        entry = asyncio.ensure_future(self._entry(context))
        try:
            await asyncio.wait({entry, context.over}, return_when=asyncio.FIRST_COMPLETED)
            if entry.done():
                entry.result()
                await context.over
        except Exception as failure:  # noqa: BLE001 - it is the user's code
            _log.exception("the entrypoint of job %s failed", job_id)
            error = f"{type(failure).__name__}: {failure}"
            context.shutdown(error)
        finally:
            if not entry.done():
                entry.cancel()
                await asyncio.wait({entry}, timeout=WIND_UP_S)
            if entry.done() and not entry.cancelled() and not error and entry.exception() is not None:
                error = repr(entry.exception())
            await context.run_callbacks()
            self._jobs.pop(job_id, None)
            self._said_first.pop(job_id, None)
            # Before leaving the room: LiveKit marks a job as failed when its agent has left.
            self._send(JobEnded(job_id, error))
            await context.leave()

    def _send(self, message: Message) -> None:
        if self._orphaned and isinstance(message, JobSays):
            self._unsaid.append(message.body)
        elif self._channel is not None:
            if isinstance(message, JobSays):
                self._said_first.setdefault(message.job_id, message.body)
            self._channel.send(message)

    async def _beat(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + BEAT_S
            await asyncio.sleep(BEAT_S)
            self._send(Beat(sorted(self._jobs), round(max(0.0, (loop.time() - due) * 1000), 1)))

    def _spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _start_native() -> None:
    """Its threads start before the first job, not within it."""
    from telephony.livekit.rtc_connection import load

    load()
