"""Functions that a model may call: schema from type hints and docstring, validation, errors the model can read."""

from __future__ import annotations

import asyncio
import inspect
import logging
import re
import typing
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar, overload

import pydantic
import pydantic_core

from agent.bounds import pruned, shortened
from agent.clock import is_our_end
from agent.context import RunContext
from agent.hooks import StopResponse
from agent.providers.base import Offload, ToolSpec
from agent.tool_arguments import arguments_of
from agent.tool_threads import ToolShare
from agent.within import TimeLimit

__all__ = ["FunctionTool", "ToolError", "ToolOutcome", "collect_tools", "function_tool"]

F = TypeVar("F", bound=Callable[..., Any])
_MARK = "__trunkline_tool__"
_MARKER = 100  # characters reserved for the note on how much was cut
_log = logging.getLogger(__name__)


class ToolError(Exception):
    """Raised by a tool for an expected failure; the model reads its text."""


@dataclass(frozen=True, slots=True)
class _ToolOptions:
    name: str
    description: str
    timeout_s: float | None
    silent: bool = False
    blocking: bool = False


@dataclass(frozen=True, slots=True)
class ToolOutcome:
    """The outcome of a call. `output`: for the model. `value`: the function's result. `silent`: say nothing
    about it."""

    output: str
    is_error: bool = False
    value: object = None
    silent: bool = False


@overload
def function_tool(function: F) -> F: ...
@overload
def function_tool(
    *, name: str = "", description: str = "", timeout_s: float | None = 10, silent: bool = False, blocking: bool = False
) -> Callable[[F], F]: ...
def function_tool(
    function: F | None = None,
    *,
    name: str = "",
    description: str = "",
    timeout_s: float | None = 10,
    silent: bool = False,
    blocking: bool = False,
) -> F | Callable[[F], F]:
    """Let models call this function or method. `timeout_s`: for its own work, excluding what it awaits from the
    conversation (speech, a reply, the caller, a task); None: no limit. `silent`: if it succeeds, the model is not asked
    to comment. `blocking`: this coroutine makes blocking calls; it runs in a thread with its own event loop, so it must
    not use `ctx.session` or anything else of the call's loop.

    It returns text, anything JSON-serialisable, an `Agent` (a handoff), or `(Agent, words to say)`.
    """

    def mark(target: F) -> F:
        setattr(target, _MARK, _ToolOptions(name or target.__name__, description, timeout_s, silent, blocking))
        return target

    return mark if function is None else mark(function)


class FunctionTool:
    """One function as a tool. Raises TypeError if its signature cannot be turned into a schema."""

    def __init__(self, function: Callable[..., Any]) -> None:
        options: _ToolOptions = getattr(function, _MARK, None) or _ToolOptions(function.__name__, "", 10)
        self.function = function
        self.timeout_s = options.timeout_s
        self._silent = options.silent
        self._blocking = options.blocking
        summary, parameter_texts = _read_docstring(inspect.getdoc(function) or "")
        self._context_names, self._model = _argument_model(function, options.name, parameter_texts)
        schema = _without_titles(self._model.model_json_schema())
        schema.setdefault("properties", {})
        self.spec = ToolSpec(options.name, options.description or summary, schema)

    @property
    def name(self) -> str:
        return self.spec.name

    async def call(
        self, ctx: RunContext, arguments: str, offload: Offload, *, max_characters: int = 16_000
    ) -> ToolOutcome:
        """Run with a model's JSON arguments. Its exceptions are reported to the model: only a cancellation of the task
        running it is raised (a cancellation of something that the tool awaited is a failure)."""
        limit = TimeLimit(self.timeout_s)
        try:
            values = self._validated(arguments)
            values.update(dict.fromkeys(self._context_names, ctx))
            async with limit:
                value = await self._run(values, offload)
            return ToolOutcome(_as_text(value, max_characters), value=value, silent=self._silent)
        except StopResponse as stop:
            return ToolOutcome(shortened(str(stop), max_characters) or "done", silent=True)
        except ToolError as error:
            return ToolOutcome(shortened(str(error), max_characters), is_error=True)
        except BaseException as error:
            if is_our_end(error):
                raise
            if isinstance(error, TimeoutError) and limit.expired():
                _log.warning("tool %s took longer than %s s", self.name, self.timeout_s)
                return ToolOutcome(f"{self.name} timed out.", is_error=True)
            _log.error("tool %s failed", self.name, exc_info=error)
            return self.failed()

    def failed(self) -> ToolOutcome:
        """What the model reads about an internal failure; the log has the details."""
        return ToolOutcome(f"{self.name} failed with an internal error.", is_error=True)

    async def _run(self, values: dict[str, Any], offload: Offload) -> object:
        if inspect.iscoroutinefunction(self.function):
            if self._blocking and isinstance(offload, ToolShare):
                return await offload(lambda: asyncio.run(self.function(**values)), modelled_ms=0)
            value = await self.function(**values)
            return await value if inspect.isawaitable(value) else value  # `return Task()` is like awaiting it
        # In a thread: a function that blocks must not stop the conversation.
        value = await offload(lambda: self.function(**values), modelled_ms=0)
        return await value if inspect.isawaitable(value) else value

    def _validated(self, arguments: str) -> dict[str, Any]:
        try:
            raw = arguments_of(arguments)
        except ValueError as error:
            raise ToolError(f"The arguments of {self.name} are not valid JSON: {error}") from error
        except TypeError as error:
            raise ToolError(f"The arguments of {self.name} must be a JSON object.") from error
        try:
            model = self._model.model_validate(raw)
        except pydantic.ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
            raise ToolError(f"The arguments of {self.name} are wrong: {wrong}") from error
        return {name: getattr(model, name) for name in type(model).model_fields}


