import argparse
import json
from pathlib import Path

import pytest

from gateway.commands import check, explain

TREE = Path(__file__).parents[3]
PLAN = """\
timezone: America/New_York
region: US
numbers:
  "+15550100": [{when: "mon-fri 08:00-18:00", persona: p.Open}, {otherwise: p.Closed}]
  "200": {persona: p.Open, recording: false, session: {end_silence_ms: 400}, speech: {llm: [instant, rules]}}
"""


def trunkline(*words: str) -> int:
    parser = argparse.ArgumentParser(prog="trunkline")
    subparsers = parser.add_subparsers(required=True)
    check.add_parser(subparsers)
    explain.add_parser(subparsers)
    args = parser.parse_args(words)
    return args.run(args)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("p.py").write_text(
        "from agent import Agent\n\nclass Open(Agent):\n    pass\n\nclass Closed(Agent):\n    pass\n"
    )
    Path("d.yaml").write_text(PLAN)
    Path("s.yaml").write_text(
        'sip: {listen: ["udp://127.0.0.1:5060"], trunks: [{name: uk, allow: ["10.0.0.0/8"], region: GB}]}\n'
        "dialplans: [d.yaml]\n"
    )
    return tmp_path


def test_check_says_what_is_good(folder, capsys):
    assert trunkline("check", "--config", "s.yaml") == 0
    assert capsys.readouterr().out == "d.yaml: ok. 2 numbers, personas p.Open, p.Closed\n"


def test_check_for_machines(folder, capsys):
    assert trunkline("check", "--json", "d.yaml") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["ok"], report["numbers"]) == (True, ["+15550100", "200"])


def test_check_names_the_problems_of_settings_and_given_dialplans(folder, capsys):
    Path("s.yaml").write_text("workers: many\n")
    Path("e.yaml").write_text('numbers: {"1": p.Nobody}\n')
    assert trunkline("check", "--config", "s.yaml", "e.yaml", "--json") == 2
    report = json.loads(capsys.readouterr().out)
    assert [problem["file"] for problem in report["problems"]] == ["s.yaml", "s.yaml", "s.yaml", "e.yaml"]


def test_check_finds_what_only_loading_shows(folder, capsys):
    Path("p.py").write_text(
        "from agent import Agent, function_tool\nfrom agent.rules import Intent, Rules, Slot\n\n"
        "class Open(Agent):\n"
        "    rules = Rules((Intent('a', ('(x', '{day}'), tool='nothing'),), {'y': Slot('?', digits=(3, 2))})\n\n"
        "class Closed(Agent):\n    @function_tool\n    async def f(self, ctx, x): ...\n"
    )
    assert trunkline("check", "d.yaml") == 2
    said = capsys.readouterr().err.splitlines()
    assert [line.split(": ", 2)[:2] for line in said[:-1]] == [["p.py:4", "Open"]] * 4 + [["p.py:7", "Closed"]]
    assert 'unknown tool "nothing"; known are: end_call' in "\n".join(said)
    assert said[-1] == "5 problems found"


def test_check_finds_misspelt_canned_keys_and_voices_with_their_lines(folder, capsys):
    Path("p.py").write_text(
        "from agent import Agent\n\n"
        "class Open(Agent):\n"
        "    canned = {\n        'goodbye': 'Bye.',\n        'goodby_silence': 'Bye.',\n    }\n\n"
        "class Closed(Agent):\n    greeting = 'Hi.'\n    voice = 'en-ux'\n\n"
        "class HandedTo(Agent):\n    voice: str = 'nobody'\n\n"
        "class Foreign(Agent):\n    language = 'xx'\n"
    )
    assert trunkline("check", "d.yaml") == 2
    said = capsys.readouterr().err.splitlines()
    unknown = "; `espeak-ng --voices` lists them, as in 'en-us' or 'en-us+f3'"
    assert sorted(line for line in said[:-1] if not line.startswith("warning:")) == [
        f"p.py:11: Closed: espeak: no voice 'en-ux'{unknown}",
        f"p.py:14: HandedTo: espeak: no voice 'nobody'{unknown}",
        f"p.py:17: Foreign: espeak: no voice 'xx'{unknown}",
        'p.py:6: Open: canned: "goodby_silence" is not known; did you mean "goodbye_silence"?',
    ]


def test_a_voice_or_a_language_that_the_second_provider_has_is_no_problem(folder, capsys):
    Path("p.py").write_text(
        "from agent import Agent\n\n"
        "class Open(Agent):\n    voice = 'en-gb+f3'\n\n"
        "class Closed(Agent):\n    language = 'de'\n"
    )
    assert trunkline("check", "d.yaml") == 0


