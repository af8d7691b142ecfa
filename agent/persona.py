"""A persona: who answers the phone."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from agent.context import RunContext
from agent.end_call import end_call
from agent.tools import FunctionTool, collect_tools
from agent.turns.digits import DigitEntry

if TYPE_CHECKING:
    from agent.providers.base import LLM
    from agent.rules import Rules

__all__ = ["CANNED", "Agent", "PersonaAware"]

CANNED: Mapping[str, str] = {
    "unavailable": "I'm sorry, I can't do that just now. Please give me a moment and try again.",
    "tool_failed": "I'm sorry, that didn't work just now.",
    "didnt_catch": "Sorry, I didn't catch that. Could you say it again?",
    "one_moment": "One moment, please.",
    "still_there": "Are you still there?",
    "still_there_again": "Hello? I'm still here if you need me.",
    "welcome_back": "I'm here.",
    "goodbye": "Thank you for calling. Goodbye!",
    "goodbye_silence": "I can't hear you any more, so I'll hang up now. Please call again any time. Goodbye!",
    "goodbye_max_length": "I'm sorry, we have come to the end of the time for this call. Thank you, and goodbye!",
    "goodbye_drain": "I'm sorry, I have to end this call now. Please call again in a little while. Goodbye!",
    "goodbye_lost": "Sorry, we lost the connection. Goodbye!",
    "goodbye_error": "I'm sorry, I'm having technical trouble. Please call again in a little while. Goodbye!",
}
"""What is said when no model can be asked, by key; `Agent.canned` overrides single ones. Without words ("") nothing is
said: so a persona does without "welcome_back", which greets a caller who is back from hold."""


class Agent:
    """Subclass it: the docstring is the instructions, methods marked with `@function_tool` are the tools.

    `digits` says how keyed digits become a turn; None: each digit only reaches `on_digit`.
    """

    instructions: str = ""
    voice: str = "en-us"
    language: str = "en"
    greeting: str = ""
    canned: ClassVar[Mapping[str, str]] = {}
    rules: Rules | None = None
    digits: DigitEntry | None = None
    _builtin_tools: ClassVar[tuple[Callable[..., Any], ...]] = (end_call,)
    _passed_tools: tuple[Callable[..., Any], ...] = ()
    _tools: dict[str, FunctionTool] | None = None

    def __init__(
        self,
        *,
        instructions: str | None = None,
        greeting: str | None = None,
        tools: Iterable[Callable[..., Any]] = (),
    ) -> None:
        if instructions is not None:
            self.instructions = instructions
        if greeting is not None:
            self.greeting = greeting
        self._passed_tools = tuple(tools)

    @property
    def name(self) -> str:
        return type(self).__name__

    @property
    def prompt(self) -> str:
        """The instructions as the model gets them."""
        if self.instructions:
            return self.instructions
        for cls in type(self).__mro__:
            if cls is Agent:
                break
            if cls.__doc__:
                return inspect.cleandoc(cls.__doc__)
        return ""

    @property
    def tools(self) -> Mapping[str, FunctionTool]:
        """By name. Those of the persona replace built-in ones of the same name."""
        if self._tools is None:
            builtin = {tool.name: tool for tool in map(FunctionTool, self._builtin_tools)}
            own = collect_tools(self, self._passed_tools)
            self._tools = {**own, **{name: tool for name, tool in builtin.items() if name not in own}}
        return self._tools

    def say_canned(self, key: str) -> str:
        """The words for `key`. Raises KeyError for a key that nobody defined."""
        return self.canned[key] if key in self.canned else CANNED[key]

    async def on_enter(self, ctx: RunContext) -> None:
        """It becomes active: after the greeting has been queued, or after a handoff."""

    async def on_exit(self, ctx: RunContext) -> None:
        """It is no longer active: handed off, or the session is over."""

    async def on_digit(self, ctx: RunContext, digit: str) -> None:
        """The caller pressed a key."""


@runtime_checkable
class PersonaAware(Protocol):
    """A model that follows the persona itself (its rules): the session asks it for one LLM per persona."""

    def for_persona(self, agent: Agent) -> LLM: ...
