"""The recorded calls on a virtual clock: each as recorded, the same each time, and faster than real time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agent.providers.espeak import EspeakTTS
from agent.testing.expectation import EventMatcher
from agent.testing.fixture import Pause, Step, When
from agent.testing.fixture_format import load_fixture
from agent.testing.happened import Happened
from agent.testing.replay import NotAsRecorded, ReplayResult, replay_fixture
from agent.testing.virtual_clock import VirtualOffload, run_virtual
from telephony.media.level import dbfs
from telephony.media.wav import read_channels

AUDIO = Path(__file__).parents[2] / "fixtures" / "audio"


def at(result: ReplayResult, side: int, start: float, end: float) -> bytes:
    """A piece of one side's sound, times in seconds."""
    return result.audio[side][round(start * 50) * 320 : round(end * 50) * 320]


def spoken(result: ReplayResult) -> list[Happened]:
    return [event for event in result.events if event.type == "agent_message"]


@pytest.mark.recorded_calls("tests/fixtures/audio")
def test_as_recorded(recorded_call: Path, replay: Callable[..., ReplayResult]) -> None:
    result = replay(recorded_call)
    result.assert_as_recorded()
    assert result.took_s < result.duration_s / 3, "slower than a third of life"
    for message in spoken(result):
        heard = dbfs(at(result, 1, message.fields["started_at"], message.at))
        assert heard > -35, f"{message} cannot be heard where the transcript says it was ({heard:.0f} dBFS)"


@pytest.mark.parametrize("name", ["barge_in", "dtmf_order"])
def test_the_same_each_time(name: str) -> None:
    first, second = replay_fixture(load_fixture(AUDIO / name)), replay_fixture(load_fixture(AUDIO / name))
    assert [str(event) for event in first.events] == [str(event) for event in second.events]
    assert first.digest == second.digest
    assert first.audio == second.audio


def test_the_farewell_is_heard_to_its_last_sample() -> None:
    result = replay_fixture(load_fixture(AUDIO / "silence"))
    farewell = spoken(result)[-1]
    made = run_virtual(speak(farewell.fields["text"]))
    assert result.audio[1].rfind(made) == round(farewell.fields["started_at"] * 50) * 320, (
        "not where the transcript says"
    )
    assert result.events[-1].type == "session_closed"
    assert result.duration_s >= farewell.fields["started_at"] + len(made) / 16000


async def speak(text: str) -> bytes:
    voice = EspeakTTS(VirtualOffload())
    return b"".join([piece.pcm async for piece in voice.synthesize(text, voice="en-us", language="en")])


def test_nobody_talks_over_the_caller() -> None:
    """After a barge-in the agent falls silent within 200 ms and stays silent while the caller speaks."""
    result = replay_fixture(load_fixture(AUDIO / "barge_in"))
    stopped = next(
        event for event in result.events if event.type == "agent_stopped_speaking" and event.fields["interrupted"]
    )
    began = max(event.at for event in result.events if event.type == "user_started_speaking" and event.at < stopped.at)
    assert dbfs(at(result, 1, began + 0.2, began + 1.0)) < -60
    assert dbfs(at(result, 0, began + 0.2, began + 1.0)) > -35


def test_a_replay_that_goes_another_way_is_told(tmp_path: Path) -> None:
    fixture = load_fixture(AUDIO / "hangs_up")
    wrong = replace(
        fixture.expect,
        events=(EventMatcher("agent_message", contains=("Corner Books",), line=12),),
        ended_by="agent",
    )
    result = replay_fixture(replace(fixture, expect=wrong))
    assert not result.passed
    with pytest.raises(NotAsRecorded) as caught:
        result.assert_as_recorded()
    text = str(caught.value)
    assert 'fixture.yaml:12: expected agent_message containing "Corner Books"' in text
    assert 'Sunrise Clinic, how can I help?"  <- does not contain "Corner Books"' in text
    assert "ended_by should be agent, was caller" in text
    assert "what happened:\n    " in text
    result.write_wav(tmp_path / "both.wav")
    assert read_channels(tmp_path / "both.wav") == list(result.audio)


def test_a_call_that_never_ends_is_ended() -> None:
    fixture = load_fixture(AUDIO / "hangs_up")
    step = Step(When("during_agent", 30.0), Pause(1), line=9)
    result = replay_fixture(replace(fixture, timeline=(step,), limit_s=5.0))
    assert (result.ended_by, result.end_reason) == ("system", "limit")
    assert "not over after 5 s: the caller was still waiting for the step in line 9" in result.report()


def test_five_minutes_in_seconds() -> None:
    """A caller who asks for an appointment, hears the times, and falls silent, again and again."""
    fixture = load_fixture(AUDIO / "plain_booking")
    ask = fixture.timeline[0]
    again = [replace(ask, when=When("at", float(start))) for start in range(5, 290, 19)]
    long = replace(fixture, timeline=tuple(again), limit_s=300.0, session={"away_ms": 20000})
    result = replay_fixture(long)
    assert result.duration_s == pytest.approx(300, abs=1)
    assert len([event for event in result.events if event.type == "function_call"]) >= 14
    assert np.frombuffer(result.audio[0], dtype="<i2").any()
