"""A conversation as JSON, so that another process can go on with it."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, Protocol, runtime_checkable

from agent.events import AgentHandoff, AgentMessage, FunctionCallOutput, SessionEvent, SessionStarted, UserMessage
from agent.persona import Agent
from agent.providers.base import ChatMessage, ToolCall
from agent.session import AgentSession

__all__ = ["Restorable", "keep_stored", "restore_userdata", "restored_agent", "restored_history", "snapshot_of"]

_WORTH_STORING = (SessionStarted, UserMessage, AgentMessage, FunctionCallOutput, AgentHandoff)


@runtime_checkable
class Restorable(Protocol):
    """What a persona, or a session's userdata, may offer so that it survives the loss of its process."""

    def snapshot(self) -> Any:
        """What it is worth keeping, as JSON values. Called on the loop after each turn: must be quick."""

    def restore(self, data: Any) -> None:
        """Called on a new object with what `snapshot` returned last."""


def snapshot_of(session: AgentSession) -> dict[str, Any]:
    """Who is active, what was said, and what persona and userdata want to keep."""
    persona = session.persona  # a task begins anew: what awaits its result is lost with this process
    return {
        "persona": f"{type(persona).__module__}:{type(persona).__qualname__}",
        "persona_state": persona.snapshot() if isinstance(persona, Restorable) else None,
        "userdata": session.userdata.snapshot() if isinstance(session.userdata, Restorable) else None,
        "history": [_masked(session, message) for message in session.history],
        "recording_paused": bool(session.recording),
    }


def _masked(session: AgentSession, message: ChatMessage) -> dict[str, Any]:
    """A snapshot leaves the process: what was keyed in secretly stays, and the persona has to ask for it anew."""
    privacy = session.privacy
    calls = tuple(replace(call, arguments=privacy.json_text(call.arguments)) for call in message.tool_calls)
    return asdict(replace(message, text=privacy.value(message.text), tool_calls=calls))


def keep_stored(session: AgentSession, store: Callable[[dict[str, Any]], None]) -> Callable[[], None]:
    """Hand `store` a snapshot after everything that is worth one; the result ends that."""
    loop = asyncio.get_running_loop()

    def note(event: SessionEvent) -> None:
        if isinstance(event, _WORTH_STORING):
            loop.call_soon(put)  # when the step that told of it has also brought the history up to date

    def put() -> None:
        store(snapshot_of(session))

    return session.subscribe(note)


def restored_history(data: Mapping[str, Any]) -> list[ChatMessage]:
    """Without tool calls at the end that were not answered: the model asks for them again. Raises ValueError."""
    try:
        history = [
            ChatMessage(**{**message, "tool_calls": tuple(ToolCall(**call) for call in message["tool_calls"])})
            for message in data["history"]
        ]
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a stored conversation: {error}") from error
    return _without_open_calls(history)


def restored_agent(data: Mapping[str, Any], first: Agent) -> Agent:
    """The persona that was active, which `first`, whom the call began with, may have handed over to. One that cannot be
    made without arguments is stood in for by `first`."""
    module, _, name = str(data.get("persona", "")).partition(":")
    agent = first
    if f"{type(first).__module__}:{type(first).__qualname__}" != f"{module}:{name}":
        try:
            found: Any = importlib.import_module(module)
            for part in name.split("."):
                found = getattr(found, part)
            agent = found()
        except (ImportError, AttributeError, TypeError, ValueError):
            agent = first
    state = data.get("persona_state")
    if state is not None and isinstance(agent, Restorable) and (agent is not first or type(agent).__qualname__ == name):
        agent.restore(state)
    return agent


def restore_userdata(data: Mapping[str, Any], userdata: Any) -> None:
    """Hand userdata that was made anew what its `snapshot` said last, if it can take it."""
    state = data.get("userdata")
    if state is not None and isinstance(userdata, Restorable):
        userdata.restore(state)


def _without_open_calls(history: Sequence[ChatMessage]) -> list[ChatMessage]:
    answered = {message.tool_call_id for message in history if message.role == "tool"}
    whole = list(history)
    for index in range(len(whole) - 1, -1, -1):
        if any(call.call_id not in answered for call in whole[index].tool_calls):
            del whole[index:]
            break
    return whole
