"""A thread that watches the event loop: names code that blocks it, speaks to its callers, and finally gives up on it.

A coroutine that calls `time.sleep`, or a library that does, stops everything on the loop but not the threads: the media
continues, and so does this one. It probes the loop twenty times a second while a persona's function runs, and
twice a second while there is a session at all.

Such a function is not moved to a thread automatically, because what it awaits (a client, a lock, `ctx.session`) belongs
to the loop on which it was made, and would fail in ways that are worse than a delay. Its author can allow the move by
not making it a coroutine, or with `@function_tool(blocking=True)`.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

from agent.turns.blocked import LAST_RESORT_S, Announce, LastResort, LoopBlock, Name

__all__ = ["Blocked", "LoopWatch", "Watched", "watch_of"]

EVERY_S = 0.05
IDLE_EVERY_S = 0.5
TELL_EVERY_S = 0.5
GOODBYE_LIMIT_S = 7.0
_OWNER: ContextVar[tuple[Watched, str]] = ContextVar("owner")
_FRAMES = 12  # of a stack, the innermost
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Blocked:
    """`name`: of the function, or "" if unknown. `stack`: file, line and name of each frame, innermost last."""

    name: str
    stack: tuple[str, ...]
    blocked_ms: float


class Watched(Protocol):
    """A session as seen by the watch."""

    def loop_blocked(self, blocked: Blocked) -> None:
        """One of its own functions blocked the loop. Called on the loop once it runs again."""

    def announce(self, canned: str) -> float:
        """Say these canned words, bypassing the loop; returns their length in seconds. Called on the watch's thread
        while the loop is blocked."""


class LoopWatch:
    """One per loop. `on_blocked(name, blocked_ms)` is called on its thread twice a second while the loop is blocked,
    `last_resort(name)` when all calls have heard goodbye; without one nothing is ended."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, pace: float = 1.0) -> None:
        """Create it on the loop's thread. `pace`: scales time, so that tests don't wait."""
        self._loop = loop
        self._pace = pace
        self._loop_thread = threading.get_ident()
        self._sessions: list[Watched] = []
        self._running: dict[asyncio.Task[Any], tuple[Watched, str]] = {}
        self._wanted = threading.Event()
        self._hurry = threading.Event()  # a persona's function is running
        self._answered = threading.Event()
        self._thread: threading.Thread | None = None
        self._named: set[str] = set()
        self.on_blocked: Callable[[str, float], None] = lambda name, blocked_ms: None
        self.last_resort: Callable[[str], None] | None = None

    def join(self, session: Watched) -> None:
        self._sessions.append(session)
        self._wanted.set()
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="loop watch", daemon=True)
            self._thread.start()

    def leave(self, session: Watched) -> None:
        if session in self._sessions:
            self._sessions.remove(session)
        if not self._sessions:
            self._wanted.clear()

    def runs(self, session: Watched, name: str) -> None:
        """The calling task, and tasks that it creates, run a persona's function."""
        task = asyncio.current_task()
        if task is not None:
            self._running[task] = (session, name)
            _OWNER.set((session, name))
            task.add_done_callback(self._ended)
            self._hurry.set()

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.pop(task, None)
        if not self._running:
            self._hurry.clear()

    # --- the thread -----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            self._answered.clear()
            try:
                self._loop.call_soon_threadsafe(self._answered.set)
            except RuntimeError:
                return  # the loop is closed
            asked_at = time.monotonic()
            if not self._answered.wait(EVERY_S):
                try:
                    self._stands_still(asked_at)
                except Exception:  # noqa: BLE001 - the watch must survive anything
                    _log.exception("the watch of the event loop failed")
            if self._hurry.is_set():
                time.sleep(max(0.0, asked_at + EVERY_S - time.monotonic()))
            else:
                self._hurry.wait(IDLE_EVERY_S)

    def _stands_still(self, since: float) -> None:
        block, seen, told_at = LoopBlock(), Blocked("", (), 0.0), since
        owner: Watched | None = None
        while not self._answered.wait(EVERY_S / 2):
            now = time.monotonic()
            running = self._who()
            for action in block.tick((now - since) * self._pace, known=running is not None):
                match action:
                    case Name():
                        owner, name = running or (None, "")
                        seen = Blocked(name, self._stack(), 0.0)
                        self._tell(seen)
                    case Announce(canned=canned):
                        self._announce(canned)
                    case LastResort():
                        self._give_up(seen.name)
            if now - told_at >= TELL_EVERY_S / self._pace:
                told_at = now
                if not block.over:
                    self.on_blocked(seen.name, (now - since) * 1000)
        blocked_ms = round((time.monotonic() - since) * 1000, 1)
        if owner is not None:
            self._loop.call_soon_threadsafe(owner.loop_blocked, Blocked(seen.name, seen.stack, blocked_ms))
        if seen.stack:
            _log.warning("the event loop was blocked for %.0f ms by %s", blocked_ms, seen.name or "code")

    def _who(self) -> tuple[Watched, str] | None:
        task = asyncio.current_task(self._loop)
        if task is None:
            return None
        context = task.get_context() if hasattr(task, "get_context") else None  # Python 3.12
        return self._running.get(task) or (None if context is None else context.get(_OWNER))

    def _stack(self) -> tuple[str, ...]:
        frame = sys._current_frames().get(self._loop_thread)
        if frame is None:
            return ()
        return tuple(f"{one.filename}:{one.lineno} in {one.name}" for one in traceback.extract_stack(frame)[-_FRAMES:])

    def _tell(self, seen: Blocked) -> None:
        if seen.name and seen.name in self._named:
            return
        self._named.add(seen.name)
        _log.warning(
            "%s blocks the event loop, and with it every call of this process: use an async library, make it no "
            "coroutine, or @function_tool(blocking=True)\n  %s",
            seen.name or "code outside persona functions",
            "\n  ".join(seen.stack),
        )

    def _announce(self, canned: str) -> float:
        return max([session.announce(canned) for session in list(self._sessions)], default=0.0)

    def _give_up(self, name: str) -> None:
        if self.last_resort is None:
            return
        _log.critical("the event loop does not return from %s: its calls hear goodbye", name or "what blocks it")
        began_at = time.monotonic()
        until = began_at + min(GOODBYE_LIMIT_S, self._announce("goodbye_error") + 0.3) / self._pace
        while (left := until - time.monotonic()) > 0:
            self.on_blocked(name, (time.monotonic() - began_at + LAST_RESORT_S) * 1000)
            time.sleep(min(0.5, left))
        self.last_resort(name)


_watches: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, LoopWatch] = weakref.WeakKeyDictionary()


def watch_of(loop: asyncio.AbstractEventLoop) -> LoopWatch:
    """The running loop's."""
    if loop not in _watches:
        _watches[loop] = LoopWatch(loop)
    return _watches[loop]