def test_check_finds_attributes_that_would_fail_amid_a_call(folder, capsys):
    Path("p.py").write_text(
        "from agent import Agent\n\n"
        "class Open(Agent):\n    greeting = 5\n    canned = {'goodbye': 5}\n\n"
        "class Closed(Agent):\n    def greeting(self): ...\n    rules = {}\n\n"
        "class Fine(Agent):\n    grreting = 'Hi.'\n\n    @property\n    def language(self):\n        return 'en'\n"
    )
    assert trunkline("check", "d.yaml") == 2
    assert sorted(capsys.readouterr().err.splitlines()) == [
        "4 problems found",
        "p.py:4: Open: greeting must be text, not int",
        'p.py:5: Open: canned: "goodbye" must be text, not int',
        "p.py:7: Closed: greeting must be text, not a function",
        "p.py:9: Closed: rules must be Rules, not dict",
        'warning: p.py:12: Fine: nothing reads "grreting"; did you mean "greeting"?',
    ]


def test_prewarm_answers_no_call(folder, capsys):
    Path("p.py").write_text("def prewarm(): ...\n")
    Path("d.yaml").write_text('numbers: {"+15550100": p.prewarm}\n')
    assert trunkline("check", "d.yaml") == 2
    assert "does not create a persona" in capsys.readouterr().err


def test_check_finds_a_voice_behind_a_slash(folder, capsys):
    Path("d.yaml").write_text(PLAN + "speech: {tts: [espeak/en-ux]}\n")
    assert trunkline("check", "d.yaml") == 2
    assert "speech.tts: espeak: no voice 'en-ux'" in capsys.readouterr().err


def test_check_finds_a_persona_s_own_provider_that_is_none(folder, capsys):
    Path("p.py").write_text(
        "from agent import Agent\n\nclass Open(Agent):\n    llm = 'opanai/gpt'\n\n"
        "class Closed(Agent):\n    tts = 'espeak'\n    voice = 'no-such'\n"
    )
    assert trunkline("check", "d.yaml") == 2
    said = capsys.readouterr().err
    assert 'p.py:4: Open: unknown llm provider "opanai"; known are: rules, openai, instant' in said
    assert "p.py:8: Closed: espeak: no voice 'no-such'" in said


def test_check_finds_turns_that_nobody_could_detect(folder, capsys):
    Path("p.py").write_text(
        "from agent import Agent\n\nclass Open(Agent):\n    turn_detection = 'stt'\n\n"
        "class Closed(Agent):\n    turn_detection = 'maual'\n"
    )
    assert trunkline("check", "d.yaml") == 2
    said = capsys.readouterr().err
    needs = "stt needs a recogniser that detects turns, and moonshine does not"
    assert f"p.py:4: Open: turn_detection: {needs}" in said
    assert "p.py:7: Closed: turn_detection: must be vad, stt or manual, not 'maual'" in said
    Path("p.py").write_text("from agent import Agent\n\nclass Open(Agent): ...\n\nclass Closed(Agent): ...\n")
    Path("d.yaml").write_text(PLAN + "session: {turn_detection: stt}\n")
    assert trunkline("check", "--config", "s.yaml") == 2
    assert f"session.turn_detection: {needs}" in capsys.readouterr().err


def test_check_warns_of_a_language_without_words_or_ears(folder, capsys):
    Path("p.py").write_text(
        "from agent import Agent\n\nclass Open(Agent):\n    language = 'nl'\n\nclass Closed(Agent):\n    pass\n"
    )
    assert trunkline("check", "d.yaml") == 0
    said = capsys.readouterr().err
    assert 'warning: p.py:4: Open: no canned phrases in "nl": English ones will be used for unavailable' in said
    assert 'warning: p.py:4: Open: speaks "nl", and moonshine and pocketsphinx hear English only' in said


def test_check_of_a_factory(folder, capsys):
    Path("p.py").write_text(
        "from agent import Agent\n\nclass Open(Agent):\n    pass\n\n"
        "def Closed(call, shared, more) -> Agent:\n    raise RuntimeError('is not called')\n"
    )
    assert trunkline("check", "d.yaml") == 2
    assert "p.py:6: Closed is not a persona: Closed(call, shared, more)" in capsys.readouterr().err
    Path("q.py").write_text(
        "from agent import Agent\n\nclass Open(Agent):\n    canned = {'nope': ''}\n\n"
        "async def closed(call) -> Agent:\n    raise RuntimeError('is not called')\n"
    )
    Path("d.yaml").write_text('numbers: {"1": q.closed}\n')
    assert trunkline("check", "d.yaml") == 2
    assert capsys.readouterr().err.startswith('q.py:4: Open: canned: "nope" is not known')


