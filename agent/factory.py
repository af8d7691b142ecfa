"""Creates the persona of one call from a dialplan's reference: a persona class, or a factory of persona and userdata.

    def prewarm() -> Calendar: ...                                      # once a process
    async def reception(call: CallInfo, calendar: Calendar) -> tuple[Agent, Visit]: ...

A factory takes the call's `CallInfo` and what `prewarm` of its file returned, or only the first of these, or neither.
It may be `async`; otherwise it runs in a thread, like tools. It returns the persona, or `(persona, userdata)`.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
import typing
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from agent.clock import offload_for_tools
from agent.persona import Agent
from agent.providers.base import Offload
from telephony.call import CallInfo

__all__ = [
    "BadFactory",
    "Cast",
    "FactoryFailed",
    "PersonaMaker",
    "SharedByCalls",
    "cast_for",
    "check_factory",
    "persona_class",
    "personas_beside",
]

PersonaMaker = type[Agent] | Callable[..., Any]
"""A persona's class or a factory."""

PREWARM = "prewarm"
LIMIT_S = 10.0  # for a factory, while the phone rings


class BadFactory(TypeError):
    """It can't be called like a factory, or did not return what a factory returns."""


class FactoryFailed(RuntimeError):
    """The factory, or `prewarm` of its file, raised or took too long; the message says which."""


@dataclass(frozen=True, slots=True)
class Cast:
    """Who answers a call, and the session's userdata."""

    agent: Agent
    userdata: Any = None


class SharedByCalls:
    """What `prewarm` of each persona file returned. One per process and event loop, for all its calls."""

    def __init__(self, offload: Offload) -> None:
        self._offload = offload_for_tools(offload)  # it may hang, and must not slow down speech
        self._made: dict[str, asyncio.Task[Any]] = {}

    async def warm(self, makers: Iterable[PersonaMaker]) -> list[Exception]:
        """Run `prewarm` of their files unless already done. Failures are retried by the first call
        that needs it."""
        modules = dict.fromkeys(maker.__module__ for maker in makers)
        results = await asyncio.gather(*(self._of(module) for module in modules), return_exceptions=True)
        return [result for result in results if isinstance(result, Exception)]

    async def of(self, maker: PersonaMaker) -> Any:
        """None: the file has no `prewarm`. Raises FactoryFailed."""
        return await self._of(maker.__module__)

    async def _of(self, module: str) -> Any:
        prewarm = getattr(sys.modules.get(module), PREWARM, None)
        if not callable(prewarm):
            return None
        task = self._made.get(module)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = self._made[module] = asyncio.create_task(_run(prewarm, (), self._offload), name=f"prewarm {module}")
        try:
            return await asyncio.shield(task)  # a waiter may give up; the others still need it
        except Exception as error:
            where = getattr(sys.modules.get(module), "__file__", None) or module
            raise FactoryFailed(f"prewarm of {where} failed: {type(error).__name__}: {error}") from error


async def cast_for(maker: PersonaMaker, call: CallInfo, shared: SharedByCalls, offload: Offload) -> Cast:
    """Create persona and userdata for one call. Raises BadFactory, FactoryFailed, and what a class itself raises."""
    if isinstance(maker, type) and issubclass(maker, Agent):
        return Cast(maker())
    arguments = (call, await shared.of(maker))[: check_factory(maker)]
    try:
        async with asyncio.timeout(LIMIT_S):
            value = await _run(maker, arguments, offload_for_tools(offload))
    except Exception as error:
        said = f"took longer than {LIMIT_S:g} s" if isinstance(error, TimeoutError) else ""
        raise FactoryFailed(f"{_name(maker)} {said or f'failed: {type(error).__name__}: {error}'}") from error
    return _as_cast(maker, value)


def check_factory(factory: Callable[..., Any]) -> int:
    """How many of (call, shared) it takes. Raises BadFactory if it can't be called with them."""
    if getattr(factory, "__name__", "") == PREWARM:
        raise BadFactory(f"{PREWARM} runs once per process and does not create a persona: name a class or a factory")
    if not callable(factory):
        raise BadFactory(f"{_name(factory)} is neither a class derived from agent.Agent nor a factory")
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError) as error:
        raise BadFactory(f"{_name(factory)}: {error}") from error
    for count in (2, 1, 0):
        try:
            signature.bind(*range(count))
        except TypeError:
            continue
        return count
    raise BadFactory(f"{_name(factory)}{signature} can't be a factory: it is called with (call, shared), or fewer")


def persona_class(maker: PersonaMaker) -> type[Agent]:
    """The class whose voice and canned words a call has before its persona is created: the class itself, a class
    method's class, the return annotation's class, or `Agent`."""
    if isinstance(maker, type) and issubclass(maker, Agent):
        return maker
    owner = getattr(maker, "__self__", None)
    try:
        hint = typing.get_type_hints(maker).get("return")
    except (NameError, TypeError):
        hint = None
    for found in (hint, *typing.get_args(hint), owner):
        if isinstance(found, type) and issubclass(found, Agent) and found is not Agent:
            return found
    return Agent


def personas_beside(maker: PersonaMaker) -> Iterator[type[Agent]]:
    """The personas of the maker's file: itself first if it is one, then possible handoff targets."""
    if isinstance(maker, type):
        yield maker
    for value in vars(sys.modules[maker.__module__]).values():
        if not isinstance(value, type) or not issubclass(value, Agent) or value is maker:
            continue
        if value.__module__ == maker.__module__ and not value.__name__.startswith("_"):
            yield value


async def _run(function: Callable[..., Any], arguments: tuple[Any, ...], offload: Offload) -> Any:
    if inspect.iscoroutinefunction(function):
        return await function(*arguments)
    value = await offload(lambda: function(*arguments), modelled_ms=0.0)
    return await value if inspect.isawaitable(value) else value


def _as_cast(maker: PersonaMaker, value: object) -> Cast:
    if isinstance(value, Agent):
        return Cast(value)
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], Agent):
        return Cast(*value)
    raise BadFactory(f"{_name(maker)} must return a persona or (persona, userdata), not {type(value).__name__}")


def _name(maker: object) -> str:
    return str(getattr(maker, "__qualname__", maker))
