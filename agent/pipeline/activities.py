"""The activity stack of a running session: providers for each activity, the context of its tools and hooks, and its
end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from agent.activity import Activity, ActivityStack
from agent.context import RunContext
from agent.persona import Agent
from agent.pipeline.casting import Casting
from agent.pipeline.tasks import SessionTasks
from agent.providers.base import ToolCall
from agent.session_verbs import SessionVerbs
from agent.tasks.task import Task
from agent.within import Within
from telephony.call import CallVerbs

__all__ = ["Activities"]


class Activities:
    def __init__(
        self,
        persona: Agent,
        *,
        casting: Casting,
        tasks: SessionTasks,
        run_task: Callable[[Task[Any], Within], Awaitable[Any]],
        session: SessionVerbs,
        userdata: Any,
        call: CallVerbs | None,
    ) -> None:
        """Raises ValueError for an unknown provider name."""
        self._casting = casting
        self._tasks = tasks
        self._run_task = run_task
        self._session = session
        self.userdata = userdata
        self._call = call
        self.stack = ActivityStack(self._made(persona))

    @property
    def top(self) -> Activity:
        """Whoever has the caller."""
        return self.stack.top

    @property
    def agent(self) -> Agent:
        return self.stack.top.agent

    @property
    def secret(self) -> bool:
        """A task asks the caller for something secret, or waits for another task that helps it to."""
        return self.were_secret(())

    def were_secret(self, gone: Iterable[Activity]) -> bool:
        """Whether that is so, or was as long as these had the caller."""
        both = (*self.stack, *gone)
        return any(isinstance(activity.agent, Task) and activity.agent.secret for activity in both)

    def hand_over(self, agent: Agent) -> tuple[Activity, ...]:
        """`agent` has the call from now on; previous activities end. Raises ValueError."""
        gone = self.stack.replace(self._made(agent))
        for activity in gone:
            activity.end(f"Not finished: the caller now talks to {agent.name}.")
        return gone

    def begin(self, task: Task[Any], asker: Activity) -> Activity:
        """`task` has the caller from now on. Raises SessionMisuse, ValueError."""
        task.begin(asker.agent)
        activity = self._made(task)
        self.stack.push(activity)
        return activity

    def end(self, activity: Activity, why: str) -> tuple[Activity, ...]:
        """End a task and everything its tools started above it, topmost first. Does nothing if it has ended already."""
        if activity not in self.stack:
            return ()
        gone = self.stack.drop(activity)
        for each in gone:
            each.end(why)
        return gone

    def context(self, function_call: ToolCall | None = None, activity: Activity | None = None) -> RunContext:
        """The context of a tool or hook."""
        agent = (activity or self.top).agent
        return RunContext(self._session, agent, self.userdata, self._call, function_call)

    def within(self, activity: Activity, reply: object | None = None) -> Within:
        """The context that code of `activity` runs in. `reply`: the one waiting for it."""

        def run_task(task: Task[Any]) -> Awaitable[Any]:
            return self._run_task(task, place)

        place = Within(activity, reply, run_task)
        return place

    async def enter(self, activity: Activity) -> Exception | None:
        """Run its `on_enter`; see `SessionTasks.run_hook`."""
        agent, context = activity.agent, self.context(activity=activity)
        activity.entering = True
        try:
            return await self.run_hook(lambda: agent.on_enter(context), "on_enter", activity=activity)
        finally:
            activity.entering = False

    async def leave(self, activity: Activity, reply: object | None = None) -> None:
        """Run its `on_exit`, for which `reply` waits."""
        agent, context = activity.agent, self.context(activity=activity)
        await self.run_hook(lambda: agent.on_exit(context), "on_exit", activity=activity, reply=reply)

    def asker(self, place: Within | None) -> Activity:
        """The activity whose code runs at `place`."""
        found = next((activity for activity in self.stack if place is not None and activity is place.activity), None)
        return found or self.top

    async def run_hook(
        self, hook: Callable[[], object], name: str, *, activity: Activity | None = None, reply: object | None = None
    ) -> Exception | None:
        """A hook of `activity` (default: of whoever has the caller); see `SessionTasks.run_hook`."""
        activity = activity or self.top
        return await self._tasks.run_hook(self.within(activity, reply), activity, hook, name)

    def _made(self, agent: Agent) -> Activity:
        activity: Activity | None = None

        def context() -> RunContext:
            return self.context(activity=activity)

        activity = Activity(agent, self._casting.of(agent, context))
        return activity