def collect_tools(agent: object, functions: Iterable[Callable[..., Any]] = ()) -> dict[str, FunctionTool]:
    """The marked methods of `agent` in the order of their definition (base classes first), then `functions`. Raises
    ValueError if two of the passed functions have the same name."""
    found: dict[str, FunctionTool] = {}
    for cls in reversed(type(agent).__mro__):
        for attribute, value in vars(cls).items():
            if hasattr(value, _MARK) and hasattr(getattr(agent, attribute, None), _MARK):
                tool = FunctionTool(getattr(agent, attribute))
                found[tool.name] = tool
    passed: set[str] = set()
    for function in functions:
        tool = FunctionTool(function)
        if tool.name in passed:
            raise ValueError(f"two tools are called {tool.name!r}")
        passed.add(tool.name)
        found[tool.name] = tool
    return found


def _argument_model(
    function: Callable[..., Any], name: str, texts: dict[str, str]
) -> tuple[list[str], type[pydantic.BaseModel]]:
    raw = inspect.unwrap(function)
    raw = getattr(raw, "__func__", raw)
    hints = _parameter_hints(raw, name)
    contexts: list[str] = []
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise TypeError(f"tool {name}: parameter {parameter.name} must be an ordinary or keyword parameter")
        if parameter.name not in hints:
            raise TypeError(f"tool {name}: parameter {parameter.name} has no type")
        if hints[parameter.name] is RunContext:
            contexts.append(parameter.name)
            continue
        default = ... if parameter.default is parameter.empty else parameter.default
        text = texts.get(parameter.name)
        fields[parameter.name] = (hints[parameter.name], pydantic.Field(default, description=text))
    config = pydantic.ConfigDict(extra="forbid", arbitrary_types_allowed=False)
    try:
        return contexts, pydantic.create_model(name, __config__=config, **fields)
    except pydantic.errors.PydanticSchemaGenerationError as error:
        raise TypeError(f"tool {name}: no schema for its parameters: {error.message}") from error


def _parameter_hints(function: Any, name: str) -> dict[str, Any]:
    # The return type is left out, as it may name classes that are defined later.
    annotations = {key: value for key, value in function.__annotations__.items() if key != "return"}
    scope = {**function.__globals__, "RunContext": RunContext}
    holder = type("Parameters", (), {"__annotations__": annotations})
    try:
        return typing.get_type_hints(holder, globalns=scope, include_extras=True)
    except NameError as error:
        raise TypeError(f"tool {name}: {error} (parameter types must be importable at run time)") from error


def _read_docstring(text: str) -> tuple[str, dict[str, str]]:
    """A Google-style docstring as its text before "Args:" and the parameters' descriptions."""
    summary, _, rest = re.sub(r"(?m)^(Args|Arguments):\s*$", "\0", text).partition("\0")
    parameters: dict[str, str] = {}
    current = ""
    indent = 0
    for line in rest.splitlines():
        if line.strip() and not line.startswith((" ", "\t")):
            break  # "Returns:" and other sections
        match = re.match(r"(\s+)\*{0,2}(\w+)\s*(?:\([^)]*\))?:\s*(.*)", line)
        if match and (not current or len(match[1]) <= indent):
            current, indent = match[2], len(match[1])
            parameters[current] = match[3].strip()
        elif current and line.strip():
            parameters[current] = f"{parameters[current]} {line.strip()}".strip()
    summary = re.split(r"(?m)^(?:Returns|Raises|Yields):\s*$", summary)[0]
    return " ".join(summary.split()), parameters


def _without_titles(schema: Any) -> Any:
    """Titles repeat the names and cost tokens. A property that is itself called "title" stays."""
    if isinstance(schema, list):
        return [_without_titles(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: {name: _without_titles(value) for name, value in item.items()}
        if key in ("properties", "$defs")
        else _without_titles(item)
        for key, item in schema.items()
        if not (key == "title" and isinstance(item, str))
    }


def _as_text(value: object, most: int) -> str:
    """For the model and the record. Only the kept part of a large value is processed."""
    if value is None:
        return "done"
    value = pruned(value, most)
    if not isinstance(value, str):
        try:
            value = pydantic_core.to_json(value).decode()
        except pydantic_core.PydanticSerializationError:
            value = str(value)
    return shortened(value, most + _MARKER)