def test_check_warns_of_missing_secrets(folder, capsys, monkeypatch):
    monkeypatch.delenv("TRUNKLINE_TEST_KEY", raising=False)
    with Path("s.yaml").open("a") as file:
        file.write("http: {api_keys: [{env: TRUNKLINE_TEST_KEY}]}\n")
    assert trunkline("check", "--config", "s.yaml") == 0
    assert "warning: environment variable TRUNKLINE_TEST_KEY is not set" in capsys.readouterr().err


def test_check_of_nothing_is_bad_input(capsys):
    assert trunkline("check") == 2


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["+15550100", "--at", "2026-11-20 10:00"], 0, "-> p.Open (p.py)"),
        (["5550100", "--at", "2026-11-20 20:00"], 0, "-> p.Closed (p.py)"),
        (["5550100", "--at", "2026-11-20T15:00+00:00"], 0, "-> p.Open (p.py)"),
        (["200"], 0, "session: end_silence_ms 400"),
        (["200"], 0, "speech: llm instant then rules"),
        (["200"], 0, "recording: off"),
        (["999"], 1, "-> refused with 404: no number in d.yaml matches 999"),
    ],
)
def test_explain(folder, capsys, words, code, said):
    assert trunkline("explain", *words, "--dialplan", "d.yaml") == code
    assert said in capsys.readouterr().out


def test_explain_uses_the_region_of_the_only_trunk(folder, capsys):
    assert trunkline("explain", "5550100", "--config", "s.yaml") == 1
    assert trunkline("explain", "0015550100", "--config", "s.yaml", "--trunk", "uk") == 0


def test_explain_for_machines(folder, capsys):
    words = [
        "explain",
        "+15550100",
        "--from",
        "anonymous",
        "--at",
        "2026-11-20 20:00",
        "--dialplan",
        "d.yaml",
        "--json",
    ]
    assert trunkline(*words) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["answered"], report["caller"], report["persona"]["name"]) == (True, None, "p.Closed")
    assert report["rule"] == "d.yaml:4 otherwise"
    assert [step["matched"] for step in report["steps"]] == [True, False, True]


@pytest.mark.parametrize(
    "words",
    [
        ["100", "--dialplan", "nothere.yaml"],
        ["100", "--dialplan", "d.yaml", "--at", "tomorrow"],
        ["100", "--dialplan", "d.yaml", "--at", "0001-01-01 00:00"],
        ["100", "--config", "s.yaml", "--trunk", "us"],
        ["100", "--dialplan", "d.yaml", "--trunk", "uk"],
    ],
)
def test_explain_of_bad_input(folder, capsys, words):
    assert trunkline("explain", *words) == 2
    assert capsys.readouterr().err


@pytest.mark.parametrize("words", [["--config", "demo.yaml"], ["--config", "bench/gateway.yaml"]])
def test_what_is_in_the_tree_is_good(monkeypatch, capsys, words):
    monkeypatch.chdir(TREE)
    assert trunkline("check", *words) == 0


@pytest.mark.parametrize("at", ["2026-12-25 03:00", "2026-11-20 10:00"])
def test_the_demo_number_reaches_the_clinic_at_any_time(monkeypatch, capsys, at):
    monkeypatch.chdir(TREE)
    assert trunkline("explain", "+15550123", "--at", at, "--config", "demo.yaml") == 0
    assert "-> clinic.Reception" in capsys.readouterr().out


def test_the_example_in_the_docs_is_good(tmp_path, monkeypatch, capsys):
    example = (TREE / "docs" / "dialplan.md").read_text().split("```yaml\n")[1].split("```")[0]
    monkeypatch.chdir(tmp_path)
    Path("clinic.py").write_text("class Reception: pass\nclass AfterHours: pass\n")
    Path("orders.py").write_text("class OrderStatus: pass\n")
    Path("d.yaml").write_text(example)
    assert (
        trunkline("explain", "+15550100", "--from", "+15550111", "--at", "2026-12-24 10:00", "--dialplan", "d.yaml")
        == 0
    )
    assert "-> clinic.AfterHours" in capsys.readouterr().out
