"""A conversation as JSON, so that another process can resume it."""

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
    """Optional methods of a persona or userdata, to survive the loss of the process."""

    def snapshot(self) -> Any:
        """The state worth keeping, as JSON values. Called on the loop after each turn: must be quick."""

    def restore(self, data: Any) -> None:
        """Called on a new object with the last result of `snapshot`."""


def snapshot_of(session: AgentSession) -> dict[str, Any]:
    """The active persona, the history, and the snapshots of persona and userdata."""
    persona = session.persona  # a task starts over: what awaits its result is lost with this process
    return {
        "persona": f"{type(persona).__module__}:{type(persona).__qualname__}",
        "persona_state": persona.snapshot() if isinstance(persona, Restorable) else None,
        "userdata": session.userdata.snapshot() if isinstance(session.userdata, Restorable) else None,
        "history": [_masked(session, message) for message in session.history],
        "recording_paused": session.recording.asked,  # what is secret pauses it by itself when it begins again
    }


def _masked(session: AgentSession, message: ChatMessage) -> dict[str, Any]:
    """A snapshot leaves the process, so it excludes secret digits, and the persona has to ask for them again."""
    privacy = session.privacy
    calls = tuple(replace(call, arguments=privacy.json_text(call.arguments)) for call in message.tool_calls)
    return asdict(replace(message, text=privacy.value(message.text), tool_calls=calls))


def keep_stored(session: AgentSession, store: Callable[[dict[str, Any]], None]) -> Callable[[], None]:
    """Pass `store` a snapshot after every relevant event; call the result to stop."""
    loop = asyncio.get_running_loop()

    def note(event: SessionEvent) -> None:
        if isinstance(event, _WORTH_STORING):
            loop.call_soon(put)  # after the current step has also updated the history

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
    """The persona that was active; `first`, with which the call began, may have handed over to it. `first` takes the
    place of one that cannot be created without arguments."""
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
    """Pass the last `snapshot` to the new userdata, if it supports that."""
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
