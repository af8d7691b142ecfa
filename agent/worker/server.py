"""`AgentServer`: a worker defined by a program, with the names of livekit-agents.

server = AgentServer()

@server.rtc_session(agent_name="clinic")
async def entrypoint(ctx: JobContext) -> None:
    await ctx.connect()
    session = AgentSession(...)
    await session.start(agent=Reception(), room=ctx.room)

if __name__ == "__main__":
    server.main()
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any, overload

from agent.stopping import on_stop_signals
from agent.worker.connection import HopelessConnection
from agent.worker.health import WorkerHttp
from agent.worker.job import JobContext, JobProcess
from agent.worker.load import Capacity
from agent.worker.log_fields import LOG_FORMAT, add_log_fields
from agent.worker.placement import PlacementSettings
from agent.worker.program import Program, ProgramError, Reference
from agent.worker.protocol import Registration
from agent.worker.requests import OnRequest
from agent.worker.worker import LiveKitAccount, Worker, WorkerSettings

__all__ = ["AgentServer", "WorkerCannotRun", "run_until_told", "work"]

Entrypoint = Callable[[JobContext], Awaitable[None]]
_log = logging.getLogger(__name__)


class WorkerCannotRun(Exception):
    """The worker cannot start, or cannot register; the text says what to do."""


class AgentServer:
    """Missing settings are taken from the environment, as in LiveKit's own programs: LIVEKIT_URL, LIVEKIT_API_KEY,
    LIVEKIT_API_SECRET."""

    def __init__(
        self,
        *,
        url: str = "",
        api_key: str = "",
        api_secret: str = "",
        load_threshold: float = 0.7,
        num_idle_processes: int = 2,
        jobs_per_process: int = 1,
        drain_timeout: float = 60.0,
        job_memory_warn_mb: float = 500.0,
        job_memory_limit_mb: float = 0.0,
        host: str = "127.0.0.1",
        port: int = 8081,
    ) -> None:
        """`drain_timeout`: seconds; `host` and `port`: for /healthz and /metrics, port 0: any free one."""
        self._account = (url, api_key, api_secret)
        self._settings = WorkerSettings(
            Capacity(load_threshold), PlacementSettings(jobs_per_process, num_idle_processes), drain_timeout
        )
        self._memory = (job_memory_warn_mb, job_memory_limit_mb)
        self._http = (host, port)
        self._entrypoint: Entrypoint | None = None
        self._registration = Registration()
        self._on_request: OnRequest | None = None
        self.setup_fnc: Callable[[JobProcess], Any] | None = None

    @overload
    def rtc_session(
        self, entrypoint: Entrypoint, *, agent_name: str = "", type: str = "room", on_request: OnRequest | None = None
    ) -> Entrypoint: ...

    @overload
    def rtc_session(
        self, entrypoint: None = None, *, agent_name: str = "", type: str = "room", on_request: OnRequest | None = None
    ) -> Callable[[Entrypoint], Entrypoint]: ...

    def rtc_session(
        self,
        entrypoint: Entrypoint | None = None,
        *,
        agent_name: str = "",
        type: str = "room",
        on_request: OnRequest | None = None,
    ) -> Entrypoint | Callable[[Entrypoint], Entrypoint]:
        """The decorated function runs each job; with or without parentheses. `agent_name`: default: the environment's
        LIVEKIT_AGENT_NAME; empty: every room gets one (automatic dispatch). `type`: "room", or "publisher" for a job
        for each participant that publishes. `on_request(request)` is awaited in the main process and accepts or rejects
        each job; without it all jobs are accepted for which there is room. Raises ValueError for another type, or if
        called twice.
        """
        if type not in ("room", "publisher"):
            raise ValueError(f'type is "room" or "publisher", not {type!r}')

        def register(entrypoint: Entrypoint) -> Entrypoint:
            if self._entrypoint is not None:
                raise ValueError("a server has one rtc_session; start another worker for another agent")
            name = agent_name or os.environ.get("LIVEKIT_AGENT_NAME", "")
            self._entrypoint, self._on_request = entrypoint, on_request
            self._registration = Registration(name, version("trunkline"), job_type=type, asks=on_request is not None)
            return entrypoint

        return register if entrypoint is None else register(entrypoint)

    def prewarm(self, function: Callable[[JobProcess], Any]) -> Callable[[JobProcess], Any]:
        """As a decorator: call it in each process before its first job, to fill `proc.userdata`."""
        self.setup_fnc = function
        return function

    async def run(self, stop: asyncio.Event | None = None) -> None:
        """Until SIGTERM, SIGINT (twice: at once) or SIGHUP, or `stop`. Raises WorkerCannotRun."""
        if self._entrypoint is None:
            raise WorkerCannotRun("nothing to run: decorate an async function with @server.rtc_session")
        account = self._given_account()
        try:
            entrypoint = Reference.of(self._entrypoint)
            prewarm = Reference.of(self.setup_fnc) if self.setup_fnc is not None else None
        except ProgramError as error:
            raise WorkerCannotRun(str(error)) from error
        program = Program(
            entrypoint,
            prewarm=prewarm,
            memory_warn_mb=self._memory[0],
            memory_limit_mb=self._memory[1],
            keys=(account.api_key, account.api_secret),
        )
        try:
            worker = Worker(account, self._registration, program, self._settings, on_request=self._on_request)
        except ValueError as error:
            raise WorkerCannotRun(str(error)) from error
        await run_until_told(worker, self._http, stop)

    def main(self) -> None:
        """Run as a program: log to standard error, exit with 0, or 2 and a message that says what to do."""
        add_log_fields()
        logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
        try:
            asyncio.run(self.run())
        except WorkerCannotRun as error:
            print(error, file=sys.stderr)
            sys.exit(2)

    def _given_account(self) -> LiveKitAccount:
        names = ("LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET")
        values = [given or os.environ.get(name, "") for given, name in zip(self._account, names, strict=True)]
        missing = [name for name, value in zip(names, values, strict=True) if not value]
        if missing:
            raise WorkerCannotRun(f"{', '.join(missing)} must be set, or be given to AgentServer")
        return LiveKitAccount(*values)


async def run_until_told(
    worker: Worker,
    http: tuple[str, int],
    stop: asyncio.Event | None = None,
    started: Callable[[Worker, str], object] | None = None,
) -> None:
    """`work` until SIGTERM, SIGINT (twice: at once) or SIGHUP, or `stop`. Raises WorkerCannotRun."""
    stop, stop_now = stop or asyncio.Event(), asyncio.Event()

    def asked_to_stop() -> None:
        (stop_now if stop.is_set() else stop).set()

    loop = asyncio.get_running_loop()
    handled = on_stop_signals(loop, asked_to_stop, stop.set)
    try:
        await work(worker, http, stop, stop_now, started)
    finally:
        for number in handled:
            loop.remove_signal_handler(number)


async def work(
    worker: Worker,
    http: tuple[str, int],
    stop: asyncio.Event,
    stop_now: asyncio.Event,
    started: Callable[[Worker, str], object] | None = None,
) -> None:
    """Run a worker and its HTTP port until `stop`, then drain; `stop_now` cuts that short. `started(worker, url)` is
    called with the port's URL. Raises WorkerCannotRun."""
    try:
        web = WorkerHttp(worker, *http)
        await web.start()
    except OSError as error:
        where, why = f"{http[0]}:{http[1]}", os.strerror(error.errno) if error.errno else str(error)
        raise WorkerCannotRun(f"{where}, for /healthz and /metrics, cannot be used: {why}") from error
    try:
        if started is not None:
            started(worker, web.url)
        await worker.run(stop, stop_now)
    except (HopelessConnection, ProgramError) as error:
        raise WorkerCannotRun(str(error)) from error
    except (TimeoutError, OSError) as error:
        raise WorkerCannotRun(f"no job process could be started: {error or type(error).__name__}") from error
    finally:
        await web.close()
