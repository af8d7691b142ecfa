"""Who answers a call: a class, or a factory with the result of its file's `prewarm`, which runs once per process."""

from __future__ import annotations

import asyncio
import sys
import types
from collections.abc import Callable
from typing import Any

import pytest

from agent import Agent
from agent.factory import BadFactory, FactoryFailed, SharedByCalls, cast_for, persona_class
from agent.providers.fakes import FakeOffload
from agent.testing.virtual_clock import run_virtual
from telephony.call import CallInfo, Direction

CALL = CallInfo("c1", Direction.INBOUND, "+15550100", "+15550123", "local")


class Reception(Agent):
    """A receptionist."""

    def __init__(self, name: str = "") -> None:
        super().__init__()
        self.who = name

    @classmethod
    def for_call(cls, call: CallInfo) -> Reception:
        return cls(call.called)


@pytest.fixture
def module() -> Any:
    made = types.ModuleType("personas_of_test_factory")
    sys.modules[made.__name__] = made
    yield made
    del sys.modules[made.__name__]


def placed(module: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    """As if it were defined in that module."""
    function.__module__ = module.__name__
    return function


def test_a_class_is_made_without_arguments() -> None:
    async def script() -> None:
        cast = await cast_for(Reception, CALL, SharedByCalls(FakeOffload()), FakeOffload())
        assert isinstance(cast.agent, Reception)
        assert cast.userdata is None

    run_virtual(script())


def test_prewarm_runs_once_and_each_call_has_its_own_persona_and_userdata(module: Any) -> None:
    warmed: list[str] = []

    async def prewarm() -> str:
        await asyncio.sleep(1)
        warmed.append("calendar")
        return "calendar"

    async def reception(call: CallInfo, calendar: str) -> tuple[Agent, dict[str, str | None]]:
        return Reception(), {"calendar": calendar, "caller": call.caller}

    async def script() -> None:
        module.prewarm = prewarm
        factory = placed(module, reception)
        shared = SharedByCalls(FakeOffload())
        one, other = await asyncio.gather(*(cast_for(factory, CALL, shared, FakeOffload()) for _ in range(2)))
        assert warmed == ["calendar"]
        assert one.userdata == {"calendar": "calendar", "caller": "+15550123"}
        assert one.userdata is not other.userdata
        assert one.agent is not other.agent

    run_virtual(script())


def test_factories_of_other_shapes(module: Any) -> None:
    async def script() -> None:
        shared = SharedByCalls(FakeOffload())
        for factory, who in ((Reception.for_call, "+15550100"), (lambda: Reception("nobody"), "nobody")):
            cast = await cast_for(factory, CALL, shared, FakeOffload())
            assert isinstance(cast.agent, Reception)
            assert cast.agent.who == who

    run_virtual(script())


def test_a_prewarm_that_failed_is_tried_again(module: Any) -> None:
    tries: list[int] = []

    def prewarm() -> str:
        tries.append(1)
        if len(tries) == 1:
            raise ConnectionError("no database")
        return "there"

    def reception(call: CallInfo, shared: str) -> tuple[Agent, str]:
        return Reception(), shared

    async def script() -> None:
        module.prewarm = prewarm
        factory = placed(module, reception)
        shared = SharedByCalls(FakeOffload())
        (error,) = await shared.warm([factory])
        assert "ConnectionError: no database" in str(error)
        assert (await cast_for(factory, CALL, shared, FakeOffload())).userdata == "there"

    run_virtual(script())


def test_what_a_factory_may_not_do() -> None:
    def wants_more(call: CallInfo, shared: object, day: str) -> Agent:
        raise AssertionError("is not called")

    def gives_something_else() -> Any:
        return "Reception"

    def raises() -> Agent:
        raise LookupError("no such patient")

    async def hangs() -> Agent:
        await asyncio.sleep(60)
        raise AssertionError("is given up before")

    async def script() -> None:
        shared = SharedByCalls(FakeOffload())
        for factory, error, said in (
            (wants_more, BadFactory, "it is called with (call, shared), or fewer"),
            (gives_something_else, BadFactory, "must return a persona or (persona, userdata), not str"),
            (raises, FactoryFailed, "failed: LookupError: no such patient"),
            (hangs, FactoryFailed, "took longer than 10 s"),
        ):
            with pytest.raises(error) as caught:
                await cast_for(factory, CALL, shared, FakeOffload())
            assert said in str(caught.value)

    run_virtual(script())


def test_the_class_that_a_factory_stands_for() -> None:
    def one() -> Reception: ...

    def two() -> tuple[Reception, str]: ...

    def vague() -> tuple[Agent, str]: ...

    assert [persona_class(each) for each in (Reception, Reception.for_call, one, two)] == [Reception] * 4
    assert persona_class(vague) is Agent
