"""Runs the functions called by a model while speech continues. The model always gets the outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from agent.activity import Activity
from agent.bounds import pruned, shortened
from agent.events import FunctionCall, FunctionCallOutput
from agent.pipeline.activities import Activities
from agent.pipeline.outcomes import as_read_by_model, end_of, end_refused, handoff_of, handoff_refused
from agent.pipeline.runtime import Runtime
from agent.providers.base import ChatMessage, ToolCall
from agent.tool_arguments import arguments_of
from agent.tools import ToolOutcome
from agent.within import Within, enter

__all__ = ["run_tools", "tool_messages"]

_ARGUMENTS = 16_000  # characters of a call's arguments in the record


async def run_tools(
    runtime: Runtime, activities: Activities, activity: Activity, place: Within, calls: Sequence[ToolCall]
) -> list[ToolOutcome]:
    """The outcomes in the order of the calls, which run in parallel. Ending the call waits for the others, and is
    refused if one of them failed: the caller must hear of that first."""
    handed_to: list[str] = []
    runs = [_Run(runtime, activities, activity, place, call, handed_to) for call in calls]
    tasks = [runtime.tasks.spawn(run.run(), f"tool {run.call.name}") for run in runs]
    try:
        if tasks:
            await asyncio.wait(tasks)
    finally:
        for task in tasks:
            task.cancel()
    if any(run.outcome.is_error for run in runs):
        for run in runs:
            run.outcome = end_refused(run.outcome)
    for run in runs:
        run.tell()
    return [run.outcome for run in runs]


def tool_messages(calls: Sequence[ToolCall], outcomes: Sequence[ToolOutcome]) -> list[ChatMessage]:
    return [
        ChatMessage("tool", outcome.output, tool_call_id=call.call_id, name=call.name, is_error=outcome.is_error)
        for call, outcome in zip(calls, outcomes, strict=True)
    ]


class _Run:
    """One call of a function."""

    def __init__(
        self,
        runtime: Runtime,
        activities: Activities,
        activity: Activity,
        place: Within,
        call: ToolCall,
        handed_to: list[str],
    ) -> None:
        """`handed_to`: the persona that this answer's functions handed the caller to."""
        self._runtime = runtime
        self._activities = activities
        self._activity = activity
        self._place = place
        self._handed_to = handed_to
        self.call = call
        # The outcome if the task is cancelled from within, for example by a function that cancels its own task.
        self.outcome = ToolOutcome(f"{call.name} was cancelled and gave nothing.", is_error=True)
        self._began_at = self._ended_at = runtime.now()
        self._told = False
        runtime.emit(FunctionCall(self._began_at, call.call_id, call.name, _arguments(call)))

    async def run(self) -> None:
        runtime, call = self._runtime, self.call
        tools = self._activity.agent.tools
        tool = tools.get(call.name)
        runtime.tasks.user_code(f"tool {call.name}")
        enter(self._place)
        try:
            if tool is None:
                known = ", ".join(tools)
                self.outcome = ToolOutcome(f"Unknown function {call.name}. Available: {known}.", is_error=True)
            else:
                context = self._activities.context(call, self._activity)
                most = runtime.options.max_tool_result_characters
                outcome = await tool.call(context, call.arguments, runtime.tool_offload, max_characters=most)
                self.outcome = self._first_handoff(as_read_by_model(outcome))
        finally:
            self._ended_at = runtime.now()
        if end_of((self.outcome,)) is None:
            self.tell()

    def _first_handoff(self, outcome: ToolOutcome) -> ToolOutcome:
        """One handoff at a time: of parallel functions, the first to finish hands the caller over."""
        if (handoff := handoff_of(outcome)) is None:
            return outcome
        self._handed_to.append(handoff[0].name)
        return outcome if len(self._handed_to) == 1 else handoff_refused(self._handed_to[0])

    def tell(self) -> None:
        """Report the outcome, once."""
        if self._told:
            return
        self._told = True
        duration_ms = round((self._ended_at - self._began_at) * 1000, 3)
        outcome, now = self.outcome, self._runtime.now()
        self._runtime.emit(
            FunctionCallOutput(now, self.call.call_id, self.call.name, outcome.output, outcome.is_error, duration_ms)
        )


def _arguments(call: ToolCall) -> dict[str, Any]:
    try:
        return dict(pruned(arguments_of(call.arguments), _ARGUMENTS))
    except (ValueError, TypeError):
        return {"invalid": shortened(call.arguments, _ARGUMENTS)}
