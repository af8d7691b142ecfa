"""The one thread that PJSIP runs on, and how the asyncio loop reaches it."""

from __future__ import annotations

import asyncio
import atexit
import logging
from collections import deque
from collections.abc import Callable
from threading import Thread
from time import sleep
from typing import Any, Protocol, TypeVar

from telephony.errors import PjsipError, TelephonyError

__all__ = ["Driven", "OwnerThread"]

log = logging.getLogger(__name__)

_T = TypeVar("_T")
_JOIN_S = 5.0
_PAUSE_S = 0.05  # keeps a repeating failure from filling the core and the log


class Driven(Protocol):
    """What the thread runs."""

    def start(self) -> None: ...

    def poll(self) -> None:
        """Wait for events, but not past a `wake`."""

    def stop(self) -> None: ...

    def wake(self) -> None:
        """From any thread: let `poll` return now."""


class OwnerThread:
    """Runs commands for the loop, in order, and `poll` in between."""

    def __init__(self, driven: Driven) -> None:
        self._driven = driven
        self._loop = asyncio.get_running_loop()
        self._commands: deque[tuple[Callable[[], Any], asyncio.Future[Any] | None]] = deque()
        self._stopping = False
        self._started: asyncio.Future[None] = self._loop.create_future()
        self._stopped: asyncio.Future[None] = self._loop.create_future()
        self._thread = Thread(target=self._run, name="pjsip", daemon=True)

    async def start(self) -> None:
        """Start the thread and its engine. A failure is raised here, after the thread has ended."""
        self._thread.start()
        await self._started
        atexit.register(self._stop_at_exit)

    async def stop(self) -> None:
        self._stopping = True
        self._driven.wake()
        await self._stopped
        self._thread.join(_JOIN_S)
        atexit.unregister(self._stop_at_exit)

    async def call(self, command: Callable[[], _T]) -> _T:
        """Run `command` on the thread and return its result. Raises what it raises, or PjsipError after the stop."""
        if self._stopping or not self._thread.is_alive():
            raise PjsipError("command", 0, "the endpoint has stopped")
        future: asyncio.Future[_T] = self._loop.create_future()
        self._commands.append((command, future))
        self._driven.wake()
        return await future

    def submit(self, command: Callable[[], object]) -> None:
        """Run `command` on the thread without waiting. A failure is logged; does nothing after the stop."""
        if not self._stopping:
            self._commands.append((command, None))
            self._driven.wake()

    def post(self, callback: Callable[..., object], *args: object) -> None:
        """From any thread: run on the loop, unless it has been closed."""
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:
            log.debug("the loop is closed; an event is lost")

    def _run(self) -> None:
        try:
            self._driven.start()
        except BaseException as error:  # noqa: BLE001 - re-raised in the caller of start
            self.post(_fail, self._started, _portable(error))
            return
        self.post(_resolve, self._started, None)
        while not self._stopping:
            try:
                self._perform_all()
                self._driven.poll()
            except BaseException:  # other calls continue; nothing may end this thread
                log.exception("an iteration of the PJSIP thread failed")
                sleep(_PAUSE_S)
        self._perform_all()
        try:
            self._driven.stop()
        except BaseException:  # the process loses its endpoint either way
            log.exception("PJSIP did not stop cleanly")
        self._refuse_all()
        self.post(_resolve, self._stopped, None)

    def _perform_all(self) -> None:
        while self._commands:
            command, future = self._commands.popleft()
            try:
                result = command()
            except BaseException as error:  # noqa: BLE001 - re-raised in the caller of the command
                portable = _portable(error)
                if future is not None:
                    self.post(_fail, future, portable)
                else:
                    log.error("a command failed: %s", portable)
            else:
                if future is not None:
                    self.post(_resolve, future, result)

    def _refuse_all(self) -> None:
        while self._commands:
            _, future = self._commands.popleft()
            if future is not None:
                self.post(_fail, future, PjsipError("command", 0, "the endpoint has stopped"))

    def _stop_at_exit(self) -> None:
        """Without `stop`, PJSIP would call back into an interpreter that is shutting down."""
        self._stopping = True
        self._driven.wake()
        self._thread.join(_JOIN_S)


def _portable(error: BaseException) -> BaseException:
    """An error that may leave the thread: without traceback, whose frames hold PJSIP's objects."""
    if not isinstance(error, TelephonyError):
        log.error("unexpected error on the PJSIP thread", exc_info=error)
        return PjsipError("command", 0, f"{type(error).__name__}: {error}")
    error.__traceback__ = error.__context__ = error.__cause__ = None
    return error


def _resolve(future: asyncio.Future[Any], result: object) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[Any], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
