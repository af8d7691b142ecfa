"""Runs what a model called, beside the speech, and bridges what takes long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from agent.events import FunctionCall, FunctionCallOutput
from agent.pipeline.conversation import Conversation
from agent.pipeline.outcomes import as_read_by_model
from agent.providers.base import ChatMessage, ToolCall
from agent.tool_arguments import arguments_of
from agent.tools import ToolOutcome

__all__ = ["run_tools", "tool_messages"]


async def run_tools(
    conversation: Conversation, calls: Sequence[ToolCall], bridge: Callable[[], None]
) -> list[ToolOutcome]:
    """The outcomes in the order of the calls, which run side by side. `bridge` is called once if they take long."""
    tasks = []
    for call in calls:
        conversation.emit(FunctionCall(conversation.now(), call.call_id, call.name, _arguments(call)))
        tasks.append(conversation.spawn(_run(conversation, call), f"tool {call.name}"))
    try:
        _, slow = await asyncio.wait(tasks, timeout=conversation.options.slow_tool_ms / 1000)
        if slow:
            bridge()
        return [await task for task in tasks]
    finally:
        for task in tasks:
            task.cancel()


def tool_messages(calls: Sequence[ToolCall], outcomes: Sequence[ToolOutcome]) -> list[ChatMessage]:
    return [
        ChatMessage("tool", outcome.output, tool_call_id=call.call_id, name=call.name, is_error=outcome.is_error)
        for call, outcome in zip(calls, outcomes, strict=True)
    ]


async def _run(conversation: Conversation, call: ToolCall) -> ToolOutcome:
    began_at = conversation.now()
    tool = conversation.agent.tools.get(call.name)
    if tool is None:
        known = ", ".join(conversation.agent.tools)
        outcome = ToolOutcome(f"There is no function {call.name}. There are: {known}.", is_error=True)
    else:
        outcome = as_read_by_model(await tool.call(conversation.context(call), call.arguments, conversation.offload))
    now = conversation.now()
    duration_ms = round((now - began_at) * 1000, 3)
    conversation.emit(FunctionCallOutput(now, call.call_id, call.name, outcome.output, outcome.is_error, duration_ms))
    return outcome


def _arguments(call: ToolCall) -> dict[str, Any]:
    try:
        return arguments_of(call.arguments)
    except (ValueError, TypeError):
        return {"invalid": call.arguments}
