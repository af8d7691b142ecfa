"""Replaces a persona's tools in a test."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from agent.persona import Agent
from agent.tools import FunctionTool

__all__ = ["mock_tools"]


@contextmanager
def mock_tools(persona: type[Agent], mocks: Mapping[str, Any]) -> Iterator[None]:
    """Within the context, the tools of all agents of this class do what `mocks` says, by tool name.

    A callable is called with the tool arguments that it accepts (and awaited if necessary); an exception is raised;
    anything else is returned. Arguments are checked as usual, against the tool's schema. A name that is not one of the
    persona's tools raises LookupError when the tools are first used.
    """

    def tools(self: Agent) -> Mapping[str, FunctionTool]:
        cached, self._tools = self._tools, None
        try:
            found = dict(Agent.tools.__get__(self))
        finally:
            self._tools = cached
        for name, mock in mocks.items():
            if name not in found:
                raise LookupError(f"{self.name} has no tool {name!r}; it has: {', '.join(found)}")
            found[name] = copy.copy(found[name])
            found[name].function = _mocked(found[name].function, mock)
        return found

    own = vars(persona).get("tools")
    persona.tools = property(tools)  # type: ignore[method-assign, assignment]  # for the length of a test
    try:
        yield
    finally:
        if own is None:
            del persona.tools
        else:
            persona.tools = own  # type: ignore[method-assign]


def _mocked(original: Callable[..., Any], mock: Any) -> Callable[..., Any]:
    @functools.wraps(original)
    async def call(**arguments: Any) -> Any:
        if isinstance(mock, BaseException):
            raise mock
        if not callable(mock):
            return mock
        parameters = inspect.signature(mock).parameters
        takes_all = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
        result = mock(**{name: value for name, value in arguments.items() if takes_all or name in parameters})
        return await result if inspect.isawaitable(result) else result

    return call
