"""The pytest plugin: fixtures that run conversations and recorded calls as tests. docs/testing.md is its manual.

    @pytest.mark.persona("dialplans/clinic.py:Reception")
    async def test_hours(call):
        result = await call.run(user_input="When are you open?")
        result.expect.next_event().is_message(contains="eight to six")

    @pytest.mark.recorded_calls("tests/fixtures/audio")
    def test_recorded(recorded_call, replay):
        replay(recorded_call).assert_as_recorded()

Everything is imported on use: each pytest run in an environment with Trunkline loads this module.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from agent.factory import PersonaMaker
    from agent.persona import Agent
    from agent.providers.base import LLM
    from agent.testing.replay import ReplayResult
    from agent.testing.text_call import TextCall

_NO_PERSONA = (
    'which persona? Mark the test with @pytest.mark.persona("path/to/file.py:Class") or persona(cls=Class), '
    "or override the fixture `persona`"
)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", 'persona("path/to/file.py:Class"), or persona(cls=Class): the persona under test'
    )
    config.addinivalue_line(
        "markers", "recorded_calls(folder): run the test for each recorded call in the folder, as `recorded_call`"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "recorded_call" not in metafunc.fixturenames:
        return
    marker = metafunc.definition.get_closest_marker("recorded_calls")
    if marker is None or not marker.args:
        raise pytest.UsageError(f'{metafunc.definition.nodeid}: which? Use @pytest.mark.recorded_calls("folder")')
    from agent.testing.fixture_format import FixtureError, find_fixtures

    try:
        folders = [found for folder in marker.args for found in find_fixtures(metafunc.config.rootpath / folder)]
    except FixtureError as error:
        raise pytest.UsageError(f"{metafunc.definition.nodeid}: {error}") from error
    metafunc.parametrize("recorded_call", folders, ids=[folder.name for folder in folders])


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an `async` test that uses `call`, with or without a plugin for async tests, on the clock of text
    conversations, where waiting takes no time."""
    if "call" not in pyfuncitem.fixturenames:
        return None
    test = _as_written(pyfuncitem)
    text_call = pyfuncitem.funcargs.get("call")
    if not inspect.iscoroutinefunction(test) or not hasattr(text_call, "aclose"):
        return None
    from agent.testing.text_clock import run_text

    wanted = pyfuncitem._fixtureinfo.argnames
    run_text(_test_and_close(test(**{name: pyfuncitem.funcargs[name] for name in wanted}), text_call))
    return True


def _as_written(item: pytest.Function) -> Any:
    """The test's own function: pytest-asyncio replaces it for the run."""
    holder = item.instance if item.instance is not None else item.module
    return getattr(holder, item.originalname, item.obj)


async def _test_and_close(test: Coroutine[Any, Any, None], text_call: Any) -> None:
    try:
        await test
    finally:
        await text_call.aclose()


@pytest.fixture
def replay(request: pytest.FixtureRequest) -> Callable[..., ReplayResult]:
    """Replays a recorded call on a virtual clock: `replay(folder, persona=…, userdata=…)`. Relative folders start at
    pytest's root folder."""
    root = request.config.rootpath

    def run(folder: Path | str, *, persona: PersonaMaker | None = None, userdata: Any = None) -> ReplayResult:
        from agent.testing import replay as replaying

        return replaying.replay(root / folder, persona=persona, userdata=userdata)

    return run


@pytest.fixture
def persona(request: pytest.FixtureRequest) -> Agent | PersonaMaker:
    """The persona under test, from the marker. Override it for a persona that needs arguments."""
    marker = request.node.get_closest_marker("persona")
    if marker is not None and "cls" in marker.kwargs:
        # A class as the only argument would turn the marker into a decorator of that class (pytest's rule).
        given: PersonaMaker = marker.kwargs["cls"]
        return given
    if marker is None or not marker.args:
        raise pytest.UsageError(f"{request.node.nodeid}: {_NO_PERSONA}")
    from agent.testing.personas import load_persona

    return load_persona(marker.args[0], request.path)


@pytest.fixture
def llm() -> LLM:
    """The model of `call`: the persona's own rules, offline. Override it to test with a real model."""
    from agent.providers.rules import RulesLLM

    return RulesLLM()


@pytest.fixture
def call(persona: Agent | PersonaMaker, llm: LLM) -> Iterator[TextCall]:
    """A conversation in text with `persona`: `result = await call.run(user_input=…)`, then `result.expect…`."""
    from agent.testing.text_call import TextCall

    text_call = TextCall(persona, llm)
    yield text_call
    loop = text_call.loop
    if loop is not None and not loop.is_closed() and not loop.is_running():
        asyncio.set_event_loop(loop)
        loop.run_until_complete(text_call.aclose())
