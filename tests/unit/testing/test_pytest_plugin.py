"""The plugin as seen by a user's tests, in a separate pytest."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

AUDIO = Path(__file__).parents[2] / "fixtures" / "audio"

RECORDED = f"""
import pytest

@pytest.mark.recorded_calls({str(AUDIO / "hangs_up")!r})
def test_recorded(recorded_call, replay):
    replay(recorded_call).assert_as_recorded()

def test_without_a_persona(call):
    pass
"""

OVERRIDDEN = """
import asyncio
import pytest
from agent import Agent, Intent, Rules

class Greeter(Agent):
    def __init__(self, name):
        super().__init__(greeting=f"This is {name}.")
        self.rules = Rules((Intent("hello", ("hello",), reply=f"Hello from {name}."),))

@pytest.fixture
def persona():
    return Greeter("Ada")

def test_without_asyncio_plugin(call):
    async def talk():
        result = await call.run(user_input="hello")
        result.expect.next_event().is_message(contains="hello from ada")
        assert call.greeting == "This is Ada."

    asyncio.run(talk())
"""

SLOW = """
import asyncio
import time
import pytest
from agent import Agent, Intent, Rules, function_tool

class Slow(Agent):
    rules = Rules(
        (
            Intent("wait", ("wait",), tool="wait", reply="I have {result}."),
            Intent("work", ("work",), tool="in_a_thread", reply="I have {result}."),
        )
    )

    @function_tool(timeout_s=None)
    async def wait(self) -> str:
        await asyncio.sleep(120)
        return "waited"

    @function_tool
    def in_a_thread(self) -> str:
        time.sleep(0.2)
        return "worked"

@pytest.fixture
def persona():
    return Slow()

async def test_virtual(call):
    began, real = asyncio.get_running_loop().time(), time.monotonic()
    result = await call.run(user_input="wait")
    assert "I have waited." in result.text
    assert asyncio.get_running_loop().time() - began >= 120
    assert time.monotonic() - real < 5

async def test_what_is_in_a_thread_is_waited_for(call):
    assert (await call.run(user_input="work")).text == "I have worked."

class TestInAClass:
    async def test_virtual_too(self, call, tmp_path):
        assert (await call.run(user_input="wait")).text

async def test_of_something_else_is_left_to_others():
    raise AssertionError("ran")
"""

NOWHERE = """
import pytest

@pytest.mark.recorded_calls("nothing_here")
def test_recorded(recorded_call):
    pass
"""


def pytest_run(folder: Path, *more: str, **files: str) -> str:
    for name, text in files.items():
        (folder / f"test_{name}.py").write_text(text)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-v",
        "-p",
        "no:cacheprovider",
        *(more or ("-p", "no:asyncio")),
        "--rootdir",
        str(folder),
    ]
    return subprocess.run([*command, str(folder)], capture_output=True, text=True, cwd=folder, check=False).stdout


def test_fixtures_and_markers(tmp_path: Path) -> None:
    out = pytest_run(tmp_path, recorded=RECORDED, overridden=OVERRIDDEN)
    assert "test_recorded[hangs_up] PASSED" in out, out
    assert "test_without_asyncio_plugin PASSED" in out
    assert "test_without_a_persona ERROR" in out
    assert "which persona? Mark the test with" in out


@pytest.mark.parametrize("plugin", [("-p", "no:asyncio"), ("--asyncio-mode=strict",), ("--asyncio-mode=auto",)])
def test_async_tests_with_a_call_run_on_virtual_time_without_any_setting(
    tmp_path: Path, plugin: tuple[str, ...]
) -> None:
    out = pytest_run(tmp_path, *plugin, slow=SLOW)
    assert "test_virtual PASSED" in out, out
    assert "test_virtual_too PASSED" in out
    assert "test_what_is_in_a_thread_is_waited_for PASSED" in out
    assert "test_of_something_else_is_left_to_others FAILED" in out  # run by pytest-asyncio, or by nobody


def test_a_folder_without_calls_is_told(tmp_path: Path) -> None:
    assert "nothing_here: no such folder" in pytest_run(tmp_path, nowhere=NOWHERE)


def test_the_plugin_costs_other_test_runs_nothing() -> None:
    """It is loaded by each pytest run in the environment: no speech, no models, no validation library."""
    heavy = ("numpy", "pydantic", "ruamel", "pocketsphinx", "agent.session", "agent.testing.replay")
    code = f"import sys, agent.testing.pytest_plugin; print([name for name in {heavy!r} if name in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"
