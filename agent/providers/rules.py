"""Acts as a language model but follows `agent.rules`: deterministic, offline and instant."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from agent.chat_context import CUE
from agent.providers._rules_dialog import Call, Failed, decide
from agent.providers.base import ChatMessage, LLMEvent, ProviderBadRequest, TextDelta, ToolCall, ToolSpec
from agent.providers.phrases import PhraseError
from agent.rules import Rules
from agent.words import words_of_language

if TYPE_CHECKING:
    from agent.persona import Agent

__all__ = ["RulesLLM"]

_NAME = "rules"
_END_CALL = "end_call"  # every session has it


class RulesLLM:
    """`for_persona` returns the one for a conversation with a persona. `canned`: the persona's words by key;
    "tool_failed" and "goodbye" are used."""

    name = _NAME
    whole_context = True  # its state follows from everything said to this persona, but not to its tools' tasks

    def __init__(self, rules: Rules | None = None, canned: Mapping[str, str] | None = None) -> None:
        self._rules = rules if rules is not None else Rules(())
        self._canned = canned or {}
        self._before: int | None = None  # user messages of this conversation that went to another persona

    def for_persona(self, agent: Agent) -> RulesLLM:
        """A new one, which starts with the first turn that it is asked to answer: its rules ignore earlier messages,
        which were for another persona."""
        return RulesLLM(agent.rules, {**words_of_language(agent.language), **agent.canned})

    async def warm(self) -> None:
        """Nothing to load."""

    async def chat(self, messages: Sequence[ChatMessage], tools: Sequence[ToolSpec]) -> AsyncIterator[LLMEvent]:
        try:
            action = decide(self._rules, self._own(messages))
        except PhraseError as error:
            raise ProviderBadRequest(_NAME, str(error)) from error
        if isinstance(action, Call):
            for delta in _deltas(action.say_first):
                yield delta
            yield ToolCall(action.call_id, action.tool, _arguments(action, tools))
            return
        text = action.text
        if not text:
            text = self._canned.get("tool_failed" if isinstance(action, Failed) else "goodbye", self._rules.fallback)
        for delta in _deltas(text):
            yield delta

    def _own(self, messages: Sequence[ChatMessage]) -> list[ChatMessage]:
        """The messages from this persona's first turn on, the others blanked so that positions stay the same."""
        said = [place for place, message in enumerate(messages) if message.role == "user" and message.name != CUE]
        if self._before is None or self._before >= len(said):
            self._before = sum(_answered(messages, place) for place in said)
        start = said[self._before] if self._before < len(said) else len(messages)
        return [message if place >= start else ChatMessage(role="system") for place, message in enumerate(messages)]


def _answered(messages: Sequence[ChatMessage], place: int) -> bool:
    return any(message.role == "assistant" for message in messages[place + 1 :])


def _deltas(text: str) -> list[TextDelta]:
    """Word by word, like a model's stream."""
    return [TextDelta(word if place == 0 else " " + word) for place, word in enumerate(text.split())]


def _arguments(call: Call, tools: Sequence[ToolSpec]) -> str:
    """The arguments as JSON, with numbers where the tool's schema requires them. Raises ProviderBadRequest."""
    spec = next((tool for tool in tools if tool.name == call.tool), None)
    if spec is None:
        if call.tool == _END_CALL:
            return "{}"
        raise ProviderBadRequest(_NAME, f"the rules call the tool {call.tool!r}, which the persona does not have")
    properties: Mapping[str, Any] = spec.parameters.get("properties", {})
    arguments: dict[str, str | int | float] = {}
    for name, value in call.arguments.items():
        kind = properties.get(name, {}).get("type")
        try:
            arguments[name] = int(value) if kind == "integer" else float(value) if kind == "number" else value
        except ValueError:
            arguments[name] = value  # the tool's own validation reports the error
    return json.dumps(arguments)
