"""Activities: who conducts the conversation. A persona at the bottom, awaited tasks above it.

persona             a tool awaits a task      its task awaits another     a handoff
[Reception]   ->    [Reception, Identify]  -> […, Identify, Confirm]  ->  [Billing]
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from agent.persona import Agent
from agent.providers.base import LLM, TTS
from agent.tasks.task import Task, TaskAbandoned

__all__ = ["Activity", "ActivityStack", "Cast"]


@dataclass(frozen=True, slots=True)
class Cast:
    """Who thinks and speaks for a persona. `bare_llm`, `bare_tts`: without the persona's nodes, for those nodes."""

    bare_llm: LLM | None
    bare_tts: TTS | None
    llm: LLM | None
    tts: TTS | None


@dataclass(slots=True, eq=False)
class Activity:
    """A persona or a task that has the caller, or is waiting for them. `hooks`: its running hooks. `entering`:
    `on_enter` is one of them. `questions`: its tools and hooks that wait for the caller's next message."""

    agent: Agent
    cast: Cast
    hooks: set[asyncio.Task[Any]] = field(default_factory=set)
    entering: bool = False
    questions: list[asyncio.Future[str]] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.agent.name

    @property
    def asking(self) -> bool:
        """One of its functions is waiting for the caller's next message."""
        return any(not question.done() for question in self.questions)

    def answer(self, text: str) -> bool:
        """The caller has said this; returns whether a function was waiting for it."""
        question = next((one for one in self.questions if not one.done()), None)
        if question is not None:
            question.set_result(text)
        return question is not None

    def follows(self, other: object) -> bool:
        """Whether messages of `other` matter to a model whose state follows from the history: those said to a task do
        not."""
        return other is self or not (isinstance(other, Activity) and isinstance(other.agent, Task))

    def leave_unanswered(self, why: str) -> None:
        """It gets no more of the caller's messages."""
        for question in self.questions:
            if not question.done():
                question.set_exception(TaskAbandoned(why))
                question.exception()  # marks it as read: the function may have been cancelled by now

    def end(self, why: str) -> None:
        """End it with its hooks; whoever waits for its result, or for an answer, gets `why` as the reason for none."""
        self.leave_unanswered(why)
        hooks, self.hooks = self.hooks, set()
        for hook in hooks:
            hook.cancel()
        if isinstance(self.agent, Task):
            self.agent.fail(TaskAbandoned(why))


class ActivityStack:
    """The persona first, whoever has the caller last."""

    def __init__(self, persona: Activity) -> None:
        self._activities = [persona]

    @property
    def top(self) -> Activity:
        """Whoever has the caller."""
        return self._activities[-1]

    @property
    def persona(self) -> Activity:
        """The one below all tasks."""
        return self._activities[0]

    def __iter__(self) -> Iterator[Activity]:
        return iter(tuple(self._activities))

    def __contains__(self, activity: object) -> bool:
        return activity in self._activities

    def push(self, activity: Activity) -> None:
        self._activities.append(activity)

    def drop(self, activity: Activity) -> tuple[Activity, ...]:
        """End `activity` and everything above it, topmost first."""
        place = self._activities.index(activity)
        gone, self._activities = self._activities[place:], self._activities[:place]
        return tuple(reversed(gone))

    def replace(self, activity: Activity) -> tuple[Activity, ...]:
        """A handoff: end everything on the stack, topmost first."""
        gone, self._activities = self._activities, [activity]
        return tuple(reversed(gone))
