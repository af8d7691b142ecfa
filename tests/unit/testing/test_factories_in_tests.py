"""A factory where a persona may be named: text calls, the plugin's marker, replays, the console."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from agent.providers.rules import RulesLLM
from agent.testing import TextCall, run_text
from agent.testing.fixture_format import load_fixture
from agent.testing.personas import PersonaNotFound, load_persona
from agent.testing.replay import replay_fixture
from gateway.cli import main
from telephony.call import CallInfo, Direction

TREE = Path(__file__).parents[3]
PERSONAS = """
from agent import Agent, CallInfo, Intent, Rules, RunContext, function_tool

class Reception(Agent):
    greeting = "Hello."
    rules = Rules((Intent("who", ("who am i",), tool="who", reply="You are {result}."),))

    @function_tool
    def who(self, ctx: RunContext) -> str:
        return ctx.userdata["name"]

    @classmethod
    def for_call(cls, call: CallInfo) -> tuple["Reception", dict[str, str]]:
        return cls(), {"name": call.caller or "nobody"}

def prewarm() -> dict[str, str]:
    return {"+15550123": "Ada"}

async def reception(call: CallInfo, names: dict[str, str]) -> tuple[Agent, dict[str, str]]:
    return Reception(), {"name": names.get(call.caller, "somebody")}
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clinic.py").write_text(PERSONAS)
    return tmp_path / "clinic.py"


def ask(reference: str, caller: str | None = None) -> str:
    async def script() -> str:
        info = CallInfo("c1", Direction.INBOUND, "+15550100", caller, "t")
        call = TextCall(load_persona(reference), RulesLLM(), info=info)
        answer = await call.run(user_input="Who am I?")
        await call.aclose()
        return answer.text

    return run_text(script())


@pytest.mark.parametrize(
    ("name", "caller", "answer"),
    [
        ("reception", "+15550123", "You are Ada."),
        ("reception", None, "You are somebody."),
        ("Reception.for_call", "+15550199", "You are +15550199."),
    ],
)
def test_a_text_call(file: Path, name: str, caller: str | None, answer: str) -> None:
    assert ask(f"clinic.py:{name}", caller) == answer


def test_the_console(file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("who am i\n\n"))
    assert main(["console", "clinic.py:reception"]) == 0
    assert "You are somebody." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import agent\nimport no_such_bakery\n", "bistro.py:2: import failed: ModuleNotFoundError"),
        ("import no_such_bakery\n", "; is no_such_bakery installed in "),
        ("import clinic\n", '; import files in the same folder with a dot: "from .clinic import'),
        ("x = (\n", "bistro.py:1: import failed: SyntaxError"),
        (
            "from agent import Agent\nclass Host(Agent):\n    def __init__(self, table): ...\n",
            "bistro.py:Host failed: TypeError",
        ),
    ],
)
def test_the_console_says_where_a_persona_s_file_breaks(
    file: Path, text: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file.with_name("bistro.py").write_text(text)
    assert main(["console", "bistro.py:Host"]) == 2
    assert said in capsys.readouterr().err


def test_a_replay(file: Path) -> None:
    """The caller of a recorded call reaches the factory."""
    fixture = load_fixture(TREE / "tests" / "fixtures" / "audio" / "hangs_up")
    seen: list[CallInfo] = []

    def factory(call: CallInfo) -> object:
        seen.append(call)
        return load_persona(fixture.persona, fixture.folder)()

    replay_fixture(fixture, persona=factory).assert_as_recorded()
    assert [(call.called, call.caller) for call in seen] == [(fixture.number, fixture.caller)]


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("bistro.Host", "no persona 'bistro.Host': no file bistro.py in "),
        ("clinic.Reception", "did you mean clinic.py:Reception?"),
        ("clinik.Reception", "did you mean clinic.py:Reception?"),
        ("bistro.Host", "write the file and the class or factory in it, as in dialplans/clinic.py:Reception"),
        ("clinic.py:Host", "personas and factories in it: Reception, reception"),
    ],
)
def test_a_persona_that_is_not_there_is_told_with_what_to_do(file: Path, reference: str, said: str) -> None:
    with pytest.raises(PersonaNotFound) as caught:
        load_persona(reference)
    assert said in str(caught.value)
