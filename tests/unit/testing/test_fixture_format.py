"""Fixture files: what valid ones mean, and where invalid ones are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.testing.clips import write_ulaw_wav
from agent.testing.fixture import Clip, Digits, HangUp, NoiseBurst, Pause, When
from agent.testing.fixture_format import FixtureError, find_fixtures, load_fixture

GOOD = """\
description: A test
number: "+15550100"
caller: "+15550123"
persona: dialplans/clinic.py:Reception
time: 2026-11-23T10:30
session: {end_silence_ms: 400}
line_noise: {dbfs: -55, seed: 3}
limit: 60
timeline:
  - {after: agent, wait: 0.6, speech: hello.wav, says: hello there}
  - {wait: 1.5, silence: 2}
  - {during: agent, noise: -30, for: 0.4}
  - {at: 12.5, dtmf: "12w3#", press_ms: 80}
  - {after: agent, hang_up: true}
expect:
  ended_by: caller
  events:
    - session_started
    - user_message: {contains: [hello, there], source: speech}
    - function_call: {name: book, arguments: {part: morning, count: 2}}
    - turn_latency: {within_ms: 900}
  never:
    - agent_message: {interrupted: true}
"""


def write(folder: Path, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "fixture.yaml").write_text(text)
    write_ulaw_wav(folder / "hello.wav", bytes(3200))
    return folder


def problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(FixtureError) as caught:
        load_fixture(write(folder, text))
    return [problem.removeprefix(f"{folder}/") for problem in caught.value.problems]


def test_a_good_file(tmp_path: Path) -> None:
    fixture = load_fixture(write(tmp_path / "good", GOOD))
    assert fixture.name == "good"
    assert (fixture.number, fixture.caller, fixture.limit_s) == ("+15550100", "+15550123", 60)
    assert fixture.time is not None and fixture.time.hour == 10
    assert [step.when for step in fixture.timeline] == [
        When("after_agent", 0.6),
        When("after_step", 1.5),
        When("during_agent", 0.5),
        When("at", 12.5),
        When("after_agent", 1.0),
    ]
    assert [step.action for step in fixture.timeline] == [
        Clip("hello.wav", bytes(3200), "hello there"),
        Pause(2),
        NoiseBurst(-30, 0.4),
        Digits("12w3#", 80),
        HangUp(),
    ]
    events = fixture.expect.events
    assert [event.type for event in events] == ["session_started", "user_message", "function_call", "turn_latency"]
    assert events[1].contains == ("hello", "there") and events[1].equal == {"source": "speech"}
    assert events[2].arguments == {"part": "morning", "count": 2}
    assert events[3].within_ms == 900
    assert fixture.expect.never[0].equal == {"interrupted": True}


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('"+15550100"', "+15550100", 'fixture.yaml:2: number: +15550100 is not text: write "+15550100" in quotes'),
        ("clinic.py:Reception", "clinic.Reception", "fixture.yaml:4: persona: "),
        ("2026-11-23T10:30", "tomorrow", "fixture.yaml:5: time: must be a date and time"),
        ("end_silence_ms", "end_silense_ms", "fixture.yaml:6: there is no `end_silense_ms` here; did you mean"),
        ("end_silence_ms: 400", "end_silence_ms: -1", "fixture.yaml:6: session: end_silence_ms must be positive"),
        ("dbfs: -55", "dbfs: 5", "fixture.yaml:7: dbfs: must be from -96 to 0, not 5"),
        ("limit: 60", "limit: long", "fixture.yaml:8: limit: must be a number"),
        ("hello.wav", "gone.wav", "fixture.yaml:10: speech: there is no gone.wav in "),
        (
            "{wait: 1.5, silence: 2}",
            "{at: 1, after: agent, silence: 2}",
            "fixture.yaml:11: timeline, entry 2: has both",
        ),
        ("silence: 2", "silence: 2, dtmf: '1'", "fixture.yaml:11: timeline, entry 2: must have one of"),
        ("silence: 2", "silence: 2, says: hi", "fixture.yaml:11: says: goes with `speech` only"),
        ("during: agent", "during: lunch", "fixture.yaml:12: during: must be `agent`"),
        ('"12w3#"', '"12x"', 'fixture.yaml:13: dtmf: "12x" has invalid keys'),
        ('"12w3#"', "0123", 'fixture.yaml:13: dtmf: 0123 is not text: write "0123" in quotes'),
        ("at: 12.5", "at: 12.5, wait: 2", "fixture.yaml:13: wait: does not go with `at`"),
        ("hang_up: true", "hang_up: yes please", "fixture.yaml:14: hang_up: must be true or false"),
        ("ended_by: caller", "ended_by: nobody", "fixture.yaml:16: ended_by: must be one of caller, agent, system"),
        ("- session_started", "- session_begun", "fixture.yaml:18: events, entry 1: unknown event"),
        ("- function_call", "- function_cal", "fixture.yaml:20: there is no `function_cal` here; did you mean"),
        ("name: book", "nome: book", "fixture.yaml:20: there is no `nome` here; did you mean `name`?"),
        ("description: A test", "number: '1'", "fixture.yaml:2: number is given twice"),
        ("description: A test", "  : [", "fixture.yaml:"),
    ],
)
def test_mistakes_are_told_with_their_line(tmp_path: Path, old: str, new: str, problem: str) -> None:
    assert old in GOOD
    found = problems(tmp_path / "bad", GOOD.replace(old, new, 1))
    assert any(each.startswith(problem) or problem in each for each in found), found


def test_all_mistakes_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("hello.wav", "gone.wav").replace("limit: 60", "limit: long")
    assert len(problems(tmp_path / "bad", text)) == 2


def test_a_hang_up_ends_the_timeline(tmp_path: Path) -> None:
    text = GOOD.replace("- {wait: 1.5, silence: 2}", "- {hang_up: true}")
    assert any("fixture.yaml:12: " in each and "hung up" in each for each in problems(tmp_path / "bad", text))


def test_what_must_be_given(tmp_path: Path) -> None:
    found = problems(tmp_path / "bad", "description: nothing else\n")
    assert [each.split(": ")[1] for each in found] == [
        f"`{key}` must be given" for key in ("number", "persona", "timeline", "expect")
    ]


def test_wrong_rate_is_told(tmp_path: Path) -> None:
    folder = write(tmp_path / "bad", GOOD)
    data = bytearray((folder / "hello.wav").read_bytes())
    data[24:28] = (16000).to_bytes(4, "little")
    (folder / "hello.wav").write_bytes(data)
    with pytest.raises(FixtureError, match=r"fixture.yaml:10: speech: hello.wav: 16000 Hz; expected 8000 Hz"):
        load_fixture(folder)


def test_finding_fixtures(tmp_path: Path) -> None:
    write(tmp_path / "b", GOOD)
    write(tmp_path / "a", GOOD)
    assert [folder.name for folder in find_fixtures(tmp_path)] == ["a", "b"]
    assert find_fixtures(tmp_path / "a") == [tmp_path / "a"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(FixtureError, match=r"no fixture\.yaml in it or below"):
        find_fixtures(tmp_path / "empty")
    with pytest.raises(FixtureError, match="no such folder"):
        find_fixtures(tmp_path / "nowhere")
