"""Running tasks: one at a time starts, talks and listens, and returns its result to whatever awaits it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Literal, TypeVar

from agent.activity import Activity
from agent.bounds import shortened
from agent.events import TaskCompleted, TaskStarted
from agent.pipeline.activities import Activities
from agent.pipeline.reply import Reply
from agent.pipeline.runtime import Runtime
from agent.pipeline.talk_events import PersonaChanged, TalkEvent
from agent.pipeline.talker import Talker
from agent.run_result import SessionMisuse
from agent.tasks.task import Task, TaskAbandoned, TaskTimedOut
from agent.within import TimeLimit, Within, waiting_for_conversation

__all__ = ["TaskRuns"]

T = TypeVar("T")
Outcome = Literal["completed", "failed", "timed_out", "handed_over", "cancelled"]
_MOST_NESTED = 8
_RESULT = 500  # characters of a result in the record


class TaskRuns:
    def __init__(
        self, runtime: Runtime, activities: Activities, talker: Talker, happened: Callable[[TalkEvent], None]
    ) -> None:
        self._runtime = runtime
        self._activities = activities
        self._talker = talker
        self._happened = happened
        self._waiting: list[asyncio.Future[None]] = []  # for their turn
        self._limits: list[TimeLimit] = []
        self._held = False

    def changed(self) -> None:
        """Someone started or stopped talking, so it may be a waiting task's turn."""
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)

    def hold(self) -> None:
        """The caller hears nothing: time limits pause until `resume`."""
        if not self._held:
            self._held = True
            for limit in self._limits:
                limit.pause()

    def resume(self) -> None:
        if self._held:
            self._held = False
            for limit in self._limits:
                limit.go_on()

    async def run_for_others(self, task: Task[T]) -> T:
        """For code outside of tools and hooks: as if a hook of the persona awaited it. Raises as `run`; TaskAbandoned
        when the session closes."""
        activities = self._activities
        given: asyncio.Future[T] = self._runtime.loop.create_future()

        async def run() -> None:
            try:
                result = await self.run(task, activities.within(activities.top))
            except Exception as error:  # noqa: BLE001 - raised where it is awaited
                if not given.done():
                    given.set_exception(error)
            else:
                if not given.done():
                    given.set_result(result)

        running = self._runtime.tasks.spawn(run(), f"task {task.name}")
        try:
            await asyncio.wait({running, given}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            running.cancel()
            raise
        if not given.done():
            raise TaskAbandoned(f"{task.name} was not finished: the call is over.")
        return given.result()

    async def run(self, task: Task[T], place: Within) -> T:
        """The result of `task`, awaited at `place`. Raises its failure, TaskTimedOut, TaskAbandoned; SessionMisuse and
        ValueError if it cannot begin."""
        asker = place.activity
        assert isinstance(asker, Activity), "tools and hooks run within an activity"
        with waiting_for_conversation():
            await self._turn(task, place)
            activity = self._activities.begin(task, asker)
            self._runtime.emit(TaskStarted(self._runtime.now(), task.name, asker.name))
            self._happened(PersonaChanged())
            self._talker.begin_task(activity, place)
            return await self._run(task, activity, place)

    async def _run(self, task: Task[T], activity: Activity, place: Within) -> T:
        outcome: Outcome = "cancelled"
        told, began_at = "", self._runtime.now()
        try:
            result = await self._result(task)
            outcome, told = "completed", "" if result is None else str(result)
        except Exception as error:
            outcome, told = _outcome_of(error), str(error) or type(error).__name__
            raise
        finally:
            gone = self._activities.end(activity, f"{task.name} is over.")
            retired = self._talker.end_task(gone, place)
            now = self._runtime.now()
            duration_ms = round((now - began_at) * 1000, 3)
            self._runtime.emit(TaskCompleted(now, task.name, outcome, shortened(told, _RESULT), duration_ms))
            if not self._runtime.tasks.closing:
                self._happened(PersonaChanged())
                leaving = self._runtime.tasks.spawn(self._leave(gone, retired), "on_exit")
        await asyncio.wait({leaving})
        return result

    async def _leave(self, gone: tuple[Activity, ...], retired: list[Reply]) -> None:
        """Its functions finish and its `on_exit` runs."""
        for reply in retired:
            await reply.tools_over()
        for activity in gone:
            await self._activities.leave(activity)

    async def _turn(self, task: Task[Any], place: Within) -> None:
        """One task at a time: of parallel tools, the second waits until the first one's task is over."""
        while not (free := self._talker.free(place)):
            if free is None:
                raise TaskAbandoned(
                    f"{task.name} was not started: the caller is with another persona, or the call is ending."
                )
            waiting: asyncio.Future[None] = self._runtime.loop.create_future()
            self._waiting.append(waiting)
            try:
                await waiting
            finally:
                self._waiting.remove(waiting)
        if len(tuple(self._activities.stack)) > _MOST_NESTED:
            raise SessionMisuse(f"{_MOST_NESTED} tasks wait for each other: {task.name} is one too many")

    async def _result(self, task: Task[T]) -> T:
        limit = TimeLimit(task.timeout_s)
        self._limits.append(limit)
        if self._held:
            limit.pause()
        try:
            async with limit:
                return await task.result
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise TaskTimedOut(f"{task.name} got no result within {task.timeout_s:g} s.") from error
        finally:
            self._limits.remove(limit)


def _outcome_of(error: Exception) -> Outcome:
    match error:
        case TaskTimedOut():
            return "timed_out"
        case TaskAbandoned():
            return "handed_over"
        case _:
            return "failed"
