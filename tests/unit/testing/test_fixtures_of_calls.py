"""A fixture made from a real call: its clips, times and expectations, and that it replays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent import Agent
from agent.providers.base import Offload
from agent.providers.rules import RulesLLM
from agent.testing.clips import write_ulaw_wav
from agent.testing.fixture import Clip, Digits, HangUp
from agent.testing.fixture_format import load_fixture
from agent.testing.happened import Happened
from agent.testing.personas import load_persona
from agent.testing.recorded_model import RecordedCall, RecordedReply, replies_of
from agent.testing.replay import ReplayResult, Speech, offline_speech, replay_fixture
from gateway.fixtures import CannotBeFixture, draft_fixture, persona_of_rule
from gateway.transcript import mask_typed_digits

AUDIO = Path(__file__).parents[2] / "fixtures" / "audio"


def record_of(result: ReplayResult, **changes: Any) -> dict[str, Any]:
    """What the gateway would have on record of this call."""
    events = [{"type": each.type, "at": each.at, "t_ms": each.at * 1000, **each.fields} for each in result.events]
    return {
        "call_id": "c1",
        "outcome": "answered",
        "called": result.fixture.number,
        "caller": result.fixture.caller,
        "started_at": "2026-11-23T10:29:58Z",
        "answered_at": "2026-11-23T10:30:00Z",
        "ended_by": result.ended_by,
        "events": events,
        **changes,
    }


def made_of(name: str, out: Path, *, digits: str = "", masked: bool = False) -> tuple[ReplayResult, tuple[str, ...]]:
    """Replay a fixture, make a fixture from the result, and load it."""
    result = replay_fixture(load_fixture(AUDIO / name))
    record = record_of(result)
    if masked:
        record["events"] = [mask_typed_digits(event) for event in record["events"]]
    persona = str(Path(__file__).parents[3] / result.fixture.persona)
    draft = draft_fixture(record, result.audio[0], persona=persona, digits=digits)
    out.mkdir()
    (out / "fixture.yaml").write_text(draft.text)
    for clip, pcm in draft.clips.items():
        write_ulaw_wav(out / clip, pcm)
    return result, draft.notes


class Model(RulesLLM):
    """Stands for a language model: it thinks by rules, under another name."""

    name = "openai/some-model"

    def for_persona(self, agent: Agent) -> RulesLLM:
        return RulesLLM().for_persona(agent)


def with_a_model(offload: Offload) -> Speech:
    return replace(offline_speech(offload), llm=Model())


@pytest.mark.parametrize("name", ["barge_in", "dtmf_order", "invoice_handoff"])
def test_a_model_s_replies_are_recorded_and_said_again(name: str, tmp_path: Path) -> None:
    """The fixture's persona has no rules left: what is said comes from the recording."""
    result = replay_fixture(load_fixture(AUDIO / name), speech=with_a_model)
    result.assert_as_recorded()
    draft = draft_fixture(record_of(result), result.audio[0], persona="calls/personas.py:Mute")
    assert "a language model answered" in draft.notes[0]
    folder = tmp_path / "calls" / "made"
    folder.mkdir(parents=True)
    (folder / "fixture.yaml").write_text(draft.text)
    for clip, pcm in draft.clips.items():
        write_ulaw_wav(folder / clip, pcm)
    persona = load_persona(str(Path(__file__).parents[3] / result.fixture.persona))
    mute = type(persona.__name__, (persona,), {"rules": persona.rules})
    again = replay_fixture(load_fixture(folder), persona=mute, speech=without_a_model)
    again.assert_as_recorded()
    assert "the model's replies come from the recording" in again.report()
    said = [event.fields["text"] for event in result.events if event.type == "agent_message"]
    assert [event.fields["text"] for event in again.events if event.type == "agent_message"] == said
    assert calls_of(again) == calls_of(result)


class Unasked:
    """Nobody asks it."""

    name = "unasked"

    async def warm(self) -> None:
        """Nothing to load."""

    def chat(self, messages: object, tools: object) -> Any:
        raise AssertionError("the recording answers")


def without_a_model(offload: Offload) -> Speech:
    return replace(offline_speech(offload), llm=Unasked())


