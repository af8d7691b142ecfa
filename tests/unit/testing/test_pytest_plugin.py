"""The plugin as a user's own tests see it, in a pytest of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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

NOWHERE = """
import pytest

@pytest.mark.recorded_calls("nothing_here")
def test_recorded(recorded_call):
    pass
"""


def pytest_run(folder: Path, **files: str) -> str:
    for name, text in files.items():
        (folder / f"test_{name}.py").write_text(text)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-v",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:asyncio",
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


def test_a_folder_without_calls_is_told(tmp_path: Path) -> None:
    assert "nothing_here: no such folder" in pytest_run(tmp_path, nowhere=NOWHERE)


def test_the_plugin_costs_other_test_runs_nothing() -> None:
    """It is loaded by each pytest run in the environment: no speech, no models, no validation library."""
    heavy = ("numpy", "pydantic", "ruamel", "pocketsphinx", "agent.session", "agent.testing.replay")
    code = f"import sys, agent.testing.pytest_plugin; print([name for name in {heavy!r} if name in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"
