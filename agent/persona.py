"""A persona: who answers the phone."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from agent.context import RunContext
from agent.end_call import end_call
from agent.tools import FunctionTool, collect_tools
from agent.turns.digits import DigitEntry
from agent.words import CANNED, canned_words

if TYPE_CHECKING:
    from agent.providers.base import LLM
    from agent.rules import Rules

__all__ = ["CANNED", "Agent", "PersonaAware"]


class Agent:
    """Subclass it: the docstring is the instructions, methods marked with `@function_tool` are the tools.

    `digits` says how keyed digits become a turn; None: each digit only reaches `on_digit`. `voice` empty: one of the
    `language`, as the synthesis has it.
    """

    instructions: str = ""
    voice: str = ""
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
        """The words for `key`: its own, else those of its language. Raises KeyError for a key that nobody defined."""
        return canned_words(key, self.canned, self.language)

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