def test_words_beside_a_tool_and_after_it() -> None:
    def event(type: str, **fields: Any) -> Happened:
        return Happened(type, 0.0, fields)

    call = {"name": "look", "arguments": {"a": 1}}
    said = [
        event("user_message", text="hello"),
        event("function_call", **call),
        event("function_call_output", output="x"),
        event("agent_message", kind="reply", text="Let me", full_text="Let me look."),
        event("agent_message", kind="reply", text="There it is."),
        event("user_message", text="and?"),
        event("agent_message", kind="canned", text="One moment."),
        event("function_call", **call),
        event("function_call_output", output="x"),
        event("function_call", **call),
        event("function_call_output", output="x"),
        event("agent_message", kind="reply", text="Done."),
    ]
    look = (RecordedCall("look", {"a": 1}),)
    assert replies_of(said) == (
        RecordedReply(1, 0, "Let me look.", look),
        RecordedReply(1, 1, "There it is."),
        RecordedReply(2, 0, calls=look),
        RecordedReply(2, 1, calls=look),
        RecordedReply(2, 2, "Done."),
    )


def calls_of(result: ReplayResult) -> list[tuple[str, dict[str, Any]]]:
    calls = [event.fields for event in result.events if event.type == "function_call"]
    return [(fields["name"], fields["arguments"]) for fields in calls]


@pytest.mark.parametrize("name", ["barge_in", "dtmf_order", "hangs_up", "silence"])
def test_a_call_replays_as_it_went(name: str, tmp_path: Path) -> None:
    original, notes = made_of(name, tmp_path / "made")
    assert notes == ()
    again = replay_fixture(load_fixture(tmp_path / "made"))
    again.assert_as_recorded()
    assert again.ended_by == original.ended_by
    assert calls_of(again) == calls_of(original)


def test_steps_stand_where_they_were(tmp_path: Path) -> None:
    original, _ = made_of("hangs_up", tmp_path / "made")
    fixture = load_fixture(tmp_path / "made")
    spoke = next(event.at for event in original.events if event.type == "user_started_speaking")
    clip, gone = fixture.timeline
    assert isinstance(clip.action, Clip) and isinstance(gone.action, HangUp)
    assert clip.when.anchor == "at" and spoke - 0.6 < clip.when.seconds < spoke
    assert gone.when.seconds == pytest.approx(original.duration_s, abs=0.05)
    assert fixture.time is not None and fixture.time.hour == 10


def test_hidden_digits_are_zeros_unless_given(tmp_path: Path) -> None:
    _, notes = made_of("dtmf_order", tmp_path / "hidden", masked=True)
    assert "they are replaced by zeros" in notes[0]
    _, notes = made_of("dtmf_order", tmp_path / "given", masked=True, digits="48115")
    assert notes == ()
    for folder, wanted in (("hidden", "00000"), ("given", "48115")):
        actions = [step.action for step in load_fixture(tmp_path / folder).timeline]
        (pressed,) = [action for action in actions if isinstance(action, Digits)]
        assert pressed.digits == wanted and 80 <= pressed.press_ms + pressed.gap_ms - 120 <= 120
    replay_fixture(load_fixture(tmp_path / "given")).assert_as_recorded()


def test_what_cannot_be_a_fixture() -> None:
    record = {"call_id": "c1", "outcome": "refused", "events": []}
    with pytest.raises(CannotBeFixture, match="c1 was not answered"):
        draft_fixture(record, b"", persona="x.py:X")
    event = {"type": "session_started", "at": 0.0, "t_ms": 0.0, "persona": "X"}
    with pytest.raises(CannotBeFixture, match="c1 has no recording"):
        draft_fixture({**record, "outcome": "answered", "events": [event]}, b"", persona="x.py:X")


def test_the_persona_is_found_by_its_rule() -> None:
    assert persona_of_rule("clinic.Reception", "dialplans/demo.yaml:16 always") == "dialplans/clinic.py:Reception"
    assert persona_of_rule("clinic.Reception", "/etc/plans/a.yaml:3") == "/etc/plans/clinic.py:Reception"
    assert persona_of_rule("clinic.Reception", "demo.yaml:3 when mon-fri") == "clinic.py:Reception"
    assert persona_of_rule("clinic.Reception", "") == ""
